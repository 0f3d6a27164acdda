"""A small world with known truth: slices, changes with exposures, one of them (or none) harmful, and a watch."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from trimtab.attribution import Evidence
from trimtab.core import Change
from trimtab.stats import EDetector, lower_bound

SECOND = 1_000_000_000
RATES = {"billing": 0.96, "setup": 0.92, "api": 0.85}


@dataclass(frozen=True)
class Seen:
    time_ns: int
    slice: str
    value: float
    trace_id: str
    pins: Mapping[str, str] = field(default_factory=dict)
    session: str = ""
    user: str = ""


@dataclass
class World:
    """Requests one a second. Each change is a list of (second, share); exposure is drawn per request."""

    seed: int
    drop: float
    plans: Mapping[tuple[str, str], Sequence[tuple[int, float]]]
    guilty: tuple[str, str] | None = None
    onset: int = 0
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def changes(self) -> list[Change]:
        return [
            change(kind, name, at, share, rollout=f"rol_{kind}" if stages[0][1] < 1 else "", step=i)
            for (kind, name), stages in self.plans.items()
            for i, (at, share) in enumerate(stages)
        ]

    def share(self, asset: tuple[str, str], second: int) -> float:
        return next((share for at, share in reversed(self.plans[asset]) if at <= second), 0.0)

    def request(self, second: int) -> Seen:
        pins, harmed = {}, self.guilty is None and 0 < self.onset <= second
        for kind, name in self.plans:
            new = self.rng.random() < self.share((kind, name), second)
            pins[kind] = f"{name}/{2 if new else 1}"
            harmed = harmed or (new and (kind, name) == self.guilty)
        slice_ = self.rng.choice(list(RATES))
        value = float(self.rng.random() < RATES[slice_] - (self.drop if harmed else 0.0))
        return Seen(second * SECOND, slice_, value, f"t{second}", pins)

    def evidence(self, limit: int = 8000) -> Evidence | None:
        """Run until a detector with references of 400 alarms; None if it never does."""
        baselines = {s: sum(self.rng.random() < p for _ in range(400)) / 400 for s, p in RATES.items()}
        lows = {s: lower_bound(round(mean * 400), 400, 1e-3) for s, mean in baselines.items()}
        detector, seen = EDetector(4e6, 0.9), []
        for second in range(1, limit):
            seen.append(self.request(second))
            detector.update(seen[-1].value, lows[seen[-1].slice])
            if detector.fired:
                return Evidence(
                    signal="quality", slice="", alarm_ns=seen[-1].time_ns, onset_ns=seen[-detector.n_since].time_ns,
                    observations=seen, baselines=baselines,
                )  # fmt: skip
        return None


def change(kind: str, name: str, at: int, share: float = 1.0, *, rollout: str = "", step: int = 0) -> Change:
    action = "label" if not rollout else ("rollout" if step == 0 else "share" if share < 1 else "promote")
    return Change(
        id=f"{kind}-{name}-{step}", time_ns=at * SECOND, action=action, kind=kind, name=name, before=f"{name}/1",
        after=f"{name}/2", actor="mara", share=share, rollout=rollout,
    )  # fmt: skip


@pytest.fixture
def world() -> type[World]:
    return World
