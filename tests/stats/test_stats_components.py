"""Variance components: equal to an independent analysis of variance, and to what was planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.formula.api import ols

from trimtab.core import BadInput
from trimtab.stats import variance_components

UNBALANCED = st.lists(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=3), min_size=1, max_size=4), min_size=3, max_size=8
)


def test_balanced_equals_statsmodels() -> None:
    """Expected mean squares of a balanced nested design, from statsmodels' sums of squares."""
    rng = np.random.default_rng(1)
    a, b, n = 12, 4, 3
    values = rng.random((a, 1, 1)) + 0.5 * rng.random((a, b, 1)) + 0.3 * rng.random((a, b, n))
    values = values / 1.8
    frame = pd.DataFrame(
        [(f"{i}", f"{i}.{j}", values[i, j, k]) for i in range(a) for j in range(b) for k in range(n)],
        columns=["case", "output", "y"],
    )
    case = sm.stats.anova_lm(ols("y ~ C(case)", frame).fit())
    output = sm.stats.anova_lm(ols("y ~ C(output)", frame).fit())
    ms_case, ms_judge = case["mean_sq"].iloc[0], output["mean_sq"].iloc[1]
    ms_output = (output["sum_sq"].iloc[0] - case["sum_sq"].iloc[0]) / (a * (b - 1))
    found = variance_components(values.tolist())
    assert found.judge is not None
    assert found.generation is not None
    assert found.case is not None
    assert found.judge.value == pytest.approx(ms_judge, abs=1e-9)
    assert found.generation.value == pytest.approx((ms_output - ms_judge) / n, abs=1e-9)
    assert found.case.value == pytest.approx((ms_case - ms_output) / (b * n), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(UNBALANCED)
def test_unbalanced_solves_its_expected_mean_squares(cases: list[list[list[float]]]) -> None:
    """The coefficients, from the design matrices themselves: E[y'Qy] = sum of traces times variances."""
    case = np.array([i for i, outputs in enumerate(cases) for row in outputs for _ in row])
    output = np.array([j for j, row in enumerate(row for outputs in cases for row in outputs) for _ in row])
    y = np.array([x for outputs in cases for row in outputs for x in row])
    za, zb = (np.eye(z.max() + 1)[z] for z in (case, output))
    one = np.ones((len(y), 1))
    pa, pb, p1 = (z @ np.linalg.inv(z.T @ z) @ z.T for z in (za, zb, one))
    forms = [(pa - p1), (pb - pa), (np.eye(len(y)) - pb)]
    free = [np.trace(q) for q in forms]
    found = variance_components(cases)
    if free[1] < 0.5:
        assert found.generation is None
        assert found.case is None
        return
    parts = [za @ za.T, zb @ zb.T, np.eye(len(y))]
    if free[2] < 0.5:
        assert found.judge is None
        forms, parts = forms[:2], parts[:2]
    matrix = np.array([[np.trace(q @ v) for v in parts] for q in forms])
    expected = np.linalg.solve(matrix, [y @ q @ y for q in forms])
    estimates = [found.case, found.generation, found.judge]
    for value, interval in zip(expected, estimates, strict=False):
        assert interval is not None
        assert interval.value == pytest.approx(max(0.0, value), abs=1e-7)
        assert interval.low - 1e-12 <= interval.value <= interval.high + 1e-12


def test_what_was_planted_is_found_within_a_fifth() -> None:
    rng = np.random.default_rng(2)
    ratios = {"case": [], "generation": [], "judge": []}
    planted = {"case": 0.03, "generation": 0.015, "judge": 0.0075}
    for _ in range(30):
        case, generation, judge = (
            np.sqrt(12.0 * variance) * (rng.random(shape) - 0.5)
            for variance, shape in zip(planted.values(), ((200, 1, 1), (200, 5, 1), (200, 5, 2)), strict=True)
        )
        found = variance_components((0.5 + case + generation + judge).tolist())
        for name, values in ratios.items():
            values.append(getattr(found, name).value / planted[name])
    for values in ratios.values():
        assert np.mean(values) == pytest.approx(1.0, abs=0.05)
        assert np.mean(np.abs(np.array(values) - 1.0) <= 0.2) >= 0.9


def test_what_the_design_cannot_tell_is_not_told() -> None:
    once = variance_components([[[0.0]], [[1.0]], [[1.0]]])
    assert (once.case, once.generation, once.judge) == (None, None, None)
    again = variance_components([[[0.0], [1.0]], [[1.0], [1.0]], [[0.0], [0.0]]])
    assert again.judge is None
    assert again.generation is not None
    judged = variance_components([[[0.0, 1.0]], [[1.0, 1.0]]])
    assert judged.judge is not None
    assert judged.generation is None
    for wrong in ([], [[[1.0]]], [[[1.0]], []], [[[1.0]], [[]]]):
        with pytest.raises(BadInput):
            variance_components(wrong)
