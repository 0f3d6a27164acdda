"""Pass, fail or cannot tell yet: the answer that a build may rely on.

``fail`` says that new is proven worse and a drop of ``max_drop`` cannot be ruled out. ``pass`` says that a drop of
``max_drop`` or more is ruled out. Everything else is ``cannot tell yet``, with about how many cases more would decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.core import BadInput
from trimtab.stats import NO_WORSE, WORSE, AnytimeGate, Design, PairedDifference, cases_needed, normal_quantile

from .compare import Delta, compare, paired_cases
from .dataset import ADVERSARIAL, KINDS
from .estimate import PassRate
from .figures import percent, points
from .results import Scored

PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot tell yet"
EXIT_CODES = {PASS: 0, FAIL: 1, CANNOT_TELL: 2}
#: The smallest drop of interest, in rate.
MAX_DROP = 0.05
_MOST_CASES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """``exit_code`` is 0, 1 or 2. ``more_cases``: about how many more would decide, None when decided or out of reach.

    ``kind`` is that of the cases (golden, adversarial, ...), "" where nobody said, and ``score`` the name of the score
    that was looked at.

    A gate that may be looked at any time has ``decided_at``, the number of cases after which it was decided, and
    ``anytime``, the interval for the difference that holds at all looks at once.
    """

    answer: str
    exit_code: int
    why: str
    alpha: float
    max_drop: float | None = None
    floor: float | None = None
    more_cases: int | None = None
    decided_at: int | None = None
    anytime: tuple[float, float] | None = None
    delta: Delta | None = None
    rate: PassRate | None = None
    kind: str = ""
    score: str = ""

    @property
    def about(self) -> str:
        """What the figures mean for this kind of cases, a sentence; "" where it needs none."""
        return _about(self)


def gate(
    new: Sequence[Scored], old: Sequence[Scored], *, max_drop: float = MAX_DROP, alpha: float = 0.05
) -> GateResult:
    """One look at two finished runs. Raises what ``compare`` raises, and BadInput for settings out of range.

    Each wrong answer (failing a build that is not worse, passing one that is worse by ``max_drop``) has a probability
    of at most about ``alpha``. Looking again after adding cases breaks that: use ``gate_any_time``.
    """
    _check(max_drop, alpha)
    delta = compare(new, old)
    test = delta.test
    small, worse = test.p_drop(max_drop) < alpha, test.p_worse() < alpha
    change = f"{percent(delta.old_rate)} to {percent(delta.new_rate)} on {delta.cases} cases"
    if small:
        answer, why = PASS, f"{change}: a drop of {percent(max_drop)} or more is ruled out."
    elif worse:
        answer, why = FAIL, f"{change}: it is worse, by {points(-delta.value)} points or so."
    else:
        answer, why = (
            CANNOT_TELL,
            (
                f"{change}: neither a drop nor its absence is proven; these cases would find a drop of "
                f"{points(delta.detectable)} points."
            ),
        )
    more = _more_cases(test, max_drop, alpha) if answer == CANNOT_TELL else None
    return GateResult(
        answer=answer,
        exit_code=EXIT_CODES[answer],
        why=why,
        alpha=alpha,
        max_drop=max_drop,
        more_cases=more,
        delta=delta,
    )


def gate_any_time(
    new: Sequence[Scored], old: Sequence[Scored], *, max_drop: float = MAX_DROP, alpha: float = 0.05
) -> GateResult:
    """The same question while the run goes on: it may be asked after every case, and once decided it stays decided.

    Cases are taken in the order of ``new``, which must not depend on the answers; give finished cases only (all
    repeats in). The cases of one cluster are one observation, their mean: run them together and look between clusters.
    Raises as ``gate`` does.
    """
    _check(max_drop, alpha)
    delta = compare(new, old)
    machine = AnytimeGate(max_drop=max_drop, alpha=alpha)
    clusters: dict[str, list[float]] = {}
    for mine, theirs in paired_cases(new, old):
        clusters.setdefault(mine.cluster, []).append(min(1.0, max(-1.0, mine.mean - theirs.mean)))
    decided_at: int | None = None
    seen = 0
    for differences in clusters.values():
        seen += len(differences)
        answer = machine.pair(sum(differences) / len(differences))
        if decided_at is None and answer in (WORSE, NO_WORSE):
            decided_at = seen
    answers = {WORSE: FAIL, NO_WORSE: PASS}
    answer = answers.get(machine.answer, CANNOT_TELL)
    worse, no_worse = machine.evidence
    whys = {
        FAIL: f"proven worse after {decided_at} cases.",
        PASS: f"a drop of {percent(max_drop)} or more was ruled out after {decided_at} cases.",
        CANNOT_TELL: f"after {seen} cases the evidence of a drop is {worse:.2g}, that of no drop of "
        f"{percent(max_drop)} is {no_worse:.2g}; {1.0 / alpha:.0f} decides.",
    }
    more = _more_cases(delta.test, max_drop, alpha) if answer == CANNOT_TELL else None
    return GateResult(
        answer=answer,
        exit_code=EXIT_CODES[answer],
        why=whys[answer],
        alpha=alpha,
        max_drop=max_drop,
        more_cases=more,
        decided_at=decided_at,
        anytime=machine.interval(),
        delta=delta,
    )


def gate_floor(rate: PassRate, floor: float) -> GateResult:
    """Is the pass rate at least ``floor``? By the ends of its interval; a rate not to be trusted answers nothing."""
    if not 0.0 < floor < 1.0:
        raise BadInput(f"{floor} is no pass rate.", field="floor", mend="Give one such as 0.8.")
    said = f"{percent(rate.value)} ({percent(rate.low)} to {percent(rate.high)}), the floor is {percent(floor)}"
    if not rate.trusted:
        answer, why = CANNOT_TELL, f"{said}: {rate.doubt or 'its rate proves nothing'}."
    elif rate.low >= floor:
        answer, why = PASS, f"{said}."
    elif rate.high < floor:
        answer, why = FAIL, f"{said}."
    else:
        answer, why = CANNOT_TELL, f"{said}."
    alpha = (1.0 - rate.level) / 2.0
    return GateResult(answer=answer, exit_code=EXIT_CODES[answer], why=why, alpha=alpha, floor=floor, rate=rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What a comparison as planned would find; shares, not points. ``cases_for_80``: cases for 80 % power."""

    cases: int
    repeats: int
    drop: float
    power: float
    detectable: float
    cases_for_80: int | None
    sentence: str


