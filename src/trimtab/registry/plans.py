"""What each write would do, decided on the books alone: no clock, no randomness.

Every function answers an Effect or raises: NotFound for what is not there, Conflict when somebody else was first or
there is nothing to do, Forbidden for a protected label, BadInput for values out of range.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.core import (
    LAYER_OF_EVENT,
    LAYER_OF_KIND,
    BadInput,
    Change,
    Conflict,
    Layer,
    NotFound,
    Rollout,
    TooLarge,
    Version,
    digest_of,
)

from .books import Books, May, Who
from .ledger import PRODUCTION, STANDS, previous
from .needs import Known, Lineage, checked
from .protect import permit, permit_role
from .snapshot import Asset, Effect, LabelMove, Snapshot, check_kind

STICKY = ("session", "user", "request")
#: Content of one version, as canonical JSON.
MAX_CONTENT_BYTES = 16 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(text: str, field: str = "name") -> None:
    """Raises BadInput unless it is 1 to 100 letters, digits, dots, dashes or underscores, first a letter or digit."""
    if not _NAME.fullmatch(text):
        mend = "Use 1 to 100 letters, digits, '.', '_' or '-', and start with a letter or a digit."
        raise BadInput(f"{text[:120]!r} is not a usable name.", field=field, mend=mend)


def check_share(share: float) -> float:
    """The share itself. Raises BadInput unless it is a finite number in [0, 1]."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not math.isfinite(share) or not 0 <= share <= 1:
        raise BadInput(f"{share!r} is not a share.", field="share", mend="Give a number from 0 to 1.")
    return float(share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A content as it is kept: what its canonical JSON reads back as, so memory, database and digest agree."""

    content: Mapping[str, Any]
    digest: str
    size: int


def written(content: Mapping[str, Any]) -> Written:
    """Raises BadInput for what JSON cannot hold and TooLarge above 16 MiB."""
    text = canonical(content)
    return Written(content=json.loads(text), digest=digest_of(content), size=len(text))


def register(
    books: Books, asset: Asset, made: Written, lineage: Lineage, who: Who, *, known: Mapping[str, Known]
) -> Effect:
    """A new version, or no effect but the version that already has this content."""
    kind, name = asset
    check_kind(kind)
    check_name(name)
    found = books.now.assets.get(asset)
    entries = found.entries if found else ()
    for entry in entries:
        if entry.digest == made.digest:
            return Effect(found=entry.version(asset, made.content))
    parents, needs = checked(books.now, kind, name, lineage, known)
    version = Version(
        kind=kind,
        name=name,
        number=len(entries) + 1,
        digest=made.digest,
        content=made.content,
        author=who.actor,
        note=who.note,
        created_ns=who.time_ns,
        parents=parents,
        needs=needs,
    )
    return Effect(version=version)


def canonical(content: Mapping[str, Any], field: str = "content") -> str:
    """The content as canonical JSON. Raises BadInput for what JSON cannot hold and TooLarge above 16 MiB."""
    if not isinstance(content, Mapping):
        raise BadInput(f"The {field} is not an object.", field=field, mend="Give a JSON object.")
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        mend = "Use only objects with text keys, lists, text, finite numbers, true, false and null."
        raise BadInput(f"The {field} is not JSON: {error}.", field=field, mend=mend) from error
    if size > MAX_CONTENT_BYTES:
        mend = "Keep large data in blobs and name their digests in the content."
        raise TooLarge(f"The {field} has {size} bytes; 16 MiB is the limit.", field=field, mend=mend)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a label is to stand, and where it must stand now (0: nowhere yet; None: wherever it is)."""

    asset: Asset
    label: str
    number: int
    expect: int | None = None


def move_label(books: Books, to: Target, who: Who, *, change_id: str, may: May | None) -> Effect:
    """A label onto a version, for everybody at once; already there, the change that put it there and no effect."""
    now, (kind, name) = books.now, to.asset
    now.entry(kind, name, to.number)
    check_name(to.label, "label")
    before = now.labels(kind, name).get(to.label, 0)
    if to.expect is not None and to.expect != before:
        raise Conflict(
            f"{kind}:/{name}@{to.label} is at {before or 'no version'}, not at {to.expect}.",
            field="expect",
            mend="Read the label again and decide anew.",
        )
    if before == to.number:
        return Effect(settled=_last_move(books, to))
    refuse_while_running(now, to.asset, to.label)
    override = permit(books, to.asset, to.label, to.number, may)
    return moved(to.asset, to.label, (before, to.number), who, change_id=change_id, action="label", override=override)


def moved(
    asset: Asset, label: str, numbers: tuple[int, int], who: Who, *, change_id: str, action: str, override: str = ""
) -> Effect:
    """A label's move from one number to another, with its change."""
    before, number = numbers
    change = replace(
        _change(change_id, action, asset, before, number, who),
        label=label, override=override, undo=before > 0 and action == "label",
    )  # fmt: skip
    move = LabelMove(kind=asset[0], name=asset[1], label=label, before=before, number=number, moved_ns=who.time_ns)
    return Effect(labels=(move,), changes=(change,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a rollout is to be staged: first share, stickiness, the shares to come, and the label it stands on."""

    share: float
    sticky: str = "session"
    label: str = PRODUCTION
    stages: Sequence[float] = ()


def start_rollout(
    books: Books, asset: Asset, number: int, plan: Plan, who: Who, *, ids: tuple[str, str], may: May | None
) -> Effect:
    """A share of the traffic onto a candidate. ``ids`` are those of the rollout and of the change."""
    now, (kind, name) = books.now, asset
    now.entry(kind, name, number)
    base = now.label(kind, name, plan.label)
    share = check_share(plan.share)
    stages = tuple(check_share(stage) for stage in plan.stages)
    if plan.sticky not in STICKY:
        mend = f"Use one of {', '.join(STICKY)}."
        raise BadInput(f"{plan.sticky!r} is not a stickiness.", field="sticky", mend=mend)
    if running := now.running.get(asset):
        raise Conflict(
            f"{kind}:/{name} already has a running rollout, {running.id} of {name}/{running.candidate}.",
            field="name",
            mend="Promote or abort it first.",
        )
    if number == base:
        mend = "Roll out another version."
        raise Conflict(f"{kind}:/{name}/{number} is what @{plan.label} already stands at.", field="number", mend=mend)
    override = permit(books, asset, plan.label, number, may)
    rollout = Rollout(
        id=ids[0],
        kind=kind,
        name=name,
        label=plan.label,
        base=base,
        candidate=number,
        share=share,
        sticky=plan.sticky,
        started_ns=who.time_ns,
        stages=stages,
    )
    change = replace(_change(ids[1], "rollout", asset, base, number, who), override=override)
    return Effect(rollouts=(rollout,), changes=(_of_rollout(change, rollout),))


def set_share(books: Books, rollout_id: str, share: float, who: Who, *, change_id: str) -> Effect:
    """Another share of a running rollout."""
    old = _running(books.now, rollout_id)
    rollout = replace(old, share=check_share(share))
    change = _change(change_id, "share", (old.kind, old.name), old.base, old.candidate, who)
    return Effect(rollouts=(rollout,), changes=(_of_rollout(change, rollout),))


def promote(books: Books, rollout_id: str, who: Who, *, change_id: str, may: May | None) -> Effect:
    """The candidate for everybody: the label moves onto it and the rollout ends."""
    old = _running(books.now, rollout_id)
    asset = (old.kind, old.name)
    override = permit(books, asset, old.label, old.candidate, may)
    rollout = replace(old, state="promoted", reason=who.note, share=1.0)
    move = LabelMove(
        kind=old.kind, name=old.name, label=old.label, before=old.base, number=old.candidate, moved_ns=who.time_ns
    )
    change = replace(_change(change_id, "promote", asset, old.base, old.candidate, who), override=override)
    return Effect(labels=(move,), rollouts=(rollout,), changes=(_of_rollout(change, rollout),))


def abort(books: Books, rollout_id: str, who: Who, *, change_id: str, action: str = "abort") -> Effect:
    """Everybody back on the base: the label has never left it, and the rollout ends."""
    old = _running(books.now, rollout_id)
    rollout = replace(old, state="aborted", reason=who.note)
    change = _change(change_id, action, (old.kind, old.name), old.candidate, old.base, who)
    change = replace(_of_rollout(change, rollout), share=1.0, undo=False)
    return Effect(rollouts=(rollout,), changes=(change,))


def rollback(books: Books, asset: Asset, label: str, who: Who, *, change_id: str, may: May | None) -> Effect:
    """What production had before: a running rollout of the label is aborted, else the label goes back."""
    now, (kind, name) = books.now, asset
    permit_role(books, asset, label, may)
    running = now.running.get(asset)
    if running is not None and running.label == label:
        return abort(books, running.id, who, change_id=change_id, action="rollback")
    current = now.label(kind, name, label)
    target = previous(books.history(asset, label), label)
    if not target:
        raise Conflict(
            f"There is nothing to roll {kind}:/{name}@{label} back to: {name}/{current} has no earlier version "
            "that was not itself rolled back.",
            field="name",
            mend="Move the label to the version you want.",
        )
    return moved(asset, label, (current, target), who, change_id=change_id, action="rollback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened elsewhere: to what, from and to which state, for which part of the traffic, on which layer."""

    kind: str
    name: str
    before: str = ""
    after: str = ""
    share: float = 1.0
    layer: int = 0


def external(event: Event, who: Who, *, change_id: str) -> Effect:
    """A change that somebody else made and we saw: at a vendor, or a deployment of the application."""
    if event.kind not in LAYER_OF_EVENT and event.kind not in LAYER_OF_KIND:
        known = ", ".join(sorted({*LAYER_OF_EVENT, *LAYER_OF_KIND}))
        raise BadInput(f"{event.kind!r} is not a kind.", field="kind", mend=f"Use one of {known}.")
    if not 0 < len(event.name) <= 200:
        raise BadInput("The name is empty or too long.", field="name", mend="Give 1 to 200 characters.")
    if event.layer and event.layer not in list(Layer):
        raise BadInput(f"{event.layer} is no layer.", field="layer", mend="Give 1 to 5, or the layer's name.")
    change = Change(
        id=change_id,
        time_ns=who.time_ns,
        action="external",
        kind=event.kind,
        name=event.name,
        before=event.before,
        after=event.after,
        actor=who.actor,
        share=check_share(event.share),
        note=who.note,
        undo=False,
        said_layer=event.layer,
    )
    return Effect(changes=(change,))


def _running(now: Snapshot, rollout_id: str) -> Rollout:
    rollout = now.rollouts.get(rollout_id)
    if rollout is None:
        there = ", ".join(r.id for r in now.running.values()) or "none"
        raise NotFound(f"There is no rollout {rollout_id!r}.", field="rollout", mend=f"Running: {there}.")
    if rollout.state != "running":
        mend = "Start a new rollout."
        raise Conflict(f"Rollout {rollout_id} was {rollout.state} already.", field="rollout", mend=mend)
    return rollout


def _last_move(books: Books, to: Target) -> Change:
    pin = f"{to.asset[1]}/{to.number}"
    moves = (change for change in reversed(books.history(to.asset, to.label)) if change.after == pin)
    return next(change for change in moves if change.action in STANDS)


def refuse_while_running(now: Snapshot, asset: Asset, label: str) -> None:
    """Raises Conflict while a rollout stands on the label."""
    kind, name = asset
    running = now.running.get(asset)
    if running is not None and running.label == label:
        raise Conflict(
            f"{kind}:/{name}@{label} has a running rollout, {running.id} of {name}/{running.candidate}.",
            field="label",
            mend="Promote or abort it first.",
        )


def _change(change_id: str, action: str, asset: Asset, before: int, after: int, who: Who) -> Change:
    kind, name = asset
    return Change(
        id=change_id,
        time_ns=who.time_ns,
        action=action,
        kind=kind,
        name=name,
        before=f"{name}/{before}" if before else "",
        after=f"{name}/{after}",
        actor=who.actor,
        note=who.note,
    )


def _of_rollout(change: Change, rollout: Rollout) -> Change:
    return replace(
        change,
        share=rollout.share,
        sticky=rollout.sticky,
        rollout=rollout.id,
        label=rollout.label,
    )
