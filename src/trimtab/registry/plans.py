"""What each write would do, decided on the snapshot alone: no clock, no randomness, no database.

Every function answers an Effect or raises: NotFound for what is not there, Conflict when somebody else was first or
there is nothing to do, BadInput for values out of range.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.core import BadInput, Change, Conflict, NotFound, Rollout, TooLarge, Version, digest_of

from .ledger import PRODUCTION, label_of, marked, previous
from .snapshot import Asset, Effect, LabelMove, Snapshot, check_kind

STICKY = ("session", "user", "request")
#: Content of one version, as canonical JSON.
MAX_CONTENT_BYTES = 16 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who writes, why and when (nanoseconds UTC): the same three facts on every change."""

    actor: str
    note: str
    time_ns: int


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


def register(now: Snapshot, kind: str, name: str, content: Mapping[str, Any], who: Who) -> Effect:
    """A new version, or no effect but the version that already has this content."""
    check_kind(kind)
    check_name(name)
    text = canonical(content)
    digest = digest_of(content)
    numbers = now.versions.get((kind, name), {})
    for version in numbers.values():
        if version.digest == digest:
            return Effect(version=version)
    version = Version(
        kind=kind,
        name=name,
        number=max(numbers, default=0) + 1,
        digest=digest,
        content=json.loads(text),
        author=who.actor,
        note=who.note,
        created_ns=who.time_ns,
    )
    return Effect(version=version)


def canonical(content: Mapping[str, Any]) -> str:
    """The content as canonical JSON: what is kept is what this reads back as, so memory, database and digest agree.

    Raises BadInput for what JSON cannot hold and TooLarge above 16 MiB.
    """
    if not isinstance(content, Mapping):
        raise BadInput("The content is not an object.", field="content", mend="Give a JSON object.")
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        mend = "Use only objects with text keys, lists, text, finite numbers, true, false and null."
        raise BadInput(f"The content is not JSON: {error}.", field="content", mend=mend) from error
    if size > MAX_CONTENT_BYTES:
        mend = "Keep large data in blobs and name their digests in the content."
        raise TooLarge(f"The content has {size} bytes; 16 MiB is the limit.", field="content", mend=mend)
    return text


