"""Live rates beside what calibrating the same judge says of them."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab.core import BadInput, Score
from trimtab.evals import (
    Corrections,
    KnownRates,
    Online,
    Scored,
    corrected_live,
    estimate,
    judge_digest,
    live_rates,
    live_report,
    weighted_rate,
)
from trimtab.evals.sampling import drawn_label
from trimtab.registry import Registry
from trimtab.stats import ErrorRates

CONTENT = {"model": "scripted/judge", "rubric": "Strict."}
KNOWN = KnownRates(rates=ErrorRates(passing=400, passed=380, failing=200, failed=160), source="support")
NOW = 1_800_000_000 * 10**9


def verdicts(
    seed: int, n: int, *, good: float = 0.8, p: float = 1.0, pin: str = "quality/1", **more: Any
) -> list[Score]:
    """A judge with TPR .95 and TNR .8 on traffic of which this share is good."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        fine = rng.random() < good
        value = float(rng.random() < 0.95) if fine else float(rng.random() >= 0.8)
        found.append(Score(
            id=f"{seed}-{i}-{more.get('project', '')}", trace_id=f"{seed:08x}{i:08x}".rjust(32, "0"), name="quality",
            value=value, by="judge:quality", by_version=pin, time_ns=NOW - i, label=drawn_label(p) if p < 1.0 else "",
            **more,
        ))  # fmt: skip
    return found


def test_the_corrected_rate_holds_the_truth_where_the_raw_one_does_not() -> None:
    held = raw = 0
    for seed in range(60):
        scores = verdicts(seed, 400, good=0.5)
        one, alone = corrected_live(scores, KNOWN), weighted_rate(scores)
        assert one is not None
        held += one.low <= 0.5 <= one.high
        raw += alone.low <= 0.5 <= alone.high
    assert held >= 54
    assert raw < 20


def test_verdicts_that_were_drawn_more_often_count_less() -> None:
    quiet, bad = verdicts(1, 300, p=0.1), verdicts(2, 300, good=0.2, p=1.0 - 1e-9)
    equal = corrected_live([*verdicts(1, 300), *verdicts(2, 300, good=0.2)], KNOWN)
    weighed = corrected_live([*quiet, *bad], KNOWN)
    assert equal is not None
    assert weighed is not None
    assert weighed.value > equal.value + 0.1
    assert weighed.half_width > equal.half_width
    assert weighed.n == 600
    with pytest.raises(BadInput):
        corrected_live([], KNOWN)


def test_what_no_true_rate_can_explain_is_not_corrected() -> None:
    assert corrected_live([replace(one, value=1.0) for one in verdicts(1, 300)], KNOWN) is None
    assert corrected_live([replace(one, value=0.0) for one in verdicts(1, 300)], KNOWN) is None
    run = [Scored(case=f"c{n}", value=1.0, judge="j") for n in range(300)]
    found = estimate(run, known=KNOWN)
    assert not found.trusted
    assert "errs otherwise here" in found.doubt


def test_the_raw_rate_stays_beside_it() -> None:
    scores = verdicts(3, 200)
    (plain,), (both,) = (live_rates(scores, (), correct=c) for c in (None, lambda some: corrected_live(some, KNOWN)))
    assert both.judge == plain.judge
    assert plain.corrected is None
    assert both.corrected == corrected_live(scores, KNOWN)


@pytest.fixture
async def judges(registry: Registry) -> Registry:
    await registry.register("judges", "quality", CONTENT, author="mara")
    return registry


async def rates_of(name: str, digest: str, criterion: str) -> KnownRates | None:
    known = (name, digest, criterion) == ("quality", judge_digest(CONTENT), "")
    return KNOWN if known else None


async def test_only_the_digest_that_was_calibrated_is_corrected(judges: Registry) -> None:
    await judges.register("judges", "quality", {**CONTENT, "rubric": "Kind."}, author="mara")
    found = Corrections(judges, rates_of)
    assert await found.known("judge:quality", "quality/1", "") is KNOWN
    for by, pin, criterion in (
        ("judge:quality", "quality/2", ""), ("judge:quality", "quality/9", ""), ("judge:quality", "quality/1", "tone"),
        ("judge:quality", "", ""), ("check:cites", "quality/1", ""), ("judge:quality", "odd", ""),
    ):  # fmt: skip
        assert await found.known(by, pin, criterion) is None

    async def weak(name: str, digest: str, criterion: str) -> KnownRates:
        return KnownRates(rates=ErrorRates(passing=50, passed=30, failing=50, failed=25), source="support")

    assert await Corrections(judges, weak).known("judge:quality", "quality/1", "") is None


async def test_labels_that_are_worth_less_than_one_correct_nothing(judges: Registry) -> None:
    async def clustered(name: str, digest: str, criterion: str) -> KnownRates:
        return KnownRates(rates=ErrorRates(passing=90, passed=85, failing=0.8, failed=0.7), source="support")

    assert await Corrections(judges, clustered).known("judge:quality", "quality/1", "") is None


async def test_a_score_is_of_the_criterion_that_its_scorer_says(judges: Registry) -> None:
    """A scorer whose name begins with another's is no criterion of that one."""
    asked: list[str] = []

    async def noted(name: str, digest: str, criterion: str) -> None:
        asked.append(criterion)

    lines = [SimpleNamespace(set="live", score=score) for score in ("live.tone", "live.tone.kind")]

    async def standing() -> list[Any]:
        return lines

    online: Any = SimpleNamespace(live=SimpleNamespace(standing=standing), notes=[])
    names = ("live.tone", "live.tone.kind", "live.tone.kind.warm", "live.tone.short")
    spans: Any = Traffic([replace(verdicts(6, 1)[0], name=name, project="default") for name in names])
    await live_report(online, spans, Corrections(judges, noted), NOW)
    assert asked == ["", "", "warm", "short"]


class Traffic:
    """Scores of two projects, read as a store does."""

    def __init__(self, scores: list[Score]) -> None:
        self._scores = sorted(scores, key=lambda score: -score.time_ns)

    async def score_series(self, **window: Any) -> list[Any]:
        names = {score.name for score in self._scores if score.project == window["project"]}
        return [SimpleNamespace(name=name) for name in sorted(names)]

    async def scores(self, *, name: str, project: str, limit: int, **window: Any) -> list[Score]:
        return [s for s in self._scores if s.name == name and s.project == project][:limit]


async def test_a_report_is_of_one_project_and_has_both_rates(judges: Registry) -> None:
    online = Online(registry=judges, model_of=lambda ref: None, rng=random.random)  # type: ignore[arg-type,return-value]
    busy = verdicts(4, 6_000, good=0.1, project="busy")
    spans: Any = Traffic([*busy, *(replace(score, time_ns=NOW - 10**12) for score in verdicts(5, 300, good=0.5))])
    found = await live_report(online, spans, Corrections(judges, rates_of), NOW)
    (rate,) = found.rates
    assert (rate.score, rate.rate.n, rate.labels, rate.source) == ("quality", 300, 600, "support")
    assert rate.corrected is not None
    assert rate.corrected.low <= 0.5 <= rate.corrected.high
    assert rate.rate.low > 0.5
