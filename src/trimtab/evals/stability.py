"""What repeats say: where the noise comes from, which cases flip, and how the answers to one prompt differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab.core import BadInput
from trimtab.stats import Components, Interval, rate_interval, variance_components

from .answers import SAME, AnswerCluster, alike_words, cluster_answers
from .meanings import WORDS, Meanings
from .results import PASS, CaseScore, Scored, by_case, one_judge

#: Cases that are listed, most unsteady first.
MAX_CASES = 100
#: Answers compared by their words.
BY_WORDS = Meanings(WORDS, alike_words, SAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFlips:
    """One case that did not always end the same way. ``flip`` is the chance that two of its outputs differ."""

    case: str
    passed: int
    outputs: int
    flip: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAnswers:
    """The answers to one case, grouped by what they say; the largest group first."""

    case: str
    clusters: tuple[AnswerCluster, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """A run with repeats.

    ``components`` are variances (of cases, of outputs for one case, of judgements of one output); ``shares`` are the
    same as parts of their sum. ``flips`` is the chance that two outputs for one case end differently, ``judge_flips``
    that two judgements of one output do (None unless outputs were judged more than once). ``pass_all`` is the share of
    cases that passed every time, ``pass_any`` at least once. ``steadiness`` (0 to 1), which ``power_of`` takes, is
    the share of the spread of single outcomes that lies between cases. ``alike`` says by what the answers in
    ``divergent`` were compared: their words, or the embeddings of a model.
    """

    cases: int
    repeats: tuple[int, int]
    errors: int
    judge: str
    mean: Interval
    components: Components
    shares: Mapping[str, float]
    flips: Interval | None
    judge_flips: Interval | None
    pass_all: Interval
    pass_any: Interval
    steadiness: float | None
    unsteady: tuple[CaseFlips, ...]
    divergent: tuple[CaseAnswers, ...] = ()
    alike: str = WORDS
    notes: tuple[str, ...] = ()


def stability(
    scores: Sequence[Scored],
    *,
    texts: Mapping[tuple[str, int], str] | None = None,
    meanings: Meanings = BY_WORDS,
) -> Stability:
    """The repeat-run report. Rows with the same case and repeat are the same output judged again.

    ``texts`` are the answers by (case, repeat); ``meanings`` says how alike two of them are (see ``meanings`` for
    embeddings). Raises MixedJudges, and BadInput for fewer than two scored cases.
    """
    judge = one_judge(scores)
    cases = by_case(scores)
    if len(cases) < 2:
        raise BadInput(f"{len(cases)} cases were scored.", field="scores", mend="Repeat a run of two cases or more.")
    rows = list(cases.values())
    clusters = [case.cluster for case in rows]
    grouped = clusters if len(set(clusters)) < len(rows) else None
    counts = [len(case.repeats) for case in rows]
    components = variance_components([case.repeats for case in rows], grouped)
    verdicts = {case.case: [_mean(values) >= PASS for values in case.repeats] for case in rows}
    flips = {name: _flip(passed) for name, passed in verdicts.items() if len(passed) > 1}
    judged = [_flip([value >= PASS for value in values]) for c in rows for values in c.repeats if len(values) > 1]
    return Stability(
        cases=len(rows),
        repeats=(min(counts), max(counts)),
        errors=sum(score.value is None for score in scores),
        judge=judge,
        mean=rate_interval([case.mean for case in rows], grouped),
        components=components,
        shares=_shares(components),
        flips=rate_interval(list(flips.values()), _kept(rows, flips, grouped)) if flips else None,
        judge_flips=rate_interval(judged) if judged else None,
        pass_all=rate_interval([float(all(passed)) for passed in verdicts.values()], grouped),
        pass_any=rate_interval([float(any(passed)) for passed in verdicts.values()], grouped),
        steadiness=_steadiness(verdicts),
        unsteady=_unsteady(verdicts, flips),
        divergent=_divergent(texts or {}, meanings),
        alike=meanings.by,
        notes=(*_notes(rows, texts or {}, components, judge), *_left_out(meanings)),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _flip(passed: Sequence[bool]) -> float:
    """The chance that two different ones of these differ."""
    n, k = len(passed), sum(passed)
    return 2.0 * k * (n - k) / (n * (n - 1))


def _kept(rows: Sequence[CaseScore], flips: Mapping[str, float], grouped: object) -> list[str] | None:
    return [case.cluster for case in rows if case.case in flips] if grouped is not None else None


def _shares(components: Components) -> dict[str, float]:
    known = {
        name: part.value
        for name, part in (
            ("case", components.case),
            ("generation", components.generation),
            ("judge", components.judge),
        )
        if part is not None
    }
    total = sum(known.values())
    return {name: value / total for name, value in known.items()} if total > 0.0 else {}


def _steadiness(verdicts: Mapping[str, Sequence[bool]]) -> float | None:
    """1 - flips / (what two outputs of different cases would flip), None without repeats or spread."""
    repeated = [passed for passed in verdicts.values() if len(passed) > 1]
    if not repeated:
        return None
    rate = _mean([_mean([float(p) for p in passed]) for passed in repeated])
    spread = 2.0 * rate * (1.0 - rate)
    return min(1.0, max(0.0, 1.0 - _mean([_flip(passed) for passed in repeated]) / spread)) if spread > 0.0 else None


def _unsteady(verdicts: Mapping[str, Sequence[bool]], flips: Mapping[str, float]) -> tuple[CaseFlips, ...]:
    found = [
        CaseFlips(case=name, passed=sum(verdicts[name]), outputs=len(verdicts[name]), flip=flip)
        for name, flip in flips.items()
        if flip > 0.0
    ]
    return tuple(sorted(found, key=lambda c: -c.flip)[:MAX_CASES])


def _left_out(meanings: Meanings) -> tuple[str, ...]:
    left = meanings.left_out
    return (f"{left} answers beyond the bound were compared by words.",) if left else ()


def _divergent(texts: Mapping[tuple[str, int], str], meanings: Meanings) -> tuple[CaseAnswers, ...]:
    by_name: dict[str, list[tuple[int, str]]] = {}
    for (case, repeat), text in texts.items():
        by_name.setdefault(case, []).append((repeat, text))
    found: list[CaseAnswers] = []
    for case, answers in by_name.items():
        clusters = cluster_answers(dict(answers), meanings.alike, meanings.same)
        if len(clusters) > 1:
            found.append(CaseAnswers(case=case, clusters=clusters))
    return tuple(sorted(found, key=lambda c: (-len(c.clusters), len(c.clusters[0].repeats)))[:MAX_CASES])


def _notes(
    rows: Sequence[CaseScore], texts: Mapping[tuple[str, int], str], components: Components, judge: str
) -> tuple[str, ...]:
    notes: list[str] = []
    answers: dict[str, list[str]] = {}
    for (case, _), text in texts.items():
        answers.setdefault(case, []).append(text)
    repeated = [found for found in answers.values() if len(found) > 1]
    if repeated and all(len(set(found)) == 1 for found in repeated):
        notes.append("Every repeat is the same text: either the model is deterministic or a cache answered.")
    if all(len(case.repeats) == 1 for case in rows):
        notes.append("No case was repeated: nothing can be said of the noise of outputs.")
    elif judge and components.judge is None:
        notes.append("No output was judged twice: the noise of outputs holds the judge's own.")
    return tuple(notes)
