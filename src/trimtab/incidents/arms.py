"""Replay plans: which pins to put back, one change at a time, all at once, and all but one; beside an arm in which
nothing changed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.attribution import Arm, Candidate, Report, proof_at
from trimtab.core import LAYER_OF_KIND, Layer
from trimtab.stats import paired_e_value

#: A value below this is a failure, here as in the report.
PASSES_AT = 0.5
#: Changes that are put back, and how many of them may be of one layer.
MAX_RESTORES, MOST_OF_A_LAYER = len(Layer) + 1, 2
#: An arm with less than this is far from proof: the contest is decided once one arm proves and the others are here.
#: Below the second there is nothing in it.
_FAR, _NOTHING = 20.0, 2.0
#: After so many requests, some of which had failed, an arm that says nothing will say nothing; after some, putting back
#: everything says enough.
_ENOUGH, _SOME = 60, 20
#: The arms' names: nothing changed, everything put back, and what stands before the change that alone was not.
SAME, _ALL, _BUT = "", "*", "!"

Pins = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Put one change back: of requests that ``after`` served, ask again with ``before``."""

    kind: str
    before: str
    after: str
    change_id: str = ""

    @property
    def restored(self) -> str:
        """What was put back, for people."""
        return f"{self.kind} {self.before}"

    @property
    def key(self) -> str:
        """The arm's name."""
        return f"{self.kind} {self.after}"

    def reached(self, served: Pins) -> bool:
        """Whether the change reached the request."""
        return served.get(self.kind) == self.after


def restores(report: Report, alternative: Callable[[Candidate], str]) -> list[Restore]:
    """The changes worth putting back, the most believed first, if there is something to put back: the best of each
    layer, and a second one of it while the records do not clear it.

    ``alternative`` answers the pin that stands in for what was before: the earlier version, for a vendor's change
    another model; empty when there is none.
    """
    chosen: list[Restore] = []
    layers: dict[int, int] = {}
    for candidate in report.candidates:
        layer = candidate.layer
        if layer is None or not candidate.change_id or not candidate.after or candidate.since_ns:
            continue
        taken = layers.get(layer, 0)
        if taken and (candidate.cleared or taken >= MOST_OF_A_LAYER):
            continue
        if before := alternative(candidate):
            layers[layer] = taken + 1
            chosen.append(
                Restore(kind=candidate.kind, before=before, after=candidate.after, change_id=candidate.change_id)
            )
    return chosen[:MAX_RESTORES]


def asks(plan: Sequence[Restore], served: Pins, *, breaking: bool) -> dict[str, Pins]:
    """The arms that one request is asked in, by name, with their pins.

    With several changes in the plan also the arm with all of them put back, and, when ``breaking``, for each change
    that reached the request together with another one the arm with all but it put back.
    """
    reached = [arm for arm in plan if arm.reached(served)]
    found: dict[str, Pins] = {SAME: _asked(served)}
    whole = {**_asked(served), **{arm.kind: arm.before for arm in reached}}
    for arm in reached:
        found[arm.key] = {**_asked(served), arm.kind: arm.before}
    if len(plan) > 1 and reached:
        found[_ALL] = whole
        if breaking and len(reached) > 1:
            asked = _asked(served)
            for arm in reached:
                kept = {arm.kind: asked[arm.kind]} if arm.kind in asked else {}
                rest = {kind: pin for kind, pin in whole.items() if kind != arm.kind}
                found[f"{_BUT}{arm.key}"] = {**rest, **kept}
    return found


