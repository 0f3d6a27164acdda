"""The gate: three answers, each rarely wrong, and what it can find."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import special

from trimtab.core import BadInput
from trimtab.evals import (
    GateResult,
    Scored,
    estimate,
    gate,
    gate_any_time,
    gate_floor,
    loaded,
    markdown,
    plain,
    power_of,
)

#: Spread of difficulty and mean logits of a suite that passes at 80 and at 75 %.
STABLE = (5.4, 4.789, 3.838)


def runs(seed: int, drop: bool, cases: int = 300, repeats: int = 1) -> tuple[list[Scored], list[Scored]]:
    rng = np.random.default_rng(seed)
    spread, old, new = STABLE
    luck = spread * rng.standard_normal(cases)[:, None]
    before = rng.random((cases, repeats)) < special.expit(luck + old)
    after = rng.random((cases, repeats)) < special.expit(luck + (new if drop else old))
    return scored(after), scored(before)


def scored(values: np.ndarray) -> list[Scored]:
    return [Scored(case=f"c{i}", repeat=r, value=float(x)) for i, row in enumerate(values) for r, x in enumerate(row)]


def test_false_alarms_and_power() -> None:
    count = 150
    same = [gate(*runs(seed, False)).answer for seed in range(count)]
    worse = [gate(*runs(seed, True)).answer for seed in range(count)]
    assert same.count("fail") / count <= 0.05 + 0.05
    assert worse.count("fail") / count >= 0.80 - 0.09
    assert worse.count("pass") / count <= 0.05 + 0.05


def test_the_answers_and_their_exit_codes() -> None:
    base = scored(np.ones((200, 1)))
    worse = scored((np.arange(200) % 5 > 0).astype(float)[:, None])
    few = base[:20]
    assert [(r.answer, r.exit_code) for r in (gate(base, base), gate(worse, base), gate(few, few))] == [
        ("pass", 0),
        ("fail", 1),
        ("cannot tell yet", 2),
    ]
    open_one = gate(few, few)
    assert open_one.more_cases is not None
    more = gate(*(scored(np.ones((20 + open_one.more_cases, 1))) for _ in range(2)))
    assert more.answer == "pass"


def test_a_small_real_drop_passes() -> None:
    """Worse beyond doubt, and beyond doubt by less than what matters."""
    values = np.ones((2000, 1))
    values[:20] = 0.0
    result = gate(scored(values), scored(np.ones((2000, 1))))
    assert result.answer == "pass"
    assert result.delta is not None
    assert result.delta.p_worse < 0.05


def test_looking_after_every_case() -> None:
    new, old = runs(3, True, 800)
    answers = [gate_any_time(new[:n], old[:n]) for n in range(25, 801, 75)]
    decided = [a for a in answers if a.decided_at is not None]
    assert decided
    assert {(a.answer, a.decided_at) for a in decided} == {("fail", decided[0].decided_at)}
    assert decided[-1].anytime is not None
    low, high = decided[-1].anytime
    assert low < -0.05 < high < 0.0
    assert "However often one looks" in markdown(decided[-1])
    assert answers[0].answer == "cannot tell yet"


def test_unchanged_builds_pass_any_time() -> None:
    results = [gate_any_time(*runs(seed, False, 800)) for seed in range(12)]
    assert sum(r.answer == "pass" for r in results) > 8
    assert sum(r.answer == "fail" for r in results) <= 1


def test_clusters_are_one_observation() -> None:
    values = np.repeat((np.arange(40) % 4 > 0).astype(float), 5)[:, None]
    cluster = [Scored(case=s.case, value=s.value, cluster=str(i // 5)) for i, s in enumerate(scored(values))]
    base = [Scored(case=s.case, value=1.0, cluster=s.cluster) for s in cluster]
    result, alone = gate_any_time(cluster, base), gate_any_time(scored(values), scored(np.ones((200, 1))))
    assert alone.decided_at is not None
    assert result.decided_at is None or result.decided_at > alone.decided_at


def test_floor() -> None:
    good = estimate([Scored(case=str(i), value=float(i % 20 > 0)) for i in range(400)])
    assert [gate_floor(good, floor).answer for floor in (0.8, 0.95, 0.99)] == ["pass", "cannot tell yet", "fail"]
    judged = estimate([Scored(case=str(i), value=float(i % 20 > 0), judge="j") for i in range(400)])
    refused = gate_floor(judged, 0.8)
    assert (refused.answer, refused.exit_code) == ("cannot tell yet", 2)
    assert "not corrected" in refused.why
    with pytest.raises(BadInput):
        gate_floor(good, 1.0)


def test_power_before_running() -> None:
    plan = power_of(cases=300)
    assert plan.sentence == "300 cases x 1 repeat finds a 5-point drop with 83 %"
    assert plan.detectable == pytest.approx(0.048, abs=0.002)
    assert plan.cases_for_80 is not None
    assert power_of(cases=plan.cases_for_80).power == pytest.approx(0.8, abs=0.005)
    assert power_of(cases=100, repeats=3, steadiness=0.3).sentence.startswith("100 cases x 3 repeats finds")
    assert "it takes" in markdown(plan)


def test_settings_out_of_range_are_refused() -> None:
    ones = scored(np.ones((5, 1)))
    for wrong in ({"max_drop": 0.0}, {"alpha": 0.0}, {"alpha": 0.5}, {"max_drop": 1.0}):
        with pytest.raises(BadInput):
            gate(ones, ones, **wrong)
        with pytest.raises(BadInput):
            gate_any_time(ones, ones, **wrong)
    with pytest.raises(BadInput):
        power_of(cases=300, drop=0.0)


def test_json_holds_everything() -> None:
    for result in (gate(*runs(1, True, 50)), gate_any_time(*runs(1, True, 50))):
        assert loaded(GateResult, json.loads(json.dumps(plain(result)))) == result
        assert markdown(result).startswith("**Gate: ")
