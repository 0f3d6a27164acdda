"""Comparisons are paired by case, with repeats and clusters counted as what they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from trimtab.core import BadInput
from trimtab.evals import Delta, MixedJudges, Scored, compare, loaded, markdown, plain


def side(values: np.ndarray, judge: str = "", clusters: list[str] | None = None) -> list[Scored]:
    return [
        Scored(case=f"c{i}", repeat=r, value=float(x), judge=judge, cluster=clusters[i] if clusters else "")
        for i, row in enumerate(values)
        for r, x in enumerate(row)
    ]


def test_equals_the_paired_t_test_on_case_means() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.random((120, 3)), rng.random((120, 3))
    found = compare(side(new), side(old))
    test = stats.ttest_rel(new.mean(axis=1), old.mean(axis=1))
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(interval.low, abs=1e-9), pytest.approx(interval.high, abs=1e-9))
    worse = stats.ttest_rel(new.mean(axis=1), old.mean(axis=1), alternative="less")
    assert found.p_worse == pytest.approx(worse.pvalue, abs=1e-9)
    assert found.value == pytest.approx(float(new.mean() - old.mean()), abs=1e-12)
    assert found.repeats == (3, 3)


def test_pairing_beats_not_pairing() -> None:
    rng = np.random.default_rng(2)
    hard = rng.random(200) < 0.2
    old = (~hard).astype(float)[:, None]
    new = np.where(rng.random(200) < 0.08, 0.0, old[:, 0])[:, None]
    found = compare(side(new), side(old))
    apart = stats.ttest_ind(new[:, 0], old[:, 0]).confidence_interval(0.95)
    assert found.high - found.low < 0.6 * (apart.high - apart.low)
    assert found.p_worse < 0.01
    assert {c.case for c in found.worse} == {f"c{i}" for i in range(200) if new[i, 0] < old[i, 0]}
    assert (found.n_worse, found.n_better) == (len(found.worse), 0)


def test_where_the_noise_is() -> None:
    rng = np.random.default_rng(3)
    coins = compare(side((rng.random((200, 4)) < 0.5) * 1.0), side((rng.random((200, 4)) < 0.5) * 1.0))
    assert coins.generation_share is not None
    assert coins.generation_share > 0.8
    fixed = np.repeat((rng.random((200, 1)) < 0.5) * 1.0, 4, axis=1)
    other = np.repeat((rng.random((200, 1)) < 0.5) * 1.0, 4, axis=1)
    assert compare(side(fixed), side(other)).generation_share == 0.0
    assert compare(side(fixed[:, :1]), side(other[:, :1])).generation_share is None


def test_left_out_is_counted_and_clusters_are_used() -> None:
    new = side(np.ones((10, 1)))
    old = [*side(np.ones((8, 1))), Scored(case="c8", value=None, error="timeout"), Scored(case="extra", value=1.0)]
    found = compare(new, old)
    assert (found.cases, found.left_out) == (8, 3)
    rng = np.random.default_rng(4)
    luck = np.repeat(rng.choice([0.0, 1.0], 30), 5)[:, None]
    clusters = [str(i // 5) for i in range(150)]
    base = np.full((150, 1), 1.0)
    wide = compare(side(luck, clusters=clusters), side(base, clusters=clusters))
    narrow = compare(side(luck), side(base))
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)
    assert wide.test.clusters == 30


def test_what_cannot_be_compared_is_refused() -> None:
    ones = np.ones((5, 1))
    with pytest.raises(MixedJudges, match="new was scored by j, old by k"):
        compare(side(ones, "j"), side(ones, "k"))
    with pytest.raises(BadInput, match="no case"):
        compare(side(ones), [Scored(case="z", value=1.0)])
    with pytest.raises(BadInput, match="cluster"):
        compare(side(ones), side(ones, clusters=list("abcde")))
    with pytest.raises(BadInput, match="youden"):
        compare(side(ones), side(ones), youden=0.0)


def test_a_judge_hides_part_of_the_drop() -> None:
    rng = np.random.default_rng(5)
    old, new = (rng.random((400, 1)) < 0.8) * 1.0, (rng.random((400, 1)) < 0.7) * 1.0
    found = compare(side(new, "j"), side(old, "j"), youden=0.7)
    assert found.undiluted == pytest.approx(found.value / 0.7)
    assert "Behind the judge's errors" in markdown(found)
    assert loaded(Delta, json.loads(json.dumps(plain(found)))) == found


def test_names_of_cases_cannot_break_the_markdown() -> None:
    name = "a`|b\n# c"
    found = compare([Scored(case=name, value=0.0)] * 1, [Scored(case=name, value=1.0)])
    line = next(line for line in markdown(found).splitlines() if line.startswith("- Worse"))
    assert line == "- Worse: `a'|b # c` 1.00 to 0.00."
