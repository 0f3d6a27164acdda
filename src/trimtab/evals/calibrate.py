"""Expert labels against a judge's verdicts: may this judge be believed?

Only the test side of the split is measured. A criterion is certified when the lower bound of Cohen's kappa is above the
bar; looks at the same test labels share one error rate (``stats.look_alpha``), so that trying ten rubrics certifies a
judge below the bar in at most 5 % of all attempts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab.core import BadInput
from trimtab.stats import (
    Bias,
    Interval,
    alpha_interval,
    cohen_kappa,
    kappa_standard_error,
    look_alpha,
    normal_quantile,
    rate_interval,
)

from .biases import PairDiagnosis, PairVote, diagnose, diagnose_pairs
from .labels import Consensus, Label, side_of
from .measured import Kappa, Measured
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
class Preferences:
    """Counts of a judge that compares, by what people said: each row holds how often the judge chose answer B, a tie
    (also where its two orders disagree) and answer A."""

    people_b: tuple[int, int, int]
    people_tie: tuple[int, int, int]
    people_a: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionCalibration:
    """One criterion. Intervals are two-sided 95 %; ``lower`` is the one-sided bound of this look, at ``alpha``.

    ``ceiling`` is Krippendorff's alpha among people, None where no case has two of them. ``flips`` is how often the
    judge changed its verdict when asked again. ``more_labels``: about how many further test labels would decide, None
    when decided or out of reach. ``cases`` are the test cases measured; ``unsettled`` those where people are split.
    A judge that compares has ``preferences`` in place of ``confusion``, no TPR and TNR, and ``pairs``: its biases by
    place, length and style. What needs no label in there is counted over all pairs that it judged.

    ``drawn`` says how the labels were drawn where somebody noted it. Of labels drawn by strata kappa, agreement, TPR
    and TNR are those of the pool, the counts in ``confusion`` those of the labels, and ``worth`` is how many passing
    and failing labels drawn blindly would tell TPR and TNR as well.
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
    preferences: Preferences | None = None
    pairs: PairDiagnosis | None = None
    drawn: str = ""
    worth: tuple[float, float] | None = None


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
    examples: Collection[str] = (),
) -> Calibration:
    """Measure a judge on the test labels.

    ``verdicts`` hold, by criterion ("" when the judge gives one verdict), what the judge said of the labelled outputs;
    further rows for a case are the judge asked again. ``texts`` are those outputs by case, for length and style.
    ``model`` is remembered to say later what changed. ``examples`` are the cases that the judge is shown with the
    experts' verdicts. Labels that were not given blind are left out. The whole judge is certified when every criterion
    is. Raises BadInput without criteria, for a case that was never split, or for an example on the test side;
    MixedJudges when a verdict is of another digest.
    """
    if not verdicts:
        raise BadInput("there are no verdicts.", field="verdicts", mend="Run the judge on the labelled cases.")
    scores = [score for scores in verdicts.values() for score in scores]
    test, look, after = _look([label for label in labels if label.criterion in verdicts], scores, judge, split)
    untouched(test, examples)
    criteria = []
    for name, said in verdicts.items():
        measured = Measured.of(name, test, said, every=labels)
        counted = _confusion(measured.table) if measured.pairs else None
        biases = diagnose(measured.pairs, texts or {})
        criteria.append(replace(_criterion(measured, look, bar), confusion=counted, biases=biases))
    return Calibration(
        judge=judge, answer=_whole(criteria), criteria=tuple(criteria), split=after, bar=bar, model=model,
        time_ns=time_ns,
    )  # fmt: skip


def calibrate_pairs(  # house: parameters because each is a fact of its own about the judge
    labels: Sequence[Label],
    scores: Sequence[Scored],
    orders: Mapping[str, tuple[float, float]],
    *,
    judge: str,
    split: Split,
    texts: Mapping[str, tuple[str, str]] | None = None,
    bar: float = BAR,
    model: str = "",
    time_ns: int = 0,
    examples: Collection[str] = (),
) -> Calibration:
    """Measure a judge that compares two answers on the test labels, whose value is 1 for A, 0 for B and 0.5 for a tie.

    ``scores`` are what it said after both orders in the same way, ``orders`` its verdict in each order by case, and
    ``texts`` the answers A and B. Kappa is that of the three answers, or of the two that were ever given. Raises as
    ``calibrate`` does.
    """
    test, look, after = _look([label for label in labels if not label.criterion], scores, judge, split)
    untouched(test, examples)
    measured = Measured.of("", test, scores, every=labels, compares=True)
    found = _criterion(measured, look, bar)
    better = {case: people for case, (_, people) in measured.pairs.items()}
    votes = [PairVote(case=case, orders=both, better=better.get(case)) for case, both in orders.items()]
    rows = [tuple(int(count) for count in row) for row in measured.table]
    counts = Preferences(people_b=_three(rows[0]), people_tie=_three(rows[1]), people_a=_three(rows[2]))
    criterion = replace(found, preferences=counts, pairs=diagnose_pairs(votes, texts) if votes else None)
    return Calibration(
        judge=judge, answer=criterion.answer, criteria=(criterion,), split=after, bar=bar, model=model, time_ns=time_ns
    )


