"""The circuit breaker, and the allowance of retries: pure, with the time passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput, ModelError, ModelTimeout, TrimtabError
from trimtab.gateway.breaker import CAUSES, Breaker, BreakerRules, Cause, FirstByteTimeout, cause_of
from trimtab.gateway.retry import Allowance, RetryRules, backoff


def fail(breaker: Breaker, times: int, cause: Cause = "server", now: float = 0.0) -> None:
    for _ in range(times):
        breaker.begin(now)
        breaker.failed(now, cause)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ModelError("x", vendor_status=429), "rate_limit"),
        (ModelError("x", vendor_status=503), "server"),
        (ModelError("x", vendor_status=529), "server"),
        (ModelError("x"), "connection"),
        (ModelTimeout("x"), "timeout"),
        (FirstByteTimeout("x"), "first_byte"),
        (ModelError("x", vendor_status=400, retryable=False), None),
        (ModelError("x", vendor_status=401, retryable=False), None),
        (BadInput("x"), None),
    ],
)
def test_each_failure_has_a_cause_and_a_bad_request_is_none(error: TrimtabError, cause: str | None) -> None:
    assert cause_of(error) == cause


@pytest.mark.parametrize("cause", CAUSES)
def test_it_opens_at_the_threshold_of_a_cause_and_not_before(cause: Cause) -> None:
    breaker = Breaker(BreakerRules())
    needed = breaker.rules.failures[cause]
    fail(breaker, needed - 1, cause)
    assert breaker.state(0.0) == "closed"
    fail(breaker, 1, cause)
    assert (breaker.state(0.0), breaker.cause, breaker.left(0.0)) == ("open", cause, 10.0)
    assert not breaker.allows(9.99)


def test_causes_are_counted_apart_and_one_that_is_switched_off_never_opens() -> None:
    breaker = Breaker(BreakerRules(failures={"server": 5, "rate_limit": 5, "timeout": 0}))
    for _ in range(4):
        fail(breaker, 1, "server")
        fail(breaker, 1, "rate_limit")
    fail(breaker, 50, "timeout")
    assert breaker.state(0.0) == "closed"


def test_failures_among_many_successes_do_not_open_it() -> None:
    breaker = Breaker(BreakerRules())
    for _ in range(100):
        for _ in range(4):
            breaker.begin(0.0)
            breaker.succeeded(0.0)
        fail(breaker, 1)
    assert breaker.state(0.0) == "closed"


def test_a_sound_target_that_breaks_down_is_found_out_before_its_past_has_left_the_window() -> None:
    breaker = Breaker(BreakerRules())
    for _ in range(1000):
        breaker.begin(0.0)
        breaker.succeeded(0.0)
    fail(breaker, 9, now=1.0)
    assert breaker.state(1.0) == "closed"
    fail(breaker, 1, now=1.0)
    assert breaker.state(1.0) == "open"


def test_what_is_older_than_the_window_does_not_count() -> None:
    breaker = Breaker(BreakerRules())
    fail(breaker, 4, now=0.0)
    fail(breaker, 4, now=31.0)
    assert breaker.state(31.0) == "closed"
    fail(breaker, 1, now=35.0)
    assert breaker.state(35.0) == "open"


def test_one_probe_at_a_time_closes_it_or_opens_it_for_longer() -> None:
    breaker = Breaker(BreakerRules())
    fail(breaker, 5)
    now = 10.0
    for rest in (20.0, 30.0, 30.0):
        assert (breaker.state(now), breaker.allows(now)) == ("half-open", True)
        assert breaker.begin(now)
        assert not breaker.allows(now)
        breaker.failed(now, "server")
        assert breaker.left(now) == rest
        now += rest
    breaker.begin(now)
    breaker.succeeded(now)
    assert breaker.state(now) == "closed"
    fail(breaker, 4, now=now)
    assert breaker.state(now) == "closed"  # it starts afresh
    fail(breaker, 1, now=now)
    assert breaker.left(now) == 10.0


def test_a_probe_that_says_nothing_makes_room_for_the_next() -> None:
    breaker = Breaker(BreakerRules())
    fail(breaker, 5)
    breaker.begin(10.0)
    breaker.abandoned()
    assert breaker.allows(10.0)


@given(st.lists(st.tuples(st.sampled_from(["ok", "gone", *CAUSES]), st.floats(0, 5)), max_size=200))
def test_whatever_happens_it_lets_something_through_again(events: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(BreakerRules()), 0.0
    for what, passes in events:
        now += passes
        if breaker.allows(now):
            breaker.begin(now)
            if what == "ok":
                breaker.succeeded(now)
            elif what == "gone":
                breaker.abandoned()
            else:
                breaker.failed(now, next(cause for cause in CAUSES if cause == what))
        assert breaker.left(now) <= 30.0 + 1e-9
    assert breaker.allows(now + 30.0)


@given(st.integers(1, 40), st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_between_nothing_and_the_doubled_one(tried: int, draw: float) -> None:
    rules = RetryRules()
    assert 0 <= backoff(rules, tried, draw) <= min(rules.longest, rules.pause * 2 ** (tried - 1))


def test_an_allowance_follows_the_traffic_and_never_exceeds_its_most() -> None:
    allowance = Allowance(0.1, 20.0, 0.0)
    taken = 0
    for _ in range(1000):
        allowance.asked(0.0)
        for _ in range(5 if allowance.some else 0):  # as many as run at once before the first is known to have failed
            allowance.take()
            taken += 1
    assert taken == pytest.approx(20 + 100, abs=5)
    for _ in range(1000):
        allowance.asked(0.0)
    assert allowance.left == 20.0
    allowance.most = 2.0  # the rules were changed
    allowance.asked(0.0)
    assert allowance.left == 2.0


def test_an_allowance_that_ran_dry_on_a_quiet_route_comes_back_with_time() -> None:
    allowance = Allowance(0.1, 20.0, 0.0)
    for _ in range(20):
        allowance.take()
    allowance.asked(0.0)
    assert not allowance.some
    allowance.asked(9.5)
    assert allowance.some
    for _ in range(100):
        allowance.take()
    assert allowance.left == -20.0