def power_of(
    *,
    cases: int,
    repeats: int = 1,
    drop: float = MAX_DROP,
    rate: float = 0.8,
    steadiness: float | None = None,
    alpha: float = 0.05,
) -> Power:
    """Power before running. ``steadiness`` comes from a repeat run (``Stability.steadiness``); None: a usual suite's.

    Raises BadInput for a plan out of range.
    """
    if not 0.0 < drop < 1.0:
        raise BadInput(f"{drop} is no drop.", field="drop", mend="Give one such as 0.05.")
    known = {} if steadiness is None else {"steadiness": steadiness}
    design = Design(cases=cases, repeats=repeats, rate=rate, alpha=alpha, **known)
    power = design.power(drop)
    what = f"{cases} cases x {repeats} repeat{'s' * (repeats != 1)}"
    sentence = f"{what} finds a {points(drop)}-point drop with {percent(power, 0)}"
    return Power(
        cases=cases,
        repeats=repeats,
        drop=drop,
        power=power,
        detectable=design.detectable(),
        cases_for_80=cases_needed(design, drop),
        sentence=sentence,
    )


def _about(result: GateResult) -> str:
    delta, rate = result.delta, result.rate
    if result.kind != ADVERSARIAL:
        return f"The cases are a {result.kind} set: {KINDS[result.kind]}." if result.kind in KINDS else ""
    if rate is not None:
        success = percent(1.0 - rate.value)
        span = f" ({percent(1.0 - rate.high)} to {percent(1.0 - rate.low)})"
    elif delta is not None:
        success, span = percent(1.0 - delta.new_rate), f", before {percent(1.0 - delta.old_rate)}"
    else:
        return ""
    what = "The cases are an adversarial set, on which a pass is an attack that failed"
    return f"{what}: attack success is {success}{span}."


def _check(max_drop: float, alpha: float) -> None:
    if not 0.0 < max_drop < 1.0:
        raise BadInput(f"{max_drop} is no drop.", field="max_drop", mend="Give one such as 0.05.")
    if not 0.0 < alpha < 0.5:
        raise BadInput(f"{alpha} is no error rate.", field="alpha", mend="Give one such as 0.05.")


def _more_cases(test: PairedDifference, max_drop: float, alpha: float) -> int | None:
    """Further cases for an 80 % chance of deciding, if the difference is what it seems."""
    gap = max(-test.value, test.value + max_drop)
    error = test.error if not test.few else math.sqrt(2.0 / test.n) / math.sqrt(test.n)
    needed = test.n * ((normal_quantile(1.0 - alpha) + normal_quantile(0.8)) * error / gap) ** 2
    return max(1, math.ceil(needed - test.n)) if needed <= _MOST_CASES else None
