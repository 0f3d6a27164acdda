"""From what the store holds to evidence: which arm served, and what the scores say. Pure but for its memory."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from trimtab.core import Rollout, Score, Span
from trimtab.registry import Arm

from .judging import RolloutTest
from .measures import LEARNT_LEAST, Limit, limit, taken
from .plan import Plan

#: Requests whose arms are remembered until their scores come.
MAX_SEEN = 50_000
#: Sessions or users that are remembered to have been counted.
MAX_UNITS = 50_000
#: Served answers that wait for a second one.
MAX_WAITING = 32
#: The mark of a request whose answer was counted as judged, beyond those of the guards.
_JUDGED = 1 << 40
#: Scores of second answers: ``by`` names the rollout, ``name`` the metric behind this.
SHADOW = "shadow"
#: The project of Trimtab's own requests and scores, which are nobody's traffic.
OWN_PROJECT = "trimtab"


@dataclass(slots=True, kw_only=True)
class Run:
    """A rollout that is judged: its plan, its evidence and where it stands.

    ``since_ns`` is when its share last moved, ``live_ns`` when the candidate first served somebody (0: not yet).
    ``answers`` counts the candidate's judged answers since ``since_ns``. ``paused`` says by whom. ``asked`` counts
    second answers, ``spent`` what they cost by the answers that were served.
    """

    rollout: Rollout
    plan: Plan
    test: RolloutTest
    since_ns: int
    live_ns: int = 0
    limits: dict[str, Limit] = field(default_factory=dict)
    paused: str = ""
    answers: int = 0
    asked: int = 0
    spent: float = 0.0
    learning: dict[str, list[float]] = field(default_factory=dict)
    learnt: bool = False
    harm_told: bool = False
    refused: str = ""
    waiting: deque[Span] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))
    units: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def bit(self, metric: str) -> int:
        """The guard's bit in the marks of requests and sessions: there are many of those, and few guards."""
        return 1 << next(i for i, guard in enumerate(self.plan.guards) if guard.metric == metric)

    def first(self, unit: str, metric: str) -> bool:
        """Whether a metric was not counted yet for what the draw sticks to; an empty unit is always new."""
        if not unit or self.plan.every_answer:
            return True
        marks, bit = self.units.get(unit, 0), self.bit(metric)
        self.units[unit] = marks | bit
        while len(self.units) > MAX_UNITS:
            self.units.popitem(last=False)
        return not marks & bit

    def shadowed(self, time_ns: int) -> bool:
        """Whether the candidate answered beside the base version then, and served nobody."""
        return self.plan.mode == "shadow" and not 0 < self.live_ns <= time_ns

    @property
    def asks(self) -> bool:
        """Whether second answers may still be asked for."""
        shadowing = self.plan.mode == "shadow" and not self.live_ns
        return shadowing and self.asked < self.plan.shadow_answers and self.spent < self.plan.shadow_usd


@dataclass(slots=True)
class _Seen:
    """A request: its arms, and what was counted of it by rollout."""

    arms: Mapping[str, Arm]
    slice: str
    time_ns: int
    cost_usd: float
    session: str
    user: str
    marks: dict[str, int] = field(default_factory=dict)
    served: dict[str, float] = field(default_factory=dict)
    second: dict[tuple[str, str], float] = field(default_factory=dict)

    def mark(self, rollout_id: str, bit: int) -> bool:
        """Whether a rollout has not counted this before; from now on it has."""
        marks = self.marks.get(rollout_id, 0)
        self.marks[rollout_id] = marks | bit
        return not marks & bit

    def unit(self, rollout: Rollout) -> str:
        """What the draw of a rollout stuck to, as the gateway chose it; empty where it was the request itself."""
        if rollout.sticky == "request" or rollout.kind == "judges":
            return ""
        return (self.user or self.session) if rollout.sticky == "user" else (self.session or self.user)

    def stratum(self, rollout_id: str) -> Hashable:
        """Comparable requests: one slice, and one arm of every other rollout, so that two at once stay apart."""
        others = tuple(sorted((other, arm) for other, arm in self.arms.items() if other != rollout_id))
        return self.slice, others


