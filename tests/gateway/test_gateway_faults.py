"""Two targets, one of them faulty, in virtual time: the scenarios of ``bench/outages.py``, shorter."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from virtual_time import run


def _load() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "outages.py"
    spec = importlib.util.spec_from_file_location("bench_outages", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


faults = _load()
REQUESTS = 3000


def measured(one: Any, other: Any, **content: Any) -> Any:
    return run(faults.measure(REQUESTS, one, other, **content))


@pytest.mark.parametrize("content", [{"strategy": s} for s in ("ordered", "weighted", "latency", "least_busy")])
@pytest.mark.parametrize("hedged", [False, True])
def test_with_one_faulty_target_999_of_1000_are_answered_in_time(content: dict[str, Any], hedged: bool) -> None:
    tally = measured(faults.FAULTY, faults.SOUND, **content, **(faults.HEDGED if hedged else {}))
    assert tally.requests == REQUESTS
    assert tally.answered >= faults.ANSWERED * REQUESTS
    assert (tally.late, tally.again_after_first_byte) == (0, 0)
    assert tally.most_attempts <= 3
    assert tally.attempts < 1.4 * REQUESTS


def test_hedging_shortens_the_tail() -> None:
    plain = measured(faults.FAULTY, faults.SOUND).figures()
    hedged = measured(faults.FAULTY, faults.SOUND, **faults.HEDGED).figures()
    assert hedged["p99_s"] < 0.5 * plain["p99_s"]


def test_a_stream_that_breaks_is_never_tried_again() -> None:
    tally = measured(faults.Faults(breaks=0.2), faults.Faults(breaks=0.2))
    assert tally.again_after_first_byte == 0
    assert tally.broken == len(tally.failed_at) == REQUESTS - tally.answered
    assert tally.broken == pytest.approx(0.2 * REQUESTS, rel=0.15)
    assert tally.attempts == REQUESTS


@pytest.mark.parametrize("breaker", [{}, {"failures": dict.fromkeys(faults.KINDS, 0)}])
def test_an_outage_of_everything_is_not_amplified_and_ends_when_it_ends(breaker: dict[str, Any]) -> None:
    outage = faults.Faults(down=(10.0, 40.0))
    tally = measured(outage, outage, breaker=breaker)
    during = sum(10.0 <= at < 40.0 for at in tally.failed_at)
    assert during > 1000
    assert tally.attempts <= REQUESTS + 0.1 * during + 20 + 40
    assert max(tally.failed_at) < 40.0 + 31.0


def test_the_outage_of_one_is_hardly_felt_once_its_breaker_is_open() -> None:
    tally = measured(faults.Faults(down=(10.0, 40.0)), faults.SOUND)
    assert tally.answered == REQUESTS
    assert tally.attempts < 1.03 * REQUESTS
