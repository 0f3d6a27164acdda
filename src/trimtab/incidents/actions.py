"""What can be done about an incident, planned: which label would move where, or why an action does not apply. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.core import NotFound
from trimtab.guard import SCANNERS
from trimtab.registry import PRODUCTION, Registry

from .incident import Incident
from .remedy import asset_name, diversions, is_candidate, live_routes, number_of, targets_of

#: By how much one step moves the thresholds of a guard policy, and how far steps lead.
THRESHOLD_STEP, LOWEST, HIGHEST = 0.1, 0.1, 0.95

#: What can be done by a person or by the machine, as buttons say it.
TITLES: Mapping[str, str] = {
    "rollback": "Roll back",
    "pause_rollout": "Pause the rollout",
    "switch_route": "Switch the route",
    "pin_model": "Pin the model",
    "tighten_guard": "Tighten the guard",
    "relax_guard": "Relax the guard",
}
#: Actions that keep harm from growing and do not end it.
CONTAINING = frozenset({"pause_rollout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which action, and on what where that is not clear: ``target`` is a route, a model, a policy or a rollout; ``to``
    is a version of a policy, by number, or ``previous``."""

    action: str
    target: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One label to be moved: to a version that is there (``number``), or to one of this ``content``."""

    kind: str
    name: str
    before: int
    number: int = 0
    content: Mapping[str, Any] | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an action would do. ``reason`` says why it does not apply; then nothing is in it but ``choices``: the
    targets one of which has to be named for it to apply."""

    text: str = ""
    moves: tuple[Move, ...] = ()
    rollout: str = ""
    reason: str = ""
    choices: tuple[str, ...] = ()


def draft(registry: Registry, incident: Incident, wanted: Wanted) -> Draft:
    """What this action would do now. Writes nothing."""
    return _DRAFTS[wanted.action](registry, incident, wanted)


def _rollback(registry: Registry, incident: Incident, wanted: Wanted) -> Draft:
    cause = incident.cause
    if cause is None:
        return Draft(reason="no cause is known")
    if cause.kind == "models":
        return _switch(registry, incident, Wanted(action="switch_route"))
    asset = asset_name(cause)
    if is_candidate(registry, cause):
        return Draft(text=f"ends the rollout of {cause.after}; everybody is back on {cause.before}")
    numbers = registry.labels(cause.kind, asset).values()
    if number_of(cause.after) not in numbers:
        return Draft(reason=f"{cause.after} is not live any more")
    return Draft(text=f"moves {cause.kind}:/{asset} from {cause.after} back to the version before it")


def _pause(registry: Registry, incident: Incident, wanted: Wanted) -> Draft:
    cause = incident.cause
    running = registry.rollouts(running=True)
    if wanted.target:
        found = [r for r in running if wanted.target in (r.id, r.name, f"{r.kind}:/{r.name}")]
        missing = f"no rollout of {wanted.target} is running"
    elif cause is not None:
        found = [r for r in running if (r.kind, r.name) == (cause.kind, asset_name(cause))]
        missing = f"no rollout of {cause.kind}:/{asset_name(cause)} is running"
    else:
        suspects = {c.asset for c in (incident.report.candidates if incident.report else ())}
        found = [r for r in running if f"{r.kind}:/{r.name}" in suspects]
        missing = "no rollout is among the suspects"
    if not found:
        return Draft(reason=missing)
    if len(found) > 1:
        return _unclear("rollout", [r.id for r in found])
    one = found[0]
    text = f"keeps {one.name}/{one.candidate} at {one.share:.0%} of the {one.sticky}s"
    return Draft(text=text, rollout=one.id)


def _switch(registry: Registry, incident: Incident, wanted: Wanted) -> Draft:
    cause, live = incident.cause, live_routes(registry)
    if not wanted.target and cause is not None and cause.kind == "models":
        model = asset_name(cause)
        chosen = diversions(live, model)
        if not chosen:
            return Draft(reason=f"no live route sends to {model} first")
    else:
        routes = [wanted.target.removeprefix("routes:/")] if wanted.target else []
        if not routes and cause is not None and cause.kind == "routes":
            routes = [asset_name(cause)]
        if not routes and len(live) == 1:
            routes = list(live)
        if not routes:
            return _unclear("route", live)
        if routes[0] not in live:
            return Draft(reason=f"{routes[0]} is no live route")
        chosen = {routes[0]: _fallen_back(live[routes[0]])}
    moves = [
        _moved(registry, "routes", route, content, f"{route} to {targets_of(content)[0]}")
        for route, content in chosen.items()
        if content is not None
    ]
    if not moves:
        return Draft(reason=f"{', '.join(chosen)} has no other model to fall back to")
    return Draft(text=f"sends {', '.join(move.text for move in moves)}", moves=tuple(moves))