class Feed:
    """Feeds the runs in the order of commits: the same store makes the same evidence, also after a restart."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        #: True while what was seen before a restart is read again: nobody is asked for a second answer then.
        self.rebuilding = False
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def take(self, spans: Iterable[Span], scores: Iterable[Score]) -> None:
        """Requests first, then the scores of these and earlier ones."""
        for span in spans:
            if not span.parent_id and not span.project.startswith(OWN_PROJECT):
                self._request(span)
        for score in scores:
            if not math.isfinite(score.value):
                continue
            if score.by.startswith(f"{SHADOW}:"):
                self._second(score)
            elif not score.project.startswith(OWN_PROJECT):
                self._score(score)

    def _request(self, span: Span) -> None:
        known = span.attributes.get("arms")
        arms = {str(k): v for k, v in known.items() if v in ("base", "candidate")} if isinstance(known, Mapping) else {}
        judging = any(run.rollout.kind == "judges" for run in self.runs.values())
        if span.trace_id in self._seen or not (judging or any(rollout_id in self.runs for rollout_id in arms)):
            return
        seen = self._seen[span.trace_id] = _Seen(
            arms=arms,
            slice=span.tags.get("topic", ""),
            time_ns=span.end_ns,
            cost_usd=span.cost_usd or 0.0,
            session=span.session,
            user=span.tags.get("user", ""),
        )
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        for rollout_id, arm in arms.items():
            if run := self.runs.get(rollout_id):
                self._took(run, arm, span, seen)
                if run.asks and arm == "base" and not self.rebuilding:
                    run.waiting.append(span)

    def _took(self, run: Run, arm: Arm, span: Span, seen: _Seen) -> None:
        if run.shadowed(span.end_ns):
            return
        for metric, value in taken(span).items():
            if not run.test.guards(metric):
                continue
            known = run.limits.get(metric)
            if known is None:
                self._learn(run, metric, arm, value, span.end_ns)
            elif span.end_ns > known.since_ns:
                self._count(run, arm, metric, float(value <= known.most), seen, span.end_ns)

    def _learn(self, run: Run, metric: str, arm: Arm, value: float, time_ns: int) -> None:
        if arm != "base":
            return
        values = run.learning.setdefault(metric, [])
        values.append(value)
        if len(values) >= LEARNT_LEAST:
            run.limits[metric] = limit(run.learning.pop(metric), time_ns)
            run.learnt = True

    def _score(self, score: Score) -> None:
        seen = self._seen.get(score.trace_id)
        if seen is None:
            return
        if any(run.plan.mode == "shadow" for run in self.runs.values()):
            seen.served.setdefault(score.name, score.value)
        for rollout_id, run in self.runs.items():
            if not run.test.guards(score.name):
                continue
            if run.shadowed(seen.time_ns):
                self._pair(run, rollout_id, score.name, seen)
            elif arm := self._arm(run, score, seen):
                self._count(run, arm, score.name, score.value, seen, score.time_ns)

    def _arm(self, run: Run, score: Score, seen: _Seen) -> Arm:
        """Which arm made what was scored. A judge's own rollout shows in its verdicts, not in the requests."""
        rollout = run.rollout
        if rollout.kind != "judges":
            return seen.arms.get(rollout.id, "")
        if not score.by.startswith("judge:"):
            return ""
        pins: dict[str, Arm] = {
            f"{rollout.name}/{rollout.base}": "base", f"{rollout.name}/{rollout.candidate}": "candidate",
        }  # fmt: skip
        return pins.get(score.by_version, "")

    def _count(self, run: Run, arm: Arm, metric: str, value: float, seen: _Seen, time_ns: int) -> None:
        rollout_id = run.rollout.id
        if not seen.mark(rollout_id, run.bit(metric)) or not run.first(seen.unit(run.rollout), metric):
            return
        run.test.add(metric, arm == "candidate", value, seen.stratum(rollout_id))
        if arm == "candidate":
            self._judged(run, seen, time_ns)

    def _judged(self, run: Run, seen: _Seen, time_ns: int) -> None:
        if time_ns >= run.since_ns and seen.mark(run.rollout.id, _JUDGED):
            run.answers += 1

    def _second(self, score: Score) -> None:
        rollout_id, metric = score.by.partition(":")[2], score.name.partition(":")[2]
        # A second answer is none of the served trace's scores: it names that trace in its label.
        run, seen = self.runs.get(rollout_id), self._seen.get(score.label)
        if run is None or seen is None or not run.test.guards(metric):
            return
        if self.rebuilding and not any(asked == rollout_id for asked, _ in seen.second):
            run.asked += 1
            run.spent += seen.cost_usd
        seen.second[rollout_id, metric] = score.value
        self._pair(run, rollout_id, metric, seen)

    def _pair(self, run: Run, rollout_id: str, metric: str, seen: _Seen) -> None:
        served, second = seen.served.get(metric), seen.second.get((rollout_id, metric))
        if served is None or second is None or not seen.mark(rollout_id, run.bit(metric)):
            return
        run.test.pair(metric, served, second)
        self._judged(run, seen, seen.time_ns)