@dataclass(slots=True)
class Tally:
    """The arms' results: of each request whether it had failed, and whether it passes in each arm it was asked in."""

    plan: Sequence[Restore]
    rows: list[tuple[bool, dict[str, bool]]] = field(default_factory=list)

    def add(self, failed: bool, values: Mapping[str, float | None]) -> dict[str, bool] | None:
        """One request's values by arm (None: that replay failed); None when the arm with nothing changed has none."""
        passes = {arm: value >= PASSES_AT for arm, value in values.items() if value is not None}
        if SAME not in passes:
            return None
        self.rows.append((failed, passes))
        return passes

    def arms(self) -> tuple[Arm, ...]:
        """The results so far; nothing changed comes first."""
        found = [self._arm(SAME, "same")]
        found += [self._arm(arm.key, "restore", arm) for arm in self.plan]
        if len(self.plan) > 1:
            found.append(self._arm(_ALL, "all"))
        broken = {name for _, passes in self.rows for name in passes if name.startswith(_BUT)}
        found += [self._arm(f"{_BUT}{arm.key}", "break", arm) for arm in self.plan if f"{_BUT}{arm.key}" in broken]
        return tuple(found)

    def best(self) -> tuple[str, Restore] | None:
        """The change whose putting back repairs most, with its arm's name; None while none repairs anything."""
        found = max(((self._arm(arm.key, "restore", arm).e_value, arm.key, arm) for arm in self.plan), default=None,
                    key=lambda one: one[0])  # fmt: skip
        return (found[1], found[2]) if found is not None and found[0] >= _NOTHING else None

    def mended(self, passes: Mapping[str, bool], arm: str) -> bool:
        """Whether a request fails with nothing changed and passes in an arm."""
        return passes.get(SAME) is False and passes.get(arm) is True

    @property
    def breaking(self) -> bool:
        """Whether single changes have to be broken to know more: several repair, or only all together do, or all
        together repair more than the best one."""
        if len(self.plan) < 2 or len(self.rows) < _SOME:
            return False
        proving = [arm for arm in self._restoring() if arm.e_value >= self._needed]
        if len(proving) != 1:
            return len(proving) > 1 or self._arm(_ALL, "all").e_value >= self._needed
        return self._left_over() >= self._needed

    @property
    def decided(self) -> bool:
        """Whether asking on would only cost: one arm proves its change, no other comes near and nothing is left to
        repair; of broken ones each is proof or far from it, and putting back everything is proof too; or nothing has
        said anything. The e-values allow peeking.
        """
        breaks = [arm.e_value for arm in self.arms() if arm.role == "break"]
        if breaks:
            asked = min(arm.n + arm.sound for arm in self.arms() if arm.role == "break")
            settled = all(value >= self._needed or self._far(value) for value in breaks)
            proven = any(value >= self._needed for value in breaks) and self._arm(_ALL, "all").e_value >= self._needed
            return asked >= _SOME and settled and proven
        values = sorted((arm.e_value for arm in self._restoring()), reverse=True)
        failed = sum(failed for failed, _ in self.rows)
        enough = len(self.rows) >= _ENOUGH and failed >= _SOME
        if not values or (enough and max(values[0], self._arm(_ALL, "all").e_value) < _NOTHING):
            return True
        clear = values[0] >= self._needed and all(self._far(value) for value in values[1:])
        return clear and self._far(self._left_over())

    def _far(self, value: float) -> bool:
        """Whether evidence is far from proof for good: it speaks for nothing, or has had its time."""
        return value < _NOTHING or (value < _FAR and len(self.rows) >= _ENOUGH)

    @property
    def _needed(self) -> float:
        n = len(self.plan)
        return proof_at(n + (n > 1) + sum(arm.role == "break" for arm in self.arms()))

    def _restoring(self) -> list[Arm]:
        return [self._arm(arm.key, "restore", arm) for arm in self.plan]

    def _left_over(self) -> float:
        """The evidence that putting back everything repairs more than the best single change does."""
        if len(self.plan) < 2:
            return 1.0
        best = max(self.plan, key=lambda arm: self._arm(arm.key, "restore", arm).e_value)
        return self._evidence(_ALL, best.key)

    def _arm(self, name: str, role: str, about: Restore | None = None) -> Arm:
        seen = [(failed, passes[name]) for failed, passes in self.rows if name in passes]
        against = {"same": name, "break": _ALL}.get(role, SAME)
        e_value = self._evidence(against, name) if role == "break" else self._evidence(name, against)
        return Arm(
            layer=int(LAYER_OF_KIND[about.kind]) if about else None,
            restored=_words(role, about),
            passed=sum(passes for failed, passes in seen if failed),
            n=sum(failed for failed, _ in seen),
            e_value=1.0 if role == "same" else e_value,
            role=role,  # type: ignore[arg-type]  # one of the four, as the callers give it
            change_id=about.change_id if about else "",
            sound=sum(not failed for failed, _ in seen),
            spoilt=sum(not passes for failed, passes in seen if not failed),
        )

    def _evidence(self, better: str, worse: str) -> float:
        """The paired evidence that one arm passes where the other fails more often than the other way round."""
        pairs = [(p[better], p[worse]) for _, p in self.rows if better in p and worse in p]
        return paired_e_value(sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs))


def _words(role: str, about: Restore | None) -> str:
    match role:
        case "all":
            return "everything"
        case "break":
            return f"everything but {about.kind} {about.after}" if about else ""
    return about.restored if about else ""


def _asked(served: Pins) -> dict[str, str]:
    """The versions that served; the model is left to the route."""
    return {kind: pin for kind, pin in served.items() if kind != "models"}
