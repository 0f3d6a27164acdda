"""Corrected pass rates: the estimators are what the papers say, their intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.stats import ErrorRates, JudgeTooWeak, Labelled, ppi_rate, rate_interval, rogan_gladen

VERDICTS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=3, max_size=60)


@given(VERDICTS, st.lists(st.booleans(), min_size=3, max_size=80))
def test_ppi_equals_its_formula(pairs: list[tuple[bool, bool]], more: list[bool]) -> None:
    """Angelopoulos, Duchi and Zrnic (2023), with numpy."""
    y, f = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    u = np.array(more, dtype=float)
    spread = np.concatenate([f, u]).var(ddof=1)
    lam = np.clip(np.cov(y, f)[0, 1] / spread / (1 + len(y) / len(u)), 0, 1) if spread else 0.0
    found = ppi_rate(Labelled(people=y.tolist(), judge=f.tolist()), u.tolist())
    assert found.trust == pytest.approx(float(lam), abs=1e-9)
    assert found.value == pytest.approx(float(np.clip(lam * u.mean() + (y - lam * f).mean(), 0, 1)), abs=1e-9)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_rogan_gladen_equals_its_formula(p: int, n: int, tpr: float, tnr: float, seen: float) -> None:
    rates = ErrorRates(passing=p, passed=round(p * tpr), failing=n, failed=round(n * tnr))
    passes = round(200 * seen)
    if rates.youden < 0.3:
        with pytest.raises(JudgeTooWeak):
            rogan_gladen(rates, passes, 200)
        return
    found = rogan_gladen(rates, passes, 200)
    expected = (passes / 200 + rates.tnr - 1) / (rates.tpr + rates.tnr - 1)
    assert found.value == pytest.approx(min(1.0, max(0.0, expected)), abs=1e-9)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@pytest.mark.parametrize(("rate", "tpr", "tnr"), [(0.75, 0.9, 0.8), (0.9, 0.95, 0.9), (0.75, 0.6, 0.6)])
def test_intervals_cover_where_the_judge_alone_does_not(rate: float, tpr: float, tnr: float) -> None:
    rng = np.random.default_rng(9)
    held = {"ppi": 0, "rogan-gladen": 0, "judge only": 0}
    widths = {"ppi": 0.0, "labels": 0.0}
    runs, n, m = 500, 200, 1000
    for _ in range(runs):
        truth = rng.random(n + m) < rate
        says = np.where(truth, rng.random(n + m) < tpr, rng.random(n + m) >= tnr).astype(float)
        y, f, u = truth[:n].astype(float).tolist(), says[:n].tolist(), says[n:].tolist()
        found = {"ppi": ppi_rate(Labelled(people=y, judge=f), u), "judge only": rate_interval(u)}
        if tpr + tnr > 1.5:
            rates = ErrorRates(
                passing=100, passed=int(rng.binomial(100, tpr)), failing=100, failed=int(rng.binomial(100, tnr))
            )
            found["rogan-gladen"] = rogan_gladen(rates, round(sum(u)), m)
        for name, interval in found.items():
            held[name] += interval.low <= rate <= interval.high
        labels = rate_interval(y)
        widths["ppi"] += found["ppi"].high - found["ppi"].low
        widths["labels"] += labels.high - labels.low
    assert 0.92 <= held["ppi"] / runs <= 0.98
    assert held["judge only"] / runs < 0.75
    assert widths["ppi"] <= widths["labels"] * 1.01
    if tpr + tnr > 1.5:
        assert 0.92 <= held["rogan-gladen"] / runs <= 0.98


def test_a_useless_judge_costs_nothing() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(200) < 0.7).astype(float).tolist()
    noise = (rng.random(1200) < 0.5).astype(float).tolist()
    found, labels = ppi_rate(Labelled(people=y, judge=noise[:200]), noise[200:]), rate_interval(y)
    assert found.trust < 0.2
    assert found.high - found.low == pytest.approx(labels.high - labels.low, rel=0.05)


def test_clusters_widen() -> None:
    rng = np.random.default_rng(3)
    luck = np.repeat(rng.random(100) < 0.7, 4).astype(float).tolist()
    groups = [i // 4 for i in range(400)]
    judge = Labelled(people=luck[:200], judge=luck[:200], clusters=groups[:200])
    alone = Labelled(people=luck[:200], judge=luck[:200])
    wide = ppi_rate(judge, luck[200:], clusters=groups[200:])
    narrow = ppi_rate(alone, luck[200:])
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    rates = ErrorRates(passing=100, passed=95, failing=100, failed=95)
    one, four = rogan_gladen(rates, 280, 400), rogan_gladen(rates, 280, 400, design=4.0)
    assert four.high - four.low > one.high - one.low


def test_what_cannot_be_corrected_is_refused() -> None:
    with pytest.raises(JudgeTooWeak, match=r"0\.20 is below 0\.3"):
        rogan_gladen(ErrorRates(passing=10, passed=6, failing=10, failed=6), 50, 100)
    with pytest.raises(BadInput, match="0 failing"):
        rogan_gladen(ErrorRates(passing=10, passed=6, failing=0, failed=0), 50, 100)
    with pytest.raises(BadInput, match="verdicts"):
        ppi_rate(Labelled(people=[1.0, 0.0], judge=[1.0]), [1.0, 0.0])
    with pytest.raises(BadInput, match="outside"):
        ppi_rate(Labelled(people=[1.0, 2.0], judge=[1.0, 0.0]), [1.0, 0.0])
    with pytest.raises(BadInput, match="at least two"):
        ppi_rate(Labelled(people=[1.0], judge=[1.0]), [1.0, 0.0])