def move_label(
    now: Snapshot, asset: Asset, label: str, number: int, who: Who, *, change_id: str, expect: int | None
) -> Effect:
    """A label onto a version, for everybody at once; already there, the change that put it there and no effect."""
    kind, name = asset
    now.version(kind, name, number)
    check_name(label, "label")
    before = now.labels.get(asset, {}).get(label, 0)
    if expect is not None and expect != before:
        raise Conflict(
            f"{kind}:/{name}@{label} is at {before or 'no version'}, not at {expect}.",
            field="expect",
            mend="Read the label again and decide anew.",
        )
    if before == number:
        return Effect(settled=_last_move(now, asset, label))
    _refuse_while_running(now, asset, label)
    change = _change(change_id, "label", asset, before, number, who)
    change = replace(change, note=marked(who.note, label), undo=before > 0)
    return Effect(
        label=LabelMove(kind=kind, name=name, label=label, before=before, number=number, moved_ns=who.time_ns),
        change=change,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a rollout is to be staged: first share, stickiness, the shares to come, and the label it stands on."""

    share: float
    sticky: str = "session"
    label: str = PRODUCTION
    stages: Sequence[float] = ()


def start_rollout(now: Snapshot, asset: Asset, number: int, plan: Plan, who: Who, *, ids: tuple[str, str]) -> Effect:
    """A share of the traffic onto a candidate. ``ids`` are those of the rollout and of the change."""
    kind, name = asset
    candidate = now.version(kind, name, number)
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
        raise Conflict(f"{candidate.address} is what @{plan.label} already stands at.", field="number", mend=mend)
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
    change = _change(ids[1], "rollout", asset, base, number, who)
    return Effect(rollout=rollout, change=_of_rollout(change, rollout))


def set_share(now: Snapshot, rollout_id: str, share: float, who: Who, *, change_id: str) -> Effect:
    """Another share of a running rollout."""
    old = _running(now, rollout_id)
    rollout = replace(old, share=check_share(share))
    change = _change(change_id, "share", (old.kind, old.name), old.base, old.candidate, who)
    return Effect(rollout=rollout, change=_of_rollout(change, rollout))


def promote(now: Snapshot, rollout_id: str, who: Who, *, change_id: str) -> Effect:
    """The candidate for everybody: the label moves onto it and the rollout ends."""
    old = _running(now, rollout_id)
    rollout = replace(old, state="promoted", reason=who.note, share=1.0)
    move = LabelMove(
        kind=old.kind, name=old.name, label=old.label, before=old.base, number=old.candidate, moved_ns=who.time_ns
    )
    change = _change(change_id, "promote", (old.kind, old.name), old.base, old.candidate, who)
    return Effect(label=move, rollout=rollout, change=_of_rollout(change, rollout))


def abort(now: Snapshot, rollout_id: str, who: Who, *, change_id: str, action: str = "abort") -> Effect:
    """Everybody back on the base: the label has never left it, and the rollout ends."""
    old = _running(now, rollout_id)
    rollout = replace(old, state="aborted", reason=who.note)
    change = _change(change_id, action, (old.kind, old.name), old.candidate, old.base, who)
    return Effect(rollout=rollout, change=replace(_of_rollout(change, rollout), share=1.0, undo=False))


def rollback(now: Snapshot, asset: Asset, label: str, who: Who, *, change_id: str) -> Effect:
    """What production had before: a running rollout of the label is aborted, else the label goes back."""
    kind, name = asset
    running = now.running.get(asset)
    if running is not None and running.label == label:
        return abort(now, running.id, who, change_id=change_id, action="rollback")
    current = now.label(kind, name, label)
    target = previous(now.history(kind, name), label)
    if not target:
        raise Conflict(
            f"There is nothing to roll {kind}:/{name}@{label} back to: {name}/{current} has no earlier version "
            "that was not itself rolled back.",
            field="name",
            mend="Move the label to the version you want.",
        )
    move = LabelMove(kind=kind, name=name, label=label, before=current, number=target, moved_ns=who.time_ns)
    change = _change(change_id, "rollback", asset, current, target, who)
    return Effect(label=move, change=replace(change, note=marked(who.note, label), undo=False))


def external(kind: str, name: str, pins: tuple[str, str], share: float, who: Who, *, change_id: str) -> Effect:
    """A change that somebody else made and we saw. ``pins`` are before and after."""
    check_kind(kind)
    if not 0 < len(name) <= 200:
        raise BadInput("The name is empty or too long.", field="name", mend="Give 1 to 200 characters.")
    change = Change(
        id=change_id,
        time_ns=who.time_ns,
        action="external",
        kind=kind,
        name=name,
        before=pins[0],
        after=pins[1],
        actor=who.actor,
        share=check_share(share),
        note=who.note,
        undo=False,
    )
    return Effect(change=change)


def _running(now: Snapshot, rollout_id: str) -> Rollout:
    rollout = now.rollouts.get(rollout_id)
    if rollout is None:
        there = ", ".join(r.id for r in now.running.values()) or "none"
        raise NotFound(f"There is no rollout {rollout_id!r}.", field="rollout", mend=f"Running: {there}.")
    if rollout.state != "running":
        mend = "Start a new rollout."
        raise Conflict(f"Rollout {rollout_id} was {rollout.state} already.", field="rollout", mend=mend)
    return rollout


def _last_move(now: Snapshot, asset: Asset, label: str) -> Change:
    pin = f"{asset[1]}/{now.labels[asset][label]}"
    moves = (change for change in reversed(now.history(*asset)) if change.after == pin and label_of(change) == label)
    return next(change for change in moves if change.action in ("label", "promote", "rollback"))


def _refuse_while_running(now: Snapshot, asset: Asset, label: str) -> None:
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
        note=marked(change.note, rollout.label),
    )
