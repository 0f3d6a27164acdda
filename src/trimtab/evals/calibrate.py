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

from .biases import PairDiagnosis, PairVote, diagnose, diagnose_pairs
from .labels import Consensus, Label, consensus, side_of
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


#: The answers to a pair, in the order of a table of preferences.
SIDES = (0.0, 0.5, 1.0)


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
        measured = _Measured.of(name, test, said)
        found = _criterion(measured, look, bar)
        rates = _rates(measured)
        table, biases = measured.table, diagnose(measured.pairs, texts or {})
        counted = _confusion(table) if measured.pairs else None
        criteria.append(replace(found, tpr=rates["tpr"], tnr=rates["tnr"], confusion=counted, biases=biases))
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
    measured = _Measured.of("", test, scores, compares=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One criterion's test cases: people and judge where both spoke. ``compares``: of pairs, with ties."""

    name: str
    people: Mapping[str, Consensus]
    pairs: Mapping[str, tuple[float, float]]  # (judge, people) by case
    again: Mapping[str, Sequence[float]]
    errors: int
    compares: bool = False

    @classmethod
    def of(cls, name: str, labels: Sequence[Label], scores: Sequence[Scored], *, compares: bool = False) -> _Measured:
        people = consensus(labels, name, pairs=compares)
        said: dict[str, list[float]] = {}
        failed: set[str] = set()
        for score in sorted(scores, key=lambda s: s.repeat):
            if score.case in people:
                if score.value is None:
                    failed.add(score.case)
                else:
                    said.setdefault(score.case, []).append(side_of(score.value) if compares else score.value)
        pairs = {
            case: (said[case][0], agreed.value)
            for case, agreed in people.items()
            if case in said and agreed.value is not None
        }
        errors = len(failed - said.keys())
        return cls(name=name, people=people, pairs=pairs, again=said, errors=errors, compares=compares)

    def kind(self, value: float) -> int:
        """The category of a verdict: fail and pass, or answer B, tie and answer A."""
        return SIDES.index(side_of(value)) if self.compares else int(value >= PASS)

    @property
    def table(self) -> list[list[float]]:
        """Counts, people down and judge across, in the order of the categories."""
        rows = [(self.kind(people), self.kind(judge)) for judge, people in self.pairs.values()]
        return confusion(rows, range(3 if self.compares else 2))


def _criterion(m: _Measured, look: int, bar: float) -> CriterionCalibration:
    """What is measured of every kind of judge."""
    alpha = look_alpha(look)
    table, lower, upper, kappa = _kappa(m, alpha)
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
        agreement=_rates(m)["agreement"],
        kappa=kappa,
        lower=lower,
        ceiling=human_ceiling(m.people, compares=m.compares),
        flips=_flips([[m.kind(value) for value in values] for values in m.again.values()]),
        more_labels=_more_labels(table, look, bar) if kappa and answer == CANNOT_TELL else None,
    )


def _kappa(m: _Measured, alpha: float) -> tuple[list[list[float]] | None, float | None, float | None, Interval | None]:
    """The table (people down, judge across, lowest first), the bounds of this look and the 95 % interval.

    A kind that nobody ever chose is no category.
    """
    pairs = [(m.kind(people), m.kind(judge)) for judge, people in m.pairs.values()]
    if not pairs:
        return None, None, None, None
    kinds = sorted({kind for pair in pairs for kind in pair}) if m.compares else [0, 1]
    table = confusion(pairs, kinds)
    try:
        cohen_kappa(table)
    except BadInput:
        return table, None, None, None
    places = [(kinds.index(people), kinds.index(judge)) for people, judge in pairs]
    design = design_effect(places, [m.people[case].group for case in m.pairs], len(kinds))
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
    """Agreement, and of a judge of single outputs TPR and TNR."""

    def rate(of: Sequence[tuple[str, float]]) -> Interval | None:
        if not of:
            return None
        groups = [m.people[case].group for case, _ in of]
        own = len(set(groups)) == len(groups)
        return rate_interval([value for _, value in of], None if own else groups)

    rows = [(case, m.kind(judge), m.kind(people)) for case, (judge, people) in m.pairs.items()]
    agreement = rate([(case, float(judge == people)) for case, judge, people in rows])
    if m.compares:
        return {"agreement": agreement}
    return {
        "agreement": agreement,
        "tpr": rate([(case, float(judge)) for case, judge, people in rows if people]),
        "tnr": rate([(case, float(not judge)) for case, judge, people in rows if not people]),
    }


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
