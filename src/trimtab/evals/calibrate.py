"""Expert labels against a judge's verdicts: may this judge be believed?

Only the test side of the split is measured. A criterion is certified when the lower bound of Cohen's kappa is above the
bar; looks at the same test labels share one error rate (``stats.look_alpha``), so that trying ten rubrics certifies a
judge below the bar in at most 5 % of all attempts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput
from trimtab.stats import (
    Bias,
    Interval,
    alpha_interval,
    cohen_kappa,
    confusion,
    design_effect,
    kappa_interval,
    kappa_lower,
    kappa_standard_error,
    kappa_upper,
    look_alpha,
    normal_quantile,
    rate_interval,
)

from .biases import diagnose
from .labels import Consensus, Label, consensus
from .results import PASS, MixedJudges, Scored
from .splits import Split, of_side

CERTIFIED, NOT_CERTIFIED, CANNOT_TELL = "certified", "not certified", "cannot tell"
#: The lower bound of kappa that certifies.
BAR = 0.8
#: More labels than this are not worth naming.
_MOST_LABELS = 20_000
#: A judge that gives no verdict on more than this share of the test cases cannot be certified.
_MOST_ERRORS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Counts, people's verdict first: ``fail_pass`` are failures that the judge let pass."""

    pass_pass: int
    pass_fail: int
    fail_pass: int
    fail_fail: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionCalibration:
    """One criterion. Intervals are two-sided 95 %; ``lower`` is the one-sided bound of this look, at ``alpha``.

    ``ceiling`` is Krippendorff's alpha among people, None where no case has two of them. ``flips`` is how often the
    judge changed its verdict when asked again. ``more_labels``: about how many further test labels would decide, None
    when decided or out of reach. ``cases`` are the test cases measured; ``unsettled`` those where people are split.
    """

    criterion: str
    answer: str
    why: str
    cases: int
    errors: int
    unsettled: int
    look: int
    alpha: float
    agreement: Interval | None = None
    kappa: Interval | None = None
    lower: float | None = None
    tpr: Interval | None = None
    tnr: Interval | None = None
    confusion: Confusion | None = None
    ceiling: Interval | None = None
    flips: Interval | None = None
    biases: tuple[Bias, ...] = ()
    more_labels: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What calibrating one judge digest gave. ``split`` has this look recorded: keep it for the next."""

    judge: str
    answer: str
    criteria: tuple[CriterionCalibration, ...]
    split: Split
    bar: float = BAR
    model: str = ""
    time_ns: int = 0


def calibrate(  # house: parameters because each is a fact of its own about the judge
    labels: Sequence[Label],
    verdicts: Mapping[str, Sequence[Scored]],
    *,
    judge: str,
    split: Split,
    texts: Mapping[str, str] | None = None,
    bar: float = BAR,
    model: str = "",
    time_ns: int = 0,
) -> Calibration:
    """Measure a judge on the test labels.

    ``verdicts`` hold, by criterion ("" when the judge gives one verdict), what the judge said of the labelled outputs;
    further rows for a case are the judge asked again. ``texts`` are those outputs by case, for length and style.
    ``model`` is remembered to say later what changed. Labels that were not given blind are left out. The whole judge
    is certified when every criterion is. Raises BadInput without criteria, or for a case that was never split;
    MixedJudges when a verdict is of another digest.
    """
    if not verdicts:
        raise BadInput("there are no verdicts.", field="verdicts", mend="Run the judge on the labelled cases.")
    for score in (score for scores in verdicts.values() for score in scores):
        if score.judge not in ("", judge):
            raise MixedJudges(f"{score.judge} is not {judge}.", field="judge", mend="Calibrate one judge at a time.")
    blind = [label for label in labels if label.blind and label.criterion in verdicts]
    test = of_side(blind, split, "test")
    look, after = split.look(judge, test)
    criteria = tuple(
        _criterion(_Measured.of(name, test, scores), look, bar, texts or {}) for name, scores in verdicts.items()
    )
    answers = {criterion.answer for criterion in criteria}
    answer = CERTIFIED if answers == {CERTIFIED} else NOT_CERTIFIED if NOT_CERTIFIED in answers else CANNOT_TELL
    return Calibration(
        judge=judge, answer=answer, criteria=criteria, split=after, bar=bar, model=model, time_ns=time_ns
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One criterion's test cases: people and judge where both spoke."""

    name: str
    people: Mapping[str, Consensus]
    pairs: Mapping[str, tuple[float, float]]  # (judge, people) by case
    again: Mapping[str, Sequence[float]]
    errors: int

    @classmethod
    def of(cls, name: str, labels: Sequence[Label], scores: Sequence[Scored]) -> _Measured:
        people = consensus(labels, name)
        said: dict[str, list[float]] = {}
        failed: set[str] = set()
        for score in sorted(scores, key=lambda s: s.repeat):
            if score.case in people:
                if score.value is None:
                    failed.add(score.case)
                else:
                    said.setdefault(score.case, []).append(score.value)
        pairs = {
            case: (said[case][0], agreed.value)
            for case, agreed in people.items()
            if case in said and agreed.value is not None
        }
        return cls(name=name, people=people, pairs=pairs, again=said, errors=len(failed - said.keys()))


