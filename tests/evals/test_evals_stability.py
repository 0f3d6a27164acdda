"""The repeat-run report and the grouping of answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.evals import MixedJudges, Scored, markdown, meanings, plain, power_of, stability
from trimtab.evals.answers import alike_words, cluster_answers
from trimtab.evals.meanings import MAX_TEXTS


def graded(seed: int) -> list[Scored]:
    rng = np.random.default_rng(seed)
    case, generation, judge = (
        np.sqrt(12.0 * variance) * (rng.random(shape) - 0.5)
        for variance, shape in ((0.016, (200, 1, 1)), (0.008, (200, 5, 1)), (0.004, (200, 5, 2)))
    )
    return [
        Scored(case=f"c{i}", repeat=r, value=float(x), judge="j")
        for i, outputs in enumerate(0.5 + case + generation + judge)
        for r, row in enumerate(outputs)
        for x in row
    ]


def passing(values: np.ndarray) -> list[Scored]:
    return [Scored(case=f"c{i}", repeat=r, value=float(x)) for i, row in enumerate(values) for r, x in enumerate(row)]


def test_planted_variances_are_found() -> None:
    found = stability(graded(1))
    parts = found.components
    assert parts.case is not None
    assert parts.generation is not None
    assert parts.judge is not None
    for part, truth in ((parts.case, 0.016), (parts.generation, 0.008), (parts.judge, 0.004)):
        assert part.value == pytest.approx(truth, rel=0.2)
        assert part.low < truth < part.high
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert (found.cases, found.repeats) == (200, (5, 5))
    assert found.judge_flips is not None


def test_flips_by_hand() -> None:
    found = stability(passing(np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]])))
    assert found.flips is not None
    assert found.flips.value == pytest.approx((0 + 4 / 6 + 0 + 3 / 6) / 4)
    assert (found.pass_all.value, found.pass_any.value) == (0.25, 0.75)
    assert [(c.case, c.passed, c.outputs) for c in found.unsteady] == [("c1", 2, 4), ("c3", 3, 4)]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=2, max_size=12))
def test_figures_stay_in_range(rows: list[list[bool]]) -> None:
    scores = [Scored(case=f"c{i}", repeat=r, value=float(x)) for i, row in enumerate(rows) for r, x in enumerate(row)]
    found = stability(scores)
    for interval in (found.mean, found.flips, found.pass_all, found.pass_any):
        assert interval is None or 0.0 <= interval.low <= interval.value <= interval.high <= 1.0
    assert found.pass_all.value <= found.mean.value + 1e-12 <= found.pass_any.value + 2e-12
    assert found.steadiness is None or 0.0 <= found.steadiness <= 1.0
    assert json.loads(json.dumps(plain(found)))["cases"] == len(rows)


def test_flip_rate_covers() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        p = rng.beta(0.8, 0.2, 100)[:, None]
        flips = stability(passing((rng.random((100, 4)) < p).astype(float))).flips
        # E[2 p (1 - p)] of a beta: 2 a b / ((a + b) (a + b + 1)).
        held += flips is not None and flips.low <= 2 * 0.8 * 0.2 / 2.0 <= flips.high
    assert 0.9 <= held / 200 <= 0.99


def test_steadiness_feeds_the_plan() -> None:
    rng = np.random.default_rng(4)
    fixed = np.repeat((rng.random((100, 1)) < 0.8).astype(float), 3, axis=1)
    coins = (rng.random((300, 3)) < 0.8).astype(float)
    assert stability(passing(fixed)).steadiness == 1.0
    low = stability(passing(coins)).steadiness
    assert low is not None
    assert low < 0.15
    assert power_of(cases=300, steadiness=low).power < power_of(cases=300).power


def test_a_cache_in_disguise_is_named() -> None:
    scores = passing(np.ones((3, 2)))
    texts = {(f"c{i}", r): "same" for i in range(3) for r in range(2)}
    assert any("cache" in note for note in stability(scores, texts=texts).notes)
    assert not stability(scores, texts={("c0", 0): "a b", ("c0", 1): "c d"}).notes
    assert "nothing can be said" in stability(passing(np.ones((3, 1)))).notes[0]


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(BadInput):
        stability(passing(np.ones((1, 3))))
    with pytest.raises(MixedJudges):
        stability([Scored(case="a", value=1.0, judge="x"), Scored(case="b", value=1.0, judge="y")])
    with_errors = stability([*passing(np.ones((3, 2))), Scored(case="c0", repeat=2, value=None, error="timeout")])
    assert (with_errors.errors, with_errors.cases) == (1, 3)


def test_answers_that_differ_in_what_they_say_are_apart() -> None:
    answers = {
        0: "Refunds take 14 days after we receive the parcel.",
        1: "After we receive the parcel, a refund takes 14 days.",
        2: "Refunds take 30 days after we receive the parcel.",
        3: "Refunds do not take 14 days after we receive the parcel.",
        4: "After receiving the parcel we take 14 days for the refund.",
    }
    clusters = cluster_answers(answers)
    assert clusters[0].repeats == (0, 1, 4)
    assert {cluster.repeats for cluster in clusters[1:]} == {(2,), (3,)}
    found = stability(passing(np.ones((2, 2))), texts={("c0", r): text for r, text in answers.items()})
    assert found.divergent[0].case == "c0"
    assert "answered in 3 ways (3 / 1 / 1)" in markdown(found)


def test_meaning_can_be_compared_by_vectors() -> None:
    same = cluster_answers({0: "yes", 1: "certainly"}, alike=lambda a, b: 1.0)
    assert len(same) == 1
    assert len(cluster_answers({0: "yes", 1: "certainly"})) == 2


async def by_topic(texts: Sequence[str]) -> list[list[float]]:
    """Embeddings of a model that knows two things: yes and no."""
    return [[1.0, 0.1] if text[0] in "yc" else [0.1, 1.0] for text in texts]


async def test_embeddings_group_what_words_keep_apart() -> None:
    texts = {("c0", n): text for n, text in enumerate(("yes", "certainly", "yes, in 3 days", "yes, in 9 days", "no"))}
    texts |= {("c1", n): "always the same" for n in range(5)}
    by = await meanings(by_topic, "openai/e", texts)
    found = stability(passing(np.ones((2, 2))), texts=texts, meanings=by)
    assert found.alike == "embeddings of openai/e"
    assert [cluster.repeats for cluster in found.divergent[0].clusters] == [(0, 1), (2,), (3,), (4,)]
    assert "Answers to one case were compared by embeddings of openai/e." in markdown(found)
    words = stability(passing(np.ones((2, 2))), texts=texts)
    assert (words.alike, len(words.divergent[0].clusters)) == ("words", 5)
    assert "compared by words, not by meaning" in markdown(words)
    loose = stability(passing(np.ones((2, 2))), texts=texts, meanings=replace(by, same=0.1))
    assert [cluster.repeats for cluster in loose.divergent[0].clusters] == [(0, 1, 2, 3), (4,)]


async def test_only_answers_that_differ_are_embedded_and_not_without_end() -> None:
    asked: list[str] = []

    async def count(texts: Sequence[str]) -> list[list[float]]:
        asked.extend(texts)
        return [[1.0] for _ in texts]

    texts = {(f"c{n}", r): f"answer {n} {r}" for n in range(1_100) for r in range(2)}
    texts |= {("same", r): "one text" for r in range(9)}
    by = await meanings(count, "m", texts)
    assert len(asked) == len(set(asked)) == MAX_TEXTS
    assert "one text" not in asked
    assert by.left_out == 200
    found = stability(passing(np.ones((2, 2))), texts=texts, meanings=by)
    assert "200 answers beyond the bound were compared by words." in found.notes


@given(st.text(max_size=60), st.text(max_size=60))
def test_likeness_is_symmetric_and_bounded(a: str, b: str) -> None:
    assert 0.0 <= alike_words(a, b) <= 1.0 + 1e-9
    assert alike_words(a, b) == alike_words(b, a)
    assert alike_words(a, a) == 1.0
