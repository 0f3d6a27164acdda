"""How often a policy stops what it should not, and finds what it should: each scanner alone, and all of them together.

Five filters that each stop 10 % of good requests stop up to 41 % together (``1 - 0.9 ** 5``), less where their mistakes
fall on the same texts. So the joint rate is measured, and the rate that independent scanners would have stands beside
it. Intervals are Wilson's (95 %).
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trimtab.core import BadInput, Later

from .policy import Policy
from .scanner import STAGES, Match, Scan
from .text import Context, Text, Turn
from .verdicts import Verdict

if TYPE_CHECKING:
    from trimtab import stats
else:
    stats = Later("trimtab.stats")

#: Sets of good requests: the budget counts these. ``hard`` texts use an attacker's words innocently and are told apart.
#: So are the requests of blocks that people called wrong: they were chosen for being stopped, and are no sample.
ORDINARY = ("ordinary", "traffic")
HARD, WRONG = "hard", "wrong blocks"
#: The share of ordinary good requests that a policy may stop where it names no budget of its own.
BUDGET = 0.01
#: Cases of one measurement at most.
MOST = 20_000
#: Actions that stop a request until somebody has looked.
STOPPING = ("block", "escalate")
#: In a document or a tool's result a redaction counts as well: it takes the sentence out of what the model reads.
STOPPING_IN_CONTENT = (*STOPPING, "redact")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One text, and whether it is to be stopped. ``group`` is its set: ordinary, hard, traffic or a kind of attack.

    ``answer`` is what a model answered to it: then text and answer are one case, which is stopped where either is.
    ``passages`` and ``system`` are what the scanners of the answer may know.
    """

    text: str
    attack: bool
    group: str
    stage: str = "input"
    source: str = "user"
    turns: tuple[Turn, ...] = ()
    answer: str = ""
    passages: tuple[str, ...] = ()
    system: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of so many, as a share with its interval."""

    hits: int
    n: int

    @property
    def share(self) -> float:
        """The share; 0 of none is 0."""
        return self.hits / self.n if self.n else 0.0

    def told(self) -> dict[str, Any]:
        """For JSON."""
        low, high = stats.wilson(self.hits, self.n) if self.n else (0.0, 1.0)
        return {
            "hits": self.hits, "n": self.n, "share": round(self.share, 5),
            "low": round(low, 5), "high": round(high, 5),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One scanner or rule: what it stops on each set, what only it stops, and the milliseconds that a scanner took.

    What several scanners need, such as the words of a text, is worked out and paid for by the first of them.
    """

    rule: str
    stops: Mapping[str, Rate]
    alone: Mapping[str, Rate]
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The measurement of one policy. ``cut`` is how many cases the time did not allow.

    ``answered`` are the ordinary good requests whose answers are known. Of the others only the way in is measured, so
    that among all of them what scanners of answers stop would count for little.
    """

    joint: Mapping[str, Rate]
    touched: Mapping[str, Rate]
    rows: tuple[Row, ...]
    attacks: frozenset[str]
    budget: float
    answered: Rate = Rate(0, 0)
    failures: Mapping[str, int] = field(default_factory=dict)
    cut: int = 0
    seconds: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0

    @property
    def false_positives(self) -> Rate:
        """Ordinary good requests that the whole policy stops."""
        return _sum(self.joint, [name for name in ORDINARY if name in self.joint])

    @property
    def recall(self) -> Rate:
        """Attacks that the whole policy stops."""
        return _sum(self.joint, sorted(self.attacks))

    @property
    def independent(self) -> float:
        """The share of ordinary requests that would be stopped if no two scanners erred on the same text."""
        passing = math.prod(1 - _sum(row.stops, ORDINARY).share for row in self.rows)
        return 1 - passing

    @property
    def over(self) -> bool:
        """Whether it stops more ordinary requests than its budget allows, or surely more of those with answers: these
        may be few, so the lower end of their interval counts."""
        return self.false_positives.share > self.budget or self._over_with_answers

    @property
    def _over_with_answers(self) -> bool:
        return bool(self.answered.hits) and self.answered.told()["low"] > self.budget

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "budget": self.budget,
            "over_budget": self.over,
            "false_positives": self.false_positives.told(),
            "answered": self.answered.told(),
            "independent": round(self.independent, 5),
            "recall": self.recall.told(),
            "sets": [
                {
                    "set": name,
                    "attack": name in self.attacks,
                    "stopped": rate.told(),
                    "touched": self.touched[name].told(),
                }
                for name, rate in self.joint.items()
            ],
            "scanners": [
                {
                    "rule": row.rule,
                    "false_positives": _sum(row.stops, ORDINARY).told(),
                    "hard": row.stops.get(HARD, Rate(0, 0)).told(),
                    "recall": _sum(row.stops, sorted(self.attacks)).told(),
                    "only_it_false": _sum(row.alone, ORDINARY).told(),
                    "only_it_recall": _sum(row.alone, sorted(self.attacks)).told(),
                    "p50_ms": row.p50_ms if row.p50_ms is None else round(row.p50_ms, 3),
                    "p95_ms": row.p95_ms if row.p95_ms is None else round(row.p95_ms, 3),
                }
                for row in self.rows
            ],
            "failures": dict(self.failures),
            "cut": self.cut,
            "seconds": round(self.seconds, 3),
            "p50_ms": round(self.p50_ms, 3),
            "p95_ms": round(self.p95_ms, 3),
        }

    def refusal(self) -> str:
        """The numbers in a sentence, for the one whose policy goes over its budget."""
        lately = self.false_positives.share <= self.budget
        told = (self.answered if lately else self.false_positives).told()
        what = "requests whose answers are known" if lately else "ordinary requests"
        worst = sorted(self.rows, key=lambda row: -_sum(row.stops, ORDINARY).hits)[:3]
        names = ", ".join(
            f"{row.rule} {_sum(row.stops, ORDINARY).share:.2%}" for row in worst if _sum(row.stops, ORDINARY).hits
        )
        return (
            f"it stops {told['hits']} of {told['n']} {what} ({told['share']:.2%}, 95 % interval "
            f"{told['low']:.2%} to {told['high']:.2%}); its budget is {self.budget:.2%}. By scanner: {names or 'none'}"
        )


@dataclass(slots=True)
class _Tally:
    n: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    staged: dict[tuple[tuple[str, ...], str], int] = field(default_factory=lambda: defaultdict(int))
    joint: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    touched: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    stops: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    alone: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    #: Of the ordinary good ones with an answer: how many were stopped, and how many there were.
    answered: list[int] = field(default_factory=lambda: [0, 0])

    def take(self, case: Case, verdicts: Mapping[str, Verdict]) -> None:
        """Count a case by the verdict of each stage that it went through."""
        group = case.group
        stopping: set[str] = set()
        for stage, verdict in verdicts.items():
            content = stage == case.stage and case.source in ("document", "tool")
            actions = STOPPING_IN_CONTENT if content else STOPPING
            stopping |= {finding.rule for finding in verdict.findings if finding.action in actions}
            stopping |= {failure.rule for failure in verdict.failures if failure.fail == "closed"}
            for failure in verdict.failures:
                self.failed[f"{failure.rule}: {failure.why}"] += 1
        self.n[group] += 1
        self.staged[(tuple(verdicts), group)] += 1
        self.touched[group] += bool(stopping) or any(verdict.findings for verdict in verdicts.values())
        self.joint[group] += bool(stopping)
        if case.answer and not case.attack and group in ORDINARY:
            self.answered = [self.answered[0] + bool(stopping), self.answered[1] + 1]
        for rule in stopping:
            self.stops[(rule, group)] += 1
            if len(stopping) == 1:
                self.alone[(rule, group)] += 1


def measure(
    policy: Policy,
    cases: Iterable[Case],
    *,
    budget: float | None = None,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> Report:
    """Put every case through its stage of the policy. No model is called: an escalation counts as a stop.

    ``seconds`` bounds the time; cases that no longer fit are counted in ``cut``. ``budget`` is a share; without it the
    policy's own counts, or 1 %.
    """
    began, tally, times, cut = clock(), _Tally(), [], 0
    clocked: dict[str, list[float]] = defaultdict(list)
    timed = _timed(policy, clocked, clock)
    attacks: set[str] = set()
    for case in cases:
        if clock() - began > seconds:
            cut += 1
            continue
        if case.attack:
            attacks.add(case.group)
        verdicts: dict[str, Verdict] = {}
        for stage, text, context in _stages(case):
            before = clock()
            verdicts[stage] = timed.scan(stage, text, context=context)
            times.append((clock() - before) * 1000)
        tally.take(case, verdicts)
    written = policy.budget.false_positives
    return Report(
        joint={name: Rate(tally.joint[name], n) for name, n in tally.n.items()},
        touched={name: Rate(tally.touched[name], n) for name, n in tally.n.items()},
        rows=_rows(policy, tally, clocked),
        attacks=frozenset(attacks),
        budget=budget if budget is not None else written if written is not None else BUDGET,
        answered=Rate(*tally.answered),
        failures=dict(list(tally.failed.items())[:50]),
        cut=cut,
        seconds=clock() - began,
        p50_ms=_quantile(times, 0.5) or 0.0,
        p95_ms=_quantile(times, 0.95) or 0.0,
    )


def _stages(case: Case) -> Iterator[tuple[str, str, Context]]:
    """What is scanned of a case, and what its scanners may know."""
    yield case.stage, case.text, Context(source=case.source, turns=case.turns)
    if case.answer:
        known = Context(source="assistant", asked=case.text, passages=case.passages, system=case.system)
        yield "output", case.answer, known


def _timed(policy: Policy, times: dict[str, list[float]], clock: Callable[[], float]) -> Policy:
    """The policy with every scanner noting the milliseconds it took, by its name in the policy."""

    def noting(name: str, scan: Scan) -> Scan:
        def run(text: Text) -> Sequence[Match]:
            began = clock()
            try:
                return scan(text)
            finally:
                times[name].append((clock() - began) * 1000)

        return run

    stages = {
        name: replace(stage, entries=tuple(replace(e, scan=noting(e.name, e.scan)) for e in stage.entries))
        for name, stage in policy.stages.items()
    }
    return replace(policy, stages=stages, clean={}, askable={})


def _quantile(times: Sequence[float], share: float) -> float | None:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] if times else None


def cases_from(records: Sequence[Mapping[str, Any]]) -> list[Case]:
    """Cases from records: ``text`` or ``messages``, ``label`` (benign, or anything else for an attack), and optionally
    ``set`` (or ``category``), ``stage``, ``source`` and ``answer``. Raises BadInput naming the record."""
    if len(records) > MOST:
        raise BadInput(f"there are {len(records)} cases", field="cases", mend=f"Give at most {MOST}.")
    return [_case(record, f"cases[{number}]") for number, record in enumerate(records)]


def _case(record: Mapping[str, Any], where: str) -> Case:
    if not isinstance(record, Mapping):
        raise BadInput("must be an object", field=where, mend='Write {"text": "...", "label": "benign"}.')
    text, turns = _said(record, where)
    label = record.get("label", "benign")
    stage, source = record.get("stage", "input"), record.get("source", "user")
    if stage not in STAGES:
        raise BadInput(f"{stage!r} is no stage", field=f"{where}.stage", mend=f"Use one of {', '.join(STAGES)}.")
    if source not in ("user", "document", "tool", "assistant"):
        source = "user"  # the name of a data set, as published sets write it
    answer = record.get("answer", "")
    if not isinstance(answer, str) or (answer and stage != "input"):
        raise BadInput("must be the answer to an input", field=f"{where}.answer", mend="Write text, or leave it out.")
    attack = label != "benign"
    named = str(record.get("set") or record.get("category") or "")
    hard = HARD if "hard" in named else "ordinary"
    return Case(
        text=text, attack=attack, group=(named or str(label)) if attack else named if named == "traffic" else hard,
        stage=str(stage), source=str(source), turns=turns, answer=answer,
    )  # fmt: skip


def _said(record: Mapping[str, Any], where: str) -> tuple[str, tuple[Turn, ...]]:
    messages = record.get("messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str) and messages:
        turns = tuple(
            Turn(str(each.get("role", "user")), str(each.get("content", "")))
            for each in messages
            if isinstance(each, Mapping)
        )
        if turns:
            return turns[-1].text, turns[:-1]
    text = record.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadInput("has neither text nor messages", field=where, mend='Write {"text": "...", "label": "benign"}.')
    return text, ()


def _rows(policy: Policy, tally: _Tally, times: Mapping[str, Sequence[float]]) -> tuple[Row, ...]:
    written = [name for stage in policy.stages.values() for name in stage.names]
    names = list(dict.fromkeys([*written, *(name for name, _group in tally.stops)]))

    def rates(counts: Mapping[tuple[str, str], int], name: str) -> dict[str, Rate]:
        """Of the cases of the stages where it stands: a rule for answers says nothing about questions."""
        stages = [stage for stage, held in policy.stages.items() if name in held.names] or list(STAGES)
        n: dict[str, int] = defaultdict(int)
        for (went_through, group), count in tally.staged.items():
            n[group] += count if set(stages) & set(went_through) else 0
        return {group: Rate(counts[(name, group)], of) for group, of in n.items() if of}

    return tuple(
        Row(
            rule=name,
            stops=rates(tally.stops, name),
            alone=rates(tally.alone, name),
            p50_ms=_quantile(times.get(name, ()), 0.5),
            p95_ms=_quantile(times.get(name, ()), 0.95),
        )
        for name in names
    )


def _sum(rates: Mapping[str, Rate], names: Sequence[str]) -> Rate:
    chosen = [rates[name] for name in names if name in rates]
    return Rate(sum(rate.hits for rate in chosen), sum(rate.n for rate in chosen))
