"""Replay plans: which pins to put back, one layer at a time, beside an arm in which nothing changed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.attribution import PROVEN_AT, Arm, Candidate, Report
from trimtab.core import LAYER_OF_KIND, Layer, Span
from trimtab.stats import paired_e_value

#: A value below this is a failure, here as in the report.
PASSES_AT = 0.5
#: One arm a layer.
MAX_ARMS = len(Layer)
#: An arm with less than this is far from proof: the contest is decided once one arm proves and the others are here.
_FAR = 20.0

Pins = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Put one layer back: of requests that ``after`` served, ask again with ``before``."""

    kind: str
    before: str
    after: str

    @property
    def restored(self) -> str:
        """What was put back, for people."""
        return f"{self.kind} {self.before}"

    def pins(self, served: Pins) -> Pins | None:
        """The pins to ask again with; None where the change did not reach the request."""
        if served.get(self.kind) != self.after:
            return None
        return {**_asked(served), self.kind: self.before}


def unchanged(served: Pins) -> Pins:
    """The pins of the arm in which nothing changed: the versions that served; the model is left to the route."""
    return _asked(served)


def restores(report: Report, alternative: Callable[[Candidate], str]) -> list[Restore]:
    """The arms worth asking: for each layer its most believed change, if there is something to put back.

    ``alternative`` answers the pin that stands in for what was before: the earlier version, for a vendor's change
    another model; empty when there is none.
    """
    chosen: dict[int, Restore] = {}
    for candidate in report.candidates:
        layer = candidate.layer
        if layer is None or layer in chosen or not candidate.change_id or not candidate.after:
            continue
        if before := alternative(candidate):
            chosen[layer] = Restore(kind=candidate.kind, before=before, after=candidate.after)
    return list(chosen.values())[:MAX_ARMS]


def served_by(root: Span, judge: str) -> Pins:
    """The pins by registry kind that served a recorded request, and the judge that is none of its stamp."""
    pins = {kind: root.stamp.pin(layer) for kind, layer in LAYER_OF_KIND.items() if kind not in ("judges", "datasets")}
    return {kind: pin for kind, pin in (*pins.items(), ("judges", judge)) if pin}


@dataclass(slots=True)
class Tally:
    """The arms' results, counted in pairs against the arm in which nothing changed."""

    plan: Sequence[Restore]
    asked: int = 0
    passed: int = 0
    won: dict[str, list[int]] = field(default_factory=dict)

    def add(self, same: float, put_back: Sequence[float | None]) -> None:
        """One request: its value with nothing changed, and in each arm of the plan (None: it was not asked)."""
        self.asked += 1
        self.passed += same >= PASSES_AT
        for arm, value in zip(self.plan, put_back, strict=True):
            if value is not None:
                counts = self.won.setdefault(arm.kind, [0, 0, 0, 0])
                counts[0] += 1
                counts[1] += value >= PASSES_AT
                counts[2] += value >= PASSES_AT > same
                counts[3] += same >= PASSES_AT > value

    def arms(self) -> tuple[Arm, ...]:
        """The results so far; nothing changed comes first."""
        found = [Arm(layer=None, restored="", passed=self.passed, n=self.asked, e_value=1.0)]
        for arm in self.plan:
            n, passed, wins, losses = self.won.get(arm.kind, (0, 0, 0, 0))
            layer, e_value = int(LAYER_OF_KIND[arm.kind]), paired_e_value(wins, losses)
            found.append(Arm(layer=layer, restored=arm.restored, passed=passed, n=n, e_value=e_value))
        return tuple(found)

    @property
    def decided(self) -> bool:
        """One arm proves its layer and no other comes near: asking on would only cost. The e-values allow peeking."""
        values = sorted((arm.e_value for arm in self.arms() if arm.layer is not None), reverse=True)
        return bool(values) and values[0] >= PROVEN_AT and all(value < _FAR for value in values[1:])


def _asked(served: Pins) -> dict[str, str]:
    return {kind: pin for kind, pin in served.items() if kind != "models"}