def untouched(test: Sequence[Label], examples: Collection[str]) -> None:
    """Raise BadInput when an example that a judge is shown is labelled on the side that only measures."""
    seen = sorted({label.case for label in test} & set(examples))
    if seen:
        said = f"{len(seen)} test cases ({', '.join(seen[:3])}) are examples that the judge is shown"
        raise BadInput(f"{said}: it would be measured by its memory.", field="examples", mend="Choose dev cases.")


def _look(
    labels: Sequence[Label], scores: Sequence[Scored], judge: str, split: Split
) -> tuple[list[Label], int, Split]:
    """The blind test labels, the number of this look at them, and the split with it recorded."""
    for score in scores:
        if score.judge not in ("", judge):
            raise MixedJudges(f"{score.judge} is not {judge}.", field="judge", mend="Calibrate one judge at a time.")
    test = of_side([label for label in labels if label.blind], split, "test")
    return test, *split.look(judge, test)


def _whole(criteria: Sequence[CriterionCalibration]) -> str:
    answers = {criterion.answer for criterion in criteria}
    return CERTIFIED if answers == {CERTIFIED} else NOT_CERTIFIED if NOT_CERTIFIED in answers else CANNOT_TELL


def _three(row: Sequence[int]) -> tuple[int, int, int]:
    b, tie, a = row
    return b, tie, a


def _criterion(m: Measured, look: int, bar: float) -> CriterionCalibration:
    """What is measured of every kind of judge."""
    alpha = look_alpha(look)
    kappa, rates = m.kappa(alpha), m.rates()
    answer, why = _answer(m, kappa, bar)
    return CriterionCalibration(
        criterion=m.name,
        answer=answer,
        why=why,
        cases=len(m.pairs),
        errors=m.errors,
        unsettled=sum(agreed.value is None for agreed in m.people.values()),
        look=look,
        alpha=alpha,
        agreement=rates.agreement,
        kappa=kappa.interval if kappa else None,
        lower=kappa.lower if kappa else None,
        tpr=rates.tpr,
        tnr=rates.tnr,
        ceiling=human_ceiling(m.people, compares=m.compares),
        flips=_flips([[m.kind(value) for value in values] for values in m.again.values()]),
        more_labels=_more_labels(m, kappa, look, bar) if kappa and answer == CANNOT_TELL else None,
        drawn=m.drawn,
        worth=rates.worth,
    )


def _answer(m: Measured, kappa: Kappa | None, bar: float) -> tuple[str, str]:
    asked = len(m.pairs) + m.errors
    if not m.pairs:
        return CANNOT_TELL, "no test case has both a settled label and a verdict."
    if m.unseen:
        names = ", ".join(f"{name} ({m.sizes[name]})" for name in m.unseen)
        return CANNOT_TELL, f"no test label is from a part of the pool: {names}; label more of it."
    if kappa is None:
        return CANNOT_TELL, "every test case was judged the same by all; label cases of the other kind too."
    lower, upper = kappa.lower, kappa.upper
    if m.errors > _MOST_ERRORS * asked:
        return CANNOT_TELL, f"the judge gave no verdict on {m.errors} of {asked} test cases; mend that first."
    if lower > bar:
        return CERTIFIED, f"kappa is above {bar:g}: its lower bound is {lower:.3f} on {len(m.pairs)} test cases."
    if upper < bar:
        return NOT_CERTIFIED, f"kappa is below {bar:g}: its upper bound is {upper:.3f} on {len(m.pairs)} test cases."
    return CANNOT_TELL, f"kappa is between {lower:.3f} and {upper:.3f}; the bar is {bar:g}."


def _confusion(table: Sequence[Sequence[float]]) -> Confusion:
    (fail_fail, fail_pass), (pass_fail, pass_pass) = table
    return Confusion(
        pass_pass=int(pass_pass), pass_fail=int(pass_fail), fail_pass=int(fail_pass), fail_fail=int(fail_fail)
    )


def human_ceiling(people: Mapping[str, Consensus], *, compares: bool = False) -> Interval | None:
    """How far people agree with each other (Krippendorff's alpha of pass and fail, or of A, tie and B): no judge can be
    asked for more."""
    units = [[side_of(v) if compares else float(v >= PASS) for v in agreed.values] for agreed in people.values()]
    try:
        return alpha_interval([unit for unit in units if len(unit) > 1])
    except BadInput:
        return None


def _flips(again: Sequence[Sequence[int]]) -> Interval | None:
    """The chance that two verdicts on one output differ, over outputs that were judged more than once."""
    rates = []
    for kinds in again:
        if (n := len(kinds)) > 1:
            rates.append(1.0 - sum(k * (k - 1) for k in Counter(kinds).values()) / (n * (n - 1)))
    return rate_interval(rates) if rates else None


def _more_labels(m: Measured, kappa: Kappa, look: int, bar: float) -> int | None:
    """Further test labels, drawn alike, for an 80 % chance of deciding at the next look, if kappa is what it seems."""
    gap = cohen_kappa(kappa.table) - bar
    if abs(gap) < 0.005:
        return None
    if m.strata:
        n = float(len(m.pairs))
        error = kappa.interval.half_width / normal_quantile(0.975)
    else:
        eased = [[count + 0.25 for count in row] for row in kappa.table]
        n, error = sum(map(sum, eased)), kappa_standard_error(eased)
    reach = normal_quantile(1.0 - look_alpha(look + 1)) + normal_quantile(0.8)
    needed = math.ceil((reach * error * math.sqrt(n) / gap) ** 2)
    return max(1, needed - round(n)) if needed <= _MOST_LABELS else None