def _criterion(m: _Measured, look: int, bar: float, texts: Mapping[str, str]) -> CriterionCalibration:
    alpha = look_alpha(look)
    table, lower, upper, kappa = _kappa(m, alpha)
    rates = _rates(m)
    answer, why = _answer(m, lower, upper, bar)
    return CriterionCalibration(
        criterion=m.name,
        answer=answer,
        why=why,
        cases=len(m.pairs),
        errors=m.errors,
        unsettled=sum(agreed.value is None for agreed in m.people.values()),
        look=look,
        alpha=alpha,
        agreement=rates["agreement"],
        kappa=kappa,
        lower=lower,
        tpr=rates["tpr"],
        tnr=rates["tnr"],
        confusion=_confusion(table) if table else None,
        ceiling=human_ceiling(m.people),
        flips=_flips(m.again),
        biases=diagnose(m.pairs, texts),
        more_labels=_more_labels(table, look, bar) if kappa and answer == CANNOT_TELL else None,
    )


def _kappa(m: _Measured, alpha: float) -> tuple[list[list[float]] | None, float | None, float | None, Interval | None]:
    """The table (people down, judge across, fail first), the bounds of this look and the 95 % interval."""
    pairs = [(int(people >= PASS), int(judge >= PASS)) for judge, people in m.pairs.values()]
    if not pairs:
        return None, None, None, None
    table = confusion(pairs, (0, 1))
    try:
        cohen_kappa(table)
    except BadInput:
        return table, None, None, None
    design = design_effect(pairs, [m.people[case].group for case in m.pairs], 2)
    lower = kappa_lower(table, alpha=alpha, design=design)
    upper = kappa_upper(table, alpha=alpha, design=design)
    return table, lower, upper, kappa_interval(table, design=design)


def _answer(m: _Measured, lower: float | None, upper: float | None, bar: float) -> tuple[str, str]:
    asked = len(m.pairs) + m.errors
    if not m.pairs:
        return CANNOT_TELL, "no test case has both a settled label and a verdict."
    if lower is None or upper is None:
        return CANNOT_TELL, "every test case was judged the same by all; label cases of the other kind too."
    if m.errors > _MOST_ERRORS * asked:
        return CANNOT_TELL, f"the judge gave no verdict on {m.errors} of {asked} test cases; mend that first."
    if lower > bar:
        return CERTIFIED, f"kappa is above {bar:g}: its lower bound is {lower:.3f} on {len(m.pairs)} test cases."
    if upper < bar:
        return NOT_CERTIFIED, f"kappa is below {bar:g}: its upper bound is {upper:.3f} on {len(m.pairs)} test cases."
    return CANNOT_TELL, f"kappa is between {lower:.3f} and {upper:.3f}; the bar is {bar:g}."


def _rates(m: _Measured) -> dict[str, Interval | None]:
    def rate(of: Sequence[tuple[str, float]]) -> Interval | None:
        if not of:
            return None
        groups = [m.people[case].group for case, _ in of]
        own = len(set(groups)) == len(groups)
        return rate_interval([value for _, value in of], None if own else groups)

    rows = [(case, judge >= PASS, people >= PASS) for case, (judge, people) in m.pairs.items()]
    return {
        "agreement": rate([(case, float(judge == people)) for case, judge, people in rows]),
        "tpr": rate([(case, float(judge)) for case, judge, people in rows if people]),
        "tnr": rate([(case, float(not judge)) for case, judge, people in rows if not people]),
    }


def _confusion(table: Sequence[Sequence[float]]) -> Confusion:
    (fail_fail, fail_pass), (pass_fail, pass_pass) = table
    return Confusion(
        pass_pass=int(pass_pass), pass_fail=int(pass_fail), fail_pass=int(fail_pass), fail_fail=int(fail_fail)
    )


def human_ceiling(people: Mapping[str, Consensus]) -> Interval | None:
    """How far people agree with each other (Krippendorff's alpha of pass and fail): no judge can be asked for more."""
    units = [[float(value >= PASS) for value in agreed.values] for agreed in people.values()]
    try:
        return alpha_interval([unit for unit in units if len(unit) > 1])
    except BadInput:
        return None


def _flips(again: Mapping[str, Sequence[float]]) -> Interval | None:
    """The chance that two verdicts on one output differ, over outputs that were judged more than once."""
    rates = []
    for values in again.values():
        n, passed = len(values), sum(value >= PASS for value in values)
        if n > 1:
            rates.append(2.0 * passed * (n - passed) / (n * (n - 1)))
    return rate_interval(rates) if rates else None


def _more_labels(table: Sequence[Sequence[float]] | None, look: int, bar: float) -> int | None:
    """Further test labels for an 80 % chance of deciding at the next look, if kappa is what it seems."""
    if table is None:
        return None
    eased = [[count + 0.25 for count in row] for row in table]
    n = sum(map(sum, eased))
    gap = cohen_kappa(table) - bar
    if abs(gap) < 0.005:
        return None
    reach = normal_quantile(1.0 - look_alpha(look + 1)) + normal_quantile(0.8)
    needed = math.ceil((reach * kappa_standard_error(eased) * math.sqrt(n) / gap) ** 2)
    return max(1, needed - round(n)) if needed <= _MOST_LABELS else None
