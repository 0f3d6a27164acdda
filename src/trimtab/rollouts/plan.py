"""The plan of a rollout: its stages, what is guarded, and how sure one must be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from trimtab.core import BadInput

#: ``auto`` moves by itself; ``watch`` judges and moves nothing; ``shadow`` lets both versions answer before it is auto.
MODES = ("auto", "watch", "shadow")
DIRECTIONS = ("higher", "lower")
#: Metrics that are no scores: whether an answer stayed within a limit that the base version's own answers set.
LATENCY, COST = "latency", "cost"
STAGES = (0.05, 0.25, 0.5, 1.0)
MAX_GUARDS, MAX_STAGES = 20, 20
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,99}")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A metric that may not get worse. ``margin`` is the smallest fall of its mean that matters.

    ``metric`` is the name of a score, ``latency`` or ``cost``. ``better`` says which way is good. ``weight`` is its
    part of the allowed error. A guard that somebody ``named`` must be measured; one that stands there by default does
    not apply where neither version measures it.
    """

    metric: str
    margin: float = 0.05
    better: str = "higher"
    weight: float = 1.0
    named: bool = True

    def check(self) -> None:
        """Raise BadInput that names the field for what cannot be guarded."""
        if not _METRIC.fullmatch(self.metric):
            mend = "Name a score such as quality, or latency, or cost."
            raise BadInput(f"{self.metric[:120]!r} is no metric.", field="guards.metric", mend=mend)
        if not 0.005 <= self.margin <= 0.5:
            mend = "Give 0.005 to 0.5, for example 0.03 for 3 points."
            raise BadInput(f"{self.margin} is no margin of {self.metric}.", field="guards.margin", mend=mend)
        if self.better not in DIRECTIONS:
            mend = f"Use one of {', '.join(DIRECTIONS)}."
            raise BadInput(f"{self.better!r} is no direction of {self.metric}.", field="guards.better", mend=mend)
        if not 0.0 < self.weight <= 1000.0:
            mend = "Give more than 0 and at most 1000."
            raise BadInput(f"{self.weight} is no weight of {self.metric}.", field="guards.weight", mend=mend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a rollout goes on.

    ``stages`` are the shares in order; none means that it stays where it started. A stage takes at least ``least_s``
    seconds and ``least_answers`` judged answers of the candidate. Of the last stage ``holdback`` stays on the base
    version for ``hold_s`` seconds, to compare with. ``alpha`` bounds the chance that a candidate that is not worse is
    rolled back, over all guards and however often one looks; ``beta`` that one that is worse by its margin is promoted.
    A shadow asks at most ``shadow_answers`` second answers, and stops at about ``shadow_usd`` US dollars.

    Where the draw sticks to a session or a user, the first judged answer of each counts: the answers of one session
    share their luck, and counted one by one they would say more than they know. ``every_answer`` counts them all, which
    is faster, and right only where they are independent.
    """

    mode: str = "auto"
    stages: tuple[float, ...] = STAGES
    guards: tuple[Guard, ...] = ()
    least_s: float = 600.0
    least_answers: int = 50
    holdback: float = 0.05
    hold_s: float = 3600.0
    alpha: float = 0.01
    beta: float = 0.05
    shadow_answers: int = 300
    shadow_usd: float = 1.0
    every_answer: bool = False

    def check(self) -> Plan:
        """The plan itself. Raises BadInput that names the field and the mend."""
        if self.mode not in MODES:
            raise BadInput(f"{self.mode!r} is no mode.", field="mode", mend=f"Use one of {', '.join(MODES)}.")
        self._check_stages()
        if not self.guards or len(self.guards) > MAX_GUARDS:
            raise BadInput(f"{len(self.guards)} guards.", field="guards", mend=f"Name 1 to {MAX_GUARDS}.")
        for guard in self.guards:
            guard.check()
        if len({guard.metric for guard in self.guards}) < len(self.guards):
            raise BadInput("A metric is guarded twice.", field="guards", mend="Name each metric once.")
        _within("least_s", self.least_s, 0.0, 30 * _DAY_S, "Give seconds, up to 30 days.")
        _within("hold_s", self.hold_s, 0.0, 30 * _DAY_S, "Give seconds, up to 30 days.")
        _within("least_answers", self.least_answers, 1, 1_000_000, "Give 1 to 1,000,000.")
        _within("holdback", self.holdback, 0.0, 0.5, "Give 0 to 0.5, for example 0.05 for 5 %.")
        _within("alpha", self.alpha, 1e-6, 0.2, "Give 0.000001 to 0.2, for example 0.01.")
        _within("beta", self.beta, 1e-6, 0.2, "Give 0.000001 to 0.2, for example 0.05.")
        _within("shadow_answers", self.shadow_answers, 1, 100_000, "Give 1 to 100,000.")
        _within("shadow_usd", self.shadow_usd, 0.0, 1e6, "Give US dollars.")
        return self

    def _check_stages(self) -> None:
        if len(self.stages) > MAX_STAGES:
            raise BadInput(f"{len(self.stages)} stages.", field="stages", mend=f"Give at most {MAX_STAGES}.")
        if any(not 0.0 < share <= 1.0 for share in self.stages) or any(a >= b for a, b in pairwise(self.stages)):
            mend = "Give growing shares above 0 and up to 1, for example 0.05, 0.25, 0.5, 1."
            raise BadInput("The stages are no growing shares.", field="stages", mend=mend)
        if self.mode == "shadow" and not self.stages:
            mend = "Give at least one stage; the rollout waits before it until both versions were compared."
            raise BadInput("A shadow without stages leads nowhere.", field="stages", mend=mend)

    def share_of(self, stage: int) -> float:
        """The candidate's share in a stage; the last one leaves the holdback out. Stage -1 is the shadow."""
        return min(self.stages[stage], 1.0 - self.holdback) if stage >= 0 else 0.0

    def stage_at(self, share: float) -> int:
        """The last stage that a share has reached; -1 before the first."""
        reached = [i for i in range(len(self.stages)) if self.share_of(i) <= share + 1e-9]
        return reached[-1] if reached else -1

    def next_share(self, share: float) -> float:
        """What the next step gives the candidate: the next stage, or everybody."""
        following = self.stage_at(share) + 1
        return self.stages[following] if following < len(self.stages) else 1.0

    def error_of(self, guard: Guard) -> float:
        """The guard's part of ``alpha``."""
        return self.alpha * guard.weight / sum(other.weight for other in self.guards)


def width(guard: Guard, share: float) -> float:
    """How much worse the candidate may still be when it is given ``share``: all users together lose at most the margin.

    So a small step needs little proof, and only the step to everybody needs the margin itself.
    """
    return min(1.0, guard.margin / share) if share > 0.0 else 1.0


def default_guards(kind: str, *, judged: bool) -> tuple[Guard, ...]:
    """What is guarded where nobody says what. Judged answers are few, so they get two thirds of the error."""
    if kind == "judges":
        return (Guard(metric="judge_agreement", named=False),)
    checks = tuple(
        Guard(metric=name, margin=0.03, named=False) for name in ("answered", "allowed", "cites", "grounded")
    )
    limits = tuple(Guard(metric=name, named=False) for name in (LATENCY, COST))
    rest = checks + limits
    return (Guard(metric="quality", weight=2.0 * len(rest), named=False), *rest) if judged else rest


def with_guards(plan: Plan, guards: Iterable[Guard]) -> Plan:
    """The plan with these guards where it has none."""
    return plan if plan.guards else replace(plan, guards=tuple(guards))


def _within(field: str, value: float, low: float, high: float, mend: str) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise BadInput(f"{value} is out of range.", field=field, mend=mend)
