"""Taking a cause back: a rollback of what we changed, a diversion around what a vendor changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.attribution import Candidate, Report
from trimtab.core import TrimtabError
from trimtab.registry import PRODUCTION, Registry, label_of

from .incident import blamed
from .sentences import name


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Whether the cause serves nobody any more, and what was done or stands in the way."""

    done: bool
    text: str
    moved: bool = True


def may_act(registry: Registry, action: str, report: Report | None) -> bool:
    """Whether the machine may act by itself: the monitor names more than a word to somebody, and the cause is proven or
    a running candidate."""
    cause = blamed(report) if report else None
    if report is None or cause is None or action in ("note", "page"):
        return False
    return report.certainty == "proven" or is_candidate(registry, cause)


async def take_back(registry: Registry, cause: Candidate, *, actor: str, note: str) -> Outcome:
    """Make the cause serve nobody. Doing it twice does nothing the second time, so it may be resumed."""
    if cause.kind == "models":
        return await _divert(registry, cause, actor=actor, note=note)
    asset = asset_name(cause)
    label = _label(registry, cause)
    if not _in_force(registry, cause, label):
        return Outcome(done=True, text=f"{name(cause)} is not live any more; nothing had to be moved", moved=False)
    try:
        change = await registry.rollback(cause.kind, asset, actor=actor, note=note, label=label)
    except TrimtabError as error:
        return Outcome(done=False, text=f"could not roll {name(cause)} back: {error.message}")
    ended = "ended its rollout and " if change.rollout else ""
    return Outcome(done=True, text=f"{ended}rolled {cause.kind}:/{asset} back from {change.before} to {change.after}")


def asset_name(cause: Candidate) -> str:
    """The asset's name without its kind."""
    return cause.asset.partition(":/")[2] or cause.asset


def number_of(pin: str) -> int:
    """The version number in a pin ``name/number``, 0 where there is none."""
    tail = pin.rpartition("/")[2]
    return int(tail) if tail.isdigit() else 0


def fallbacks(registry: Registry, model: str) -> list[str]:
    """Other models that live routes with this target fall back to, each once."""
    live = live_routes(registry).values()
    found = [other for content in live if model in targets_of(content) for other in _fallback(content)]
    return [other for other in dict.fromkeys(found) if other != model]


async def _divert(registry: Registry, cause: Candidate, *, actor: str, note: str) -> Outcome:
    """A new version of each live route with this target: the model goes last, what stood behind it comes first."""
    model = asset_name(cause)
    moved: list[str] = []
    stuck: list[str] = []
    live = live_routes(registry)
    last = [route for route, content in live.items() if model in _fallback(content)]
    for route, diverted in diversions(live, model).items():
        if diverted is None:
            stuck.append(f"{route} has no other model")
            continue
        try:
            version = await registry.register("routes", route, diverted, author=actor, note=note)
            before = registry.labels("routes", route)[PRODUCTION]
            await registry.move_label(
                "routes", route, PRODUCTION, version.number, actor=actor, note=note, expect=before
            )
        except TrimtabError as error:
            stuck.append(f"{route}: {error.message}")
        else:
            moved.append(f"{route} to {targets_of(diverted)[0]} ({version.pin})")
    if moved:
        rest = f"; could not divert {'; '.join(stuck)}" if stuck else ""
        return Outcome(done=True, text=f"diverted {', '.join(moved)} around {model}{rest}")
    if stuck:
        return Outcome(done=False, text=f"could not divert around {model}: {'; '.join(stuck)}")
    if last:
        return Outcome(done=True, text=f"{model} is only a last resort already; nothing had to be moved", moved=False)
    return Outcome(done=False, text=f"no live route sends to {model}, so there is nothing to divert")


def diversions(live: Mapping[str, Mapping[str, Any]], model: str) -> dict[str, dict[str, Any] | None]:
    """What every live route that asks ``model`` first would be around it; None where it has no other model."""
    return {route: around(content, model) for route, content in live.items() if model in targets_of(content)}


def around(content: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """A route's content that asks ``model`` only when everything else failed; None when there is nothing else.

    The other targets stay as they are; without any the first fallback becomes the target.
    """
    targets = [target for target in content.get("targets", []) if target.get("model") != model]
    fallback = [other for other in _fallback(content) if other != model]
    if not targets:
        if not fallback:
            return None
        targets, fallback = [{"model": fallback[0], "weight": 1}], fallback[1:]
    return {**content, "targets": targets, "fallback": [*fallback, model]}


def live_routes(registry: Registry) -> dict[str, Mapping[str, Any]]:
    """The content of each route's production version, by route."""
    found: dict[str, Mapping[str, Any]] = {}
    for route in registry.names("routes"):
        number = registry.labels("routes", route).get(PRODUCTION)
        if number:
            found[route] = registry.version("routes", route, number).content
    return found


def targets_of(content: Mapping[str, Any]) -> list[str]:
    """The models that a route asks first."""
    return [str(target.get("model", "")) for target in content.get("targets", [])]


def _fallback(content: Mapping[str, Any]) -> list[str]:
    return [str(model) for model in content.get("fallback", [])]


def is_candidate(registry: Registry, cause: Candidate) -> bool:
    """Whether the cause is the candidate of a running rollout."""
    running = registry.running(cause.kind, asset_name(cause))
    return running is not None and f"{running.name}/{running.candidate}" == cause.after


def _in_force(registry: Registry, cause: Candidate, label: str) -> bool:
    if is_candidate(registry, cause):
        return True
    number = registry.labels(cause.kind, asset_name(cause)).get(label, 0)
    return number > 0 and number == number_of(cause.after)


def _label(registry: Registry, cause: Candidate) -> str:
    running = registry.running(cause.kind, asset_name(cause))
    if running is not None and is_candidate(registry, cause):
        return running.label
    found = (change for change in registry.changes(limit=10_000) if change.id == cause.change_id)
    change = next(found, None)
    return label_of(change) if change else PRODUCTION