def _fallen_back(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """A route's content that asks its first fallback first and what it asked till now last; None without a fallback."""
    fallback = [str(model) for model in content.get("fallback", [])]
    if not fallback:
        return None
    behind = [model for model in (*fallback[1:], *targets_of(content)) if model != fallback[0]]
    return {**content, "targets": [{"model": fallback[0], "weight": 1}], "fallback": list(dict.fromkeys(behind))}


def _pin(registry: Registry, incident: Incident, wanted: Wanted) -> Draft:
    cause = incident.cause
    if wanted.target or cause is None or cause.kind != "models":
        if not wanted.target:
            return Draft(reason="the cause is no change of a model; name the model to pin another one")
        ref = wanted.target.removeprefix("models:/")
        seen = (c for c in registry.changes(limit=10_000) if (c.kind, c.name, c.action) == ("models", ref, "external"))
        change = next(seen, None)
        if change is None:
            return Draft(reason=f"nothing was seen to change behind {ref}, so no other version of it is known")
        before, after = change.before, change.after
    else:
        ref, before, after = asset_name(cause), cause.before, cause.after
    good, bad = _reported(before), _reported(after)
    if not good:
        return Draft(reason=f"it is not known which version of {ref} answered before")
    if good == bad:
        return Draft(reason=f"the vendor calls it {good} before and after, so no version can be asked for by name")
    pinned = f"{ref.partition('/')[0]}/{good}"
    if pinned == ref:
        return Draft(reason=f"routes ask for {ref} by name already; the vendor answers with {bad}")
    moves = [
        _moved(registry, "routes", route, _renamed(content, ref, pinned), f"{route} to {pinned}")
        for route, content in live_routes(registry).items()
        if ref in targets_of(content)
    ]
    if not moves:
        return Draft(reason=f"no live route sends to {ref} first")
    return Draft(text=f"pins {', '.join(move.text for move in moves)}", moves=tuple(moves))


def _reported(pin: str) -> str:
    """The vendor's own name of a model in a pin ``ref=reported@fingerprint``."""
    return pin.partition("=")[2].partition("@")[0]


def _renamed(content: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    targets = [{**t, "model": new} if t.get("model") == old else dict(t) for t in content.get("targets", [])]
    fallback = [new if model == old else str(model) for model in content.get("fallback", [])]
    return {**content, "targets": targets, "fallback": fallback}


def _tighten(registry: Registry, incident: Incident, wanted: Wanted) -> Draft:
    return _guard(registry, incident, wanted, -THRESHOLD_STEP)


def _relax(registry: Registry, incident: Incident, wanted: Wanted) -> Draft:
    return _guard(registry, incident, wanted, THRESHOLD_STEP)


def _guard(registry: Registry, incident: Incident, wanted: Wanted, step: float) -> Draft:
    cause = incident.cause
    name = wanted.target.removeprefix("guards:/")
    if not name and cause is not None and cause.kind == "guards":
        name = asset_name(cause)
    live = {n: at for n in registry.names("guards") if (at := registry.labels("guards", n).get(PRODUCTION))}
    if not name and len(live) == 1:
        name = next(iter(live))
    if not name:
        return _unclear("policy", live)
    if name not in live:
        return Draft(reason=f"{name} is no live guard policy")
    at = live[name]
    if wanted.to:
        return _guard_to(registry, name, at, wanted.to)
    content, moved = _stepped(registry.version("guards", name, at).content, step)
    if not moved:
        return Draft(reason=f"no threshold of guards:/{name} can move further that way")
    text = f"{'lowers' if step < 0 else 'raises'} {moved} thresholds of guards:/{name} by {THRESHOLD_STEP:g}"
    return Draft(text=text, moves=(_moved(registry, "guards", name, content, text),))


def _guard_to(registry: Registry, name: str, at: int, to: str) -> Draft:
    """To a version that is named: by its number, or the one before this."""
    number = at - 1 if to == "previous" else int(to) if to.isascii() and to.isdigit() and len(to) < 10 else 0
    try:
        registry.version("guards", name, number)
    except NotFound:
        return Draft(reason=f"guards:/{name} has no version {to}")
    if number == at:
        return Draft(reason=f"guards:/{name}/{at} is live already")
    text = f"moves guards:/{name} from version {at} to {number}"
    return Draft(text=text, moves=(Move(kind="guards", name=name, before=at, number=number, text=text),))


def _stepped(content: Mapping[str, Any], step: float) -> tuple[dict[str, Any], int]:
    """A policy whose scanners that stop or change a text match earlier (a step down) or later, and how many moved."""
    moved = 0
    stages: dict[str, Any] = {}
    for stage, items in content.get("stages", {}).items():
        if isinstance(items, Mapping):  # rules of tool calls have no thresholds
            stages[stage] = items
            continue
        stages[stage] = []
        for item in items:
            entry = dict(item)
            scanner = SCANNERS.get(str(entry.get("scanner", "")))
            if scanner is not None and entry.get("action") != "flag":
                old = float(entry.get("threshold", scanner.threshold))
                new = round(min(HIGHEST, max(LOWEST, old + step)), 3)
                # A threshold beyond the end of the range stays where it is: a step never leads the other way.
                if (new - old) * step > 0:
                    entry["threshold"], moved = new, moved + 1
            stages[stage].append(entry)
    return {**content, "stages": stages}, moved


def _unclear(what: str, names: Iterable[str]) -> Draft:
    known = tuple(sorted(names))
    if not known:
        return Draft(reason=f"there is no live {what}")
    return Draft(reason=f"it is not clear which {what}: name one of {', '.join(known[:20])}", choices=known)


def _moved(registry: Registry, kind: str, name: str, content: Mapping[str, Any], text: str) -> Move:
    before = registry.labels(kind, name)[PRODUCTION]
    return Move(kind=kind, name=name, before=before, content=content, text=text)


_DRAFTS: Mapping[str, Callable[[Registry, Incident, Wanted], Draft]] = {
    "rollback": _rollback,
    "pause_rollout": _pause,
    "switch_route": _switch,
    "pin_model": _pin,
    "tighten_guard": _tighten,
    "relax_guard": _relax,
}
