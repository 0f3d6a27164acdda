"""The pass rate behind a judge: corrected with labels, or said to be uncorrected."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput
from trimtab.stats import (
    Corrected,
    DrawnValues,
    ErrorRates,
    Interval,
    Labelled,
    clustered_variance,
    fisher_exact,
    ppi_rate,
    rate_interval,
    rogan_gladen,
    strata_ppi,
)
from trimtab.stats.corrected import LEAST_YOUDEN

from .figures import percent
from .labels import Consensus, Label, consensus
from .measured import sizes_of, strata_of, told
from .results import PASS, CaseScore, MixedJudges, Scored, by_case, one_judge

CHECKS, JUDGE_ONLY, LABELS, PPI, ROGAN_GLADEN = "checks", "judge only", "labels only", "ppi++", "rogan-gladen"
AUTO = "auto"
#: What may be asked for, by the word that commands and addresses use.
METHODS: Mapping[str, str] = {AUTO: AUTO, "ppi": PPI, ROGAN_GLADEN: ROGAN_GLADEN}
#: Below this many labels the coverage of the corrected intervals was not measured.
FEW_LABELS = 50
#: Labelled cases on which the judge passes another share than elsewhere are no random sample below this p-value.
_NO_SAMPLE = 0.001
_ELSEWHERE = "no true rate gives this share of passes with those error rates, so the judge errs otherwise here"
#: Labels drawn from a smaller share of the run say nothing of the rest: perhaps a stratum has no label at all.
_WHOLE, _PART = 0.98, "the labels were drawn from a part of the run only"
_UNCORRECTED = "the judge is not corrected by any label, so its rate proves nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRate:
    """A mean score over cases with its interval (two-sided, ``level``).

    ``raw`` is what the scorer alone says. ``trusted`` is False for an uncorrected judge, whose interval holds its noise
    but not its errors, and for labels that are no sample of the run; ``doubt`` says which. ``why`` says why this
    method. ``tpr`` and ``tnr`` are the judge's own, where the method is Rogan-Gladen. ``errors`` are cases that could
    not be scored; they are in no figure but in ``notes``.
    """

    value: float
    low: float
    high: float
    cases: int
    errors: int
    labels: int
    method: str
    judge: str
    raw: float
    trusted: bool
    level: float = 0.95
    notes: tuple[str, ...] = ()
    why: str = ""
    doubt: str = ""
    tpr: Interval | None = None
    tnr: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRates:
    """How often a judge errs, counted on labels that are not of the run at hand; ``source`` says where, in words.

    ``shares`` are its TPR and TNR with their intervals where the labels were drawn by strata and are no plain counts.
    """

    rates: ErrorRates
    source: str
    shares: tuple[Interval, Interval] | None = None

    @property
    def labels(self) -> int:
        """On how many labels."""
        if self.shares is not None:
            return self.shares[0].n + self.shares[1].n
        return round(self.rates.passing + self.rates.failing)

    @property
    def tpr(self) -> Interval | None:
        """The share of good answers that the judge passes."""
        return self.shares[0] if self.shares else _share(self.rates.passed, self.rates.passing)

    @property
    def tnr(self) -> Interval | None:
        """The share of bad answers that the judge fails."""
        return self.shares[1] if self.shares else _share(self.rates.failed, self.rates.failing)

    def explains(self, raw: Interval) -> bool:
        """Whether a judge that errs so can have passed this share of anything: at most its TPR, at least 1 - TNR."""
        if self.tpr is None or self.tnr is None:
            return False
        return raw.low <= self.tpr.high and raw.high >= 1.0 - self.tnr.high

    @property
    def usable(self) -> bool:
        """Whether a rate can be corrected with them: worth a label of each kind, of a judge that tells them apart."""
        return min(self.rates.passing, self.rates.failing) >= 1 and self.rates.youden >= LEAST_YOUDEN


def method_named(word: str) -> str:
    """The method behind a word of METHODS. Raises BadInput."""
    if word not in METHODS:
        raise BadInput(f"{word[:40]!r} is no method.", field="method", mend=f"Use one of {', '.join(METHODS)}.")
    return METHODS[word]


def estimate(  # house: parameters because each is a fact of its own about the estimate
    scores: Sequence[Scored],
    *,
    labels: Sequence[Label] = (),
    criterion: str = "",
    calibration_scores: Sequence[Scored] = (),
    known: KnownRates | None = None,
    method: str = AUTO,
    refined_on: Collection[str] = (),
    level: float = 0.95,
) -> PassRate:
    """The pass rate of one run or stretch of traffic.

    - Code scored it: the mean as it is.
    - ``labels`` on some of these cases, drawn at random: prediction-powered (PPI++).
    - ``labels`` on cases from elsewhere, with what the judge said of those in ``calibration_scores``, or counted
      already as ``known``: Rogan-Gladen. It holds where the judge errs here as often as it did there.
    - A judge without labels: the judge alone, and ``trusted`` is False.

    ``method`` AUTO takes PPI++ from FEW_LABELS labels of these cases on, and below that whichever of the two has more
    labels; PPI or ROGAN_GLADEN insists, as giving ``calibration_scores`` does. ``refined_on`` are
    cases whose labels made the judge what it is, such as its examples and what was dealt to their side: they are left
    out, for on them it errs less than elsewhere.

    Repeats of a case are averaged first; errors are clustered. Raises MixedJudges for scores of several digests,
    JudgeTooWeak (stats) when the judge cannot be corrected, BadInput when nothing was scored or the method asked for
    lacks its labels.
    """
    judge = one_judge(scores)
    refined_on = {score.case for score in scores} & set(refined_on)
    scores = [score for score in scores if score.case not in refined_on]
    cases = by_case(scores)
    if not cases:
        raise BadInput("no case was scored.", field="scores", mend="Look at the errors of the run.")
    errors = len({score.case for score in scores} - cases.keys())
    raw = _interval(list(cases.values()), level)
    settled = {case: agreed for case, agreed in consensus(labels, criterion).items() if agreed.value is not None}
    people = {case: agreed.value for case, agreed in settled.items() if agreed.value is not None}
    if judge and calibration_scores:
        known = _known(calibration_scores, people, judge)
        method = ROGAN_GLADEN if method == AUTO else method
    notes = [*_error_notes(raw, len(cases), errors)]
    own = {case: value for case, value in people.items() if case in cases}
    strata = strata_of({case: settled[case].draws for case in own})
    own, left_out = _alike(own, settled, strata)
    notes += left_out
    chosen, why = _choose(method, judge, len(own), known, drawn=bool(strata))
    doubt = _UNCORRECTED if chosen == JUDGE_ONLY else ""
    if chosen == ROGAN_GLADEN and known is not None:
        corrected = _rogan_gladen(cases, known, level)
        doubt = "" if known.explains(raw) else _ELSEWHERE
    elif chosen == PPI:
        if strata:
            corrected, said, part = _drawn(cases, settled, strata, level)
            notes += said
            doubt = "" if method == PPI else part
        else:
            chosen, corrected = _ppi(cases, own, level)
        if chosen == LABELS:
            why = "people labelled every case, so the judge is not needed"
        elif not strata and (odd := _no_sample(cases, own)):
            notes.append(odd)
            doubt = "" if method == PPI else "the labels are no random sample of the run"
    else:
        corrected = _as_seen(raw)
    count = known.labels if chosen == ROGAN_GLADEN and known is not None else corrected.labels
    if chosen == JUDGE_ONLY:
        notes.append("No label corrects this judge: the interval holds its noise, not its errors.")
    if 0 < count < FEW_LABELS:
        notes.append(f"{count} labels are few: from {FEW_LABELS} on the interval is known to keep its level.")
    if refined_on:
        notes.append(f"{len(refined_on)} labelled cases that refined the judge are left out.")
    by_known = known if chosen == ROGAN_GLADEN else None
    return PassRate(
        value=corrected.value, low=corrected.low, high=corrected.high, cases=len(cases), errors=errors, labels=count,
        method=chosen,
        judge=judge,
        raw=raw.value,
        trusted=not doubt,
        level=level,
        notes=tuple(notes),
        why=why,
        doubt=doubt,
        tpr=by_known.tpr if by_known else None,
        tnr=by_known.tnr if by_known else None,
    )  # fmt: skip


def _alike(
    own: Mapping[str, float], settled: Mapping[str, Consensus], strata: Mapping[str, Sequence[str]]
) -> tuple[dict[str, float], list[str]]:
    """The labelled cases of the strata, or without any those that nobody says how they were drawn; and what has to be
    said of the others."""
    drawn = {case for cases in strata.values() for case in cases}
    kept = {case: own[case] for case in own if (case in drawn if drawn else not settled[case].draws)}
    if len(kept) == len(own):
        return kept, []
    how = "that were not drawn so" if drawn else "that were drawn by strata"
    return kept, [f"{len(own) - len(kept)} labelled cases {how} are left out: most others are of the other kind."]


_NONE = "no case of the run is labelled"


def _choose(method: str, judge: str, own: int, known: KnownRates | None, *, drawn: bool) -> tuple[str, str]:
    """The method, and why it is this one."""
    if method not in METHODS.values():
        raise BadInput(f"{method!r} is no method.", field="method", mend=f"Use one of {', '.join(METHODS)}.")
    if not judge:
        return CHECKS, ""
    mine = f"{own} of the run's cases {'is' if own == 1 else 'are'} labelled" if own else _NONE
    theirs = f"its error rates are known from {known.labels} labels of {known.source}" if known else ""
    if method == PPI:
        if own < 2:
            mend = "Label some cases of this run, drawn at random, or use rogan-gladen."
            raise BadInput(f"{mine}; PPI++ needs two or more.", field="method", mend=mend)
        return PPI, f"asked for; {mine}"
    if method == ROGAN_GLADEN:
        if known is None:
            mend = "Calibrate the judge first, on a run over labelled cases: `trimtab eval calibrate RUN`."
            raise BadInput("nobody has counted how often this judge errs.", field="method", mend=mend)
        return ROGAN_GLADEN, f"asked for; {theirs}"
    usable = known is not None and known.usable
    if own >= FEW_LABELS or (own >= 2 and not (usable and known is not None and known.labels > own)):
        return PPI, f"{mine}, {'drawn with known chances' if drawn else 'which are taken for a random sample of it'}"
    if usable:
        return ROGAN_GLADEN, f"{mine}, and {theirs}"
    if known is not None and theirs:
        both = min(known.rates.passing, known.rates.failing) > 0
        weak = "it is too weak to be corrected" if both else "labels of both kinds are needed"
        return JUDGE_ONLY, f"{mine}; {theirs}, but {weak}"
    return JUDGE_ONLY, f"{mine}, and the judge was not calibrated elsewhere"


def _share(k: float, n: float) -> Interval | None:
    return rate_interval([1.0] * round(k) + [0.0] * round(n - k)) if n else None


def _no_sample(cases: Mapping[str, CaseScore], own: Mapping[str, float]) -> str:
    """A warning where the judge passes another share of the labelled cases than of the others, beyond chance."""
    counts = []
    for labelled in (True, False):
        part = [case for name, case in cases.items() if (name in own) is labelled]
        # Cases of one cluster are taken for one case: that never warns too easily.
        size = len(part) / max(1, len({case.cluster for case in part}))
        passed = sum(case.mean >= PASS for case in part)
        counts.append((round(passed / size), round((len(part) - passed) / size), passed / max(1, len(part))))
    (a, b, here), (c, d, there) = counts
    if fisher_exact(a, b, c, d) >= _NO_SAMPLE:
        return ""
    return (
        f"The judge passes {percent(here)} of the labelled cases and {percent(there)} of the others, so the labels do "
        "not look like a random sample of this run. If they were chosen to hold so many good and so many bad ones, use "
        "the method rogan-gladen; if they were drawn at random, say ppi."
    )


def _as_seen(raw: Interval) -> Corrected:
    return Corrected(value=raw.value, low=raw.low, high=raw.high, labels=0, unlabelled=raw.n, trust=1.0)


def _clusters(cases: Iterable[CaseScore]) -> list[str] | None:
    """The clusters of the cases, None when every case is its own."""
    named = [case.cluster for case in cases]
    return named if len(set(named)) < len(named) else None


def _interval(cases: Sequence[CaseScore], level: float) -> Interval:
    return rate_interval([case.mean for case in cases], _clusters(cases), level=level)


def _ppi(cases: dict[str, CaseScore], people: dict[str, float], level: float) -> tuple[str, Corrected]:
    known = [case for name, case in cases.items() if name in people]
    others = [case for name, case in cases.items() if name not in people]
    values = [people[case.case] for case in known]
    if len(others) < 2:
        seen = rate_interval(values, _clusters(known), level=level)
        return LABELS, Corrected(
            value=seen.value, low=seen.low, high=seen.high, labels=seen.n, unlabelled=len(others), trust=0.0
        )
    # People labelled one output of a case, which is its first repeat.
    first = [sum(case.repeats[0]) / len(case.repeats[0]) for case in known]
    labelled = Labelled(people=values, judge=first, clusters=_clusters(known))
    return PPI, ppi_rate(labelled, [case.mean for case in others], clusters=_clusters(others), level=level)


def _drawn(
    cases: Mapping[str, CaseScore], settled: Mapping[str, Consensus], strata: Mapping[str, Sequence[str]], level: float
) -> tuple[Corrected, list[str], str]:
    """PPI++ from labels that were drawn by strata of known size, what has to be said of them, and why to doubt them."""
    sizes = sizes_of([draw for agreed in settled.values() for draw in agreed.draws], strata)
    if few := [f"{name} ({len(strata.get(name, ()))})" for name in sorted(sizes) if len(strata.get(name, ())) < 2]:
        said = f"fewer than two labels are from a part of the pool: {', '.join(few)}"
        raise BadInput(f"{said}.", field="labels", mend="Label more of it.")
    parts = [
        DrawnValues(
            size=max(sizes[name], len(names)), people=[settled[case].value or 0.0 for case in names],
            judge=[sum(cases[case].repeats[0]) / len(cases[case].repeats[0]) for case in names],
            clusters=[cases[case].cluster for case in names],
        )
        for name, names in strata.items()
    ]  # fmt: skip
    found = strata_ppi(parts, [case.mean for case in cases.values()], clusters=_clusters(cases.values()), level=level)
    notes = [f"The labels were drawn by strata of known size, {told(strata, sizes)}, and are weighed by it."]
    pool = sum(sizes.values())
    if pool != len(cases):
        notes.append(f"They were drawn from {pool} outputs; the rate is that of those, for the run has {len(cases)}.")
    return found, notes, _PART if pool < _WHOLE * len(cases) else ""


def _known(scores: Sequence[Scored], people: Mapping[str, float], judge: str) -> KnownRates:
    if one_judge(scores) != judge:
        raise MixedJudges(
            "the labelled cases were judged by another digest.", field="calibration_scores", mend="Judge them again."
        )
    there = by_case(scores)
    pairs = [(people[name] >= PASS, case.repeats[0][0] >= PASS) for name, case in there.items() if name in people]
    rates = ErrorRates(
        passing=sum(person for person, _ in pairs),
        passed=sum(person and judge for person, judge in pairs),
        failing=sum(not person for person, _ in pairs),
        failed=sum(not person and not judge for person, judge in pairs),
    )
    return KnownRates(rates=rates, source="other cases")


def _rogan_gladen(cases: Mapping[str, CaseScore], known: KnownRates, level: float) -> Corrected:
    passed = [float(case.mean >= PASS) for case in cases.values()]
    clusters = _clusters(cases.values())
    design = 1.0
    if clusters is not None:
        alone, robust = clustered_variance(passed)[0], clustered_variance(passed, clusters)[0]
        design = max(1.0, robust / alone) if alone > 0.0 else len(passed) / len(set(clusters))
    return rogan_gladen(known.rates, round(sum(passed)), len(passed), design=design, level=level)


def _error_notes(raw: Interval, scored: int, errors: int) -> list[str]:
    if not errors:
        return []
    every = scored + errors
    worst, best = raw.value * scored / every, (raw.value * scored + errors) / every
    return [
        f"{errors} of {every} cases could not be scored and are left out; had they all failed or all passed, the "
        f"scorer's rate would be {percent(worst)} or {percent(best)} instead of {percent(raw.value)}."
    ]
