"""Kappa, shares and pass rates from labels that were drawn by strata."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize  # type: ignore[import-untyped]

from trimtab.core import BadInput
from trimtab.stats import (
    DrawnValues,
    LabelStratum,
    cohen_kappa,
    deviance,
    kappa_interval,
    pooled,
    rate_interval,
    strata_deviance,
    strata_kappa,
    strata_kappa_bounds,
    strata_ppi,
    strata_rate,
)

EVERY = [(0, 0), (0, 1), (1, 0), (1, 1)]
AGREE = [(0, 0), (1, 1)]


def by_verdict(ff: int, pf: int, fp: int, pp: int, failed: int, passed: int) -> list[LabelStratum]:
    """Labels by people and judge, of so many outputs that the judge fails and passes."""
    return [
        LabelStratum(size=failed, table=[[ff, 0], [pf, 0]]),
        LabelStratum(size=passed, table=[[0, fp], [0, pp]]),
    ]


def test_the_table_is_that_of_the_pool() -> None:
    assert np.array(pooled(by_verdict(40, 10, 5, 45, 100, 900))) == pytest.approx(np.array([[8, 9], [2, 81]]))


def test_one_stratum_of_the_whole_pool_changes_nothing() -> None:
    table = [[30.0, 5.0], [4.0, 161.0]]
    for kappa in (0.5, 0.7, 0.9):
        found = strata_deviance([LabelStratum(size=2_000, table=table)], kappa)
        assert found == pytest.approx(deviance(table, kappa), abs=1e-5)
    one, plain = strata_kappa([LabelStratum(size=2_000, table=table)]), kappa_interval(table)
    assert (one.value, one.low, one.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-5)


@pytest.mark.parametrize("kappa", [0.55, 0.8, 0.93])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_deviance_is_that_of_an_optimizer(kappa: float, mixed: bool) -> None:
    strata = by_verdict(80, 12, 6, 150, 120, 880)
    if mixed:  # the judge of today is not the one by whose verdicts was drawn
        strata = [
            LabelStratum(size=120, table=[[70, 10], [6, 14]]),
            LabelStratum(size=880, table=[[4, 8], [5, 140]]),
        ]
    added = 0.125 if mixed else 0.25
    counts = [np.array([[c + added * any(col) for c, col in zip(row, zip(*s.table, strict=True), strict=True)]
                        for row in s.table]) for s in strata]  # fmt: skip
    rest = [s.size - c.sum() for s, c in zip(strata, counts, strict=True)]
    there = np.concatenate([c.ravel() for c in counts]) > 0

    def shares(x: np.ndarray) -> list[np.ndarray]:
        full = np.zeros(8)
        full[there] = np.exp(x) / np.exp(x).sum()
        return [full[:4].reshape(2, 2), full[4:].reshape(2, 2)]

    def lost(x: np.ndarray) -> float:
        return -float(sum(
            (c[c > 0] * np.log(p[c > 0])).sum() + r * np.log(p.sum())
            for c, r, p in zip(counts, rest, shares(x), strict=True)
        ))  # fmt: skip

    start = np.log(np.concatenate([(c / c.sum() * s.size).ravel() for c, s in zip(counts, strata, strict=True)])[there])
    best = minimize(
        lost, start, method="SLSQP", options={"maxiter": 500, "ftol": 1e-12},
        constraints={"type": "eq", "fun": lambda x: cohen_kappa((shares(x)[0] + shares(x)[1]).tolist()) - kappa},
    )  # fmt: skip
    assert strata_deviance(strata, kappa) == pytest.approx(2.0 * (best.fun - lost(start)), rel=1e-3, abs=1e-3)


def test_the_intervals_hold_the_truth_where_plain_ones_of_the_same_labels_do_not() -> None:
    rng = np.random.default_rng(4)
    cells = {"ff": 0.085, "pf": 0.015, "fp": 0.015, "pp": 0.885}  # kappa .833, agreement .97
    kappa = cohen_kappa([[cells["ff"], cells["fp"]], [cells["pf"], cells["pp"]]])
    held = {"kappa": 0, "agreement": 0, "tnr": 0, "plain": 0}
    runs = 300
    for _ in range(runs):
        failed = int(rng.binomial(1_000, 0.1))
        ff, fp = int(rng.binomial(80, cells["ff"] / 0.1)), int(rng.binomial(220, cells["fp"] / 0.9))
        strata = by_verdict(ff, 80 - ff, fp, 220 - fp, max(80, failed), 1_000 - max(80, failed))
        held["kappa"] += strata_deviance(strata, kappa) <= 3.8415
        plain = rate_interval([1.0] * (ff + 220 - fp) + [0.0] * (80 - ff + fp))
        held["plain"] += plain.low <= 0.97 <= plain.high
        agreement, tnr = strata_rate(strata, AGREE, EVERY), strata_rate(strata, [(0, 0)], [(0, 0), (0, 1)])
        assert agreement is not None
        assert tnr is not None
        held["agreement"] += agreement[0].low <= 0.97 <= agreement[0].high
        held["tnr"] += tnr[0].low <= 0.85 <= tnr[0].high
    shares = {name: count / runs for name, count in held.items()}
    assert min(shares["kappa"], shares["agreement"], shares["tnr"]) > 0.91
    assert shares["plain"] < 0.5, "the share of the labels, drawn where the judge errs, is not that of the pool"


def test_a_rate_from_strata_is_right_and_its_interval_holds() -> None:
    rng = np.random.default_rng(5)
    held, naive, values = 0, 0, []
    for _ in range(200):
        truth = rng.random(1_000) < 0.9
        says = np.where(truth, rng.random(1_000) < 0.95, rng.random(1_000) >= 0.8)
        parts = []
        for verdict, count in ((False, 60), (True, 90)):
            chosen = rng.permutation(np.flatnonzero(says == verdict))[:count]
            parts.append(DrawnValues(
                size=int((says == verdict).sum()), people=truth[chosen].astype(float).tolist(),
                judge=says[chosen].astype(float).tolist(), clusters=chosen.tolist(),
            ))  # fmt: skip
        found = strata_ppi(parts, says.astype(float).tolist())
        held += found.low <= 0.9 <= found.high
        values.append(found.value)
        naive += sum(sum(part.people) for part in parts) / 150 > 0.85
    assert held / 200 > 0.91
    assert np.mean(values) == pytest.approx(0.9, abs=0.005)
    assert naive < 20, "the labels themselves hold many more failures"


@settings(max_examples=25)
@given(st.lists(st.integers(0, 30), min_size=4, max_size=4), st.integers(0, 500), st.integers(0, 500))
def test_bounds_hold_the_estimate(labels: list[int], more_failed: int, more_passed: int) -> None:
    ff, pf, fp, pp = labels
    if not (ff + pf and fp + pp and ff + fp and pf + pp):
        return
    strata = by_verdict(ff, pf, fp, pp, ff + pf + more_failed, fp + pp + more_passed)
    interval, (lower, upper) = strata_kappa(strata), strata_kappa_bounds(strata, alpha=0.05)
    assert -1.0 <= interval.low <= lower <= interval.value + 1e-9
    assert interval.value - 1e-9 <= upper <= interval.high <= 1.0
    found = strata_rate(strata, AGREE, EVERY)
    assert found is not None
    assert 0.0 <= found[0].low <= found[0].value <= found[0].high <= 1.0


def test_what_is_no_sample_is_refused() -> None:
    for strata in ([], [LabelStratum(size=3, table=[[2, 0], [2, 0]])], [LabelStratum(size=3, table=[[0, 0], [0, 0]])]):
        with pytest.raises(BadInput) as caught:
            pooled(strata)
        assert caught.value.field == "strata"
    with pytest.raises(BadInput):
        strata_ppi([DrawnValues(size=9, people=[1.0], judge=[1.0], clusters=["a"])], [1.0] * 9)
