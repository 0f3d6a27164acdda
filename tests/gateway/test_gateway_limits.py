"""Limits hold for any pattern of arrivals, and say which one was met."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import LimitReached
from trimtab.gateway import Key
from trimtab.gateway.limits import Limits

SECOND = 1_000_000_000


def key(**limits: int) -> Key:
    return Key(id="key_1", name="app", prefix="", limits=limits)


@given(st.integers(1, 50), st.lists(st.integers(0, 20 * SECOND), max_size=150))
def test_no_more_than_the_bucket_and_what_flows_into_it_is_let_through(rpm: int, gaps: list[int]) -> None:
    limits, now = Limits(), 0
    for admitted, gap in enumerate(gaps, 1):
        now += gap
        refused = try_to_enter(limits, rpm, now)
        if refused is not None:
            assert refused.field == "rpm"
            assert refused.retry_after is not None
            now += int(refused.retry_after * SECOND)
            assert try_to_enter(limits, rpm, now) is None  # the wait that was named is long enough
        assert admitted <= rpm + rpm * now / (60 * SECOND) + 1e-6


def try_to_enter(limits: Limits, rpm: int, now: int) -> LimitReached | None:
    try:
        with limits.admit(key(rpm=rpm), now):
            return None
    except LimitReached as error:
        return error


def test_a_minutes_burst_passes_and_the_next_request_waits_its_turn() -> None:
    limits = Limits()
    for _ in range(30):
        limits.admit(key(rpm=30), 0)
    with pytest.raises(LimitReached, match="rpm of 30") as caught:
        limits.admit(key(rpm=30), 0)
    assert caught.value.retry_after == 2.0


def test_a_clock_that_steps_back_gives_no_tokens() -> None:
    limits = Limits()
    limits.admit(key(rpm=1), 100 * SECOND)
    with pytest.raises(LimitReached):
        limits.admit(key(rpm=1), 0)


def test_parallel_requests_are_counted_and_given_back_whatever_happens() -> None:
    limits = Limits()
    with limits.admit(key(max_parallel=2), 0), suppress(ZeroDivisionError), limits.admit(key(max_parallel=2), 0):
        with pytest.raises(LimitReached, match="max_parallel is 2"):
            limits.admit(key(max_parallel=2), 0)
        raise ZeroDivisionError
    for _ in range(5):
        with limits.admit(key(max_parallel=1), 0):
            pass


def test_no_limits_no_counting() -> None:
    limits = Limits()
    leases = [limits.admit(key(), 0) for _ in range(1000)] + [limits.admit(None, 0)]
    for lease in leases:
        lease.__exit__(None, None, None)
