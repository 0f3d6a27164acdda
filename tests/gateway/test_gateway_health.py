"""What the gateway knows of its routes, as screens and Prometheus get it."""

from __future__ import annotations

import re

import pytest
from chains import CALL, DOWN, Chain, says, text_of
from gateway_house import House, http_reply, user
from virtual_time import virtual

from trimtab.core import ModelError
from trimtab.gateway import health_lines, read_route
from trimtab.gateway.health import ROUTES, Health, TargetState
from trimtab.gateway.moving import added


@virtual
async def test_shares_failures_and_breakers_show_by_target() -> None:
    chain = Chain(says(then=DOWN), says("x"))
    for _ in range(6):
        await text_of(chain.attempts())
    health = Health()
    health._routes["r"] = chain.state
    (route,) = health.seen(0.0)
    down, up = route.targets
    assert (down.state, down.opened_by, down.seconds_left, down.failures) == ("open", "server", 10.0, {"server": 5})
    assert (up.state, up.answered, up.input_tokens) == ("closed", 6, 18)
    assert down.share == pytest.approx(5 / 11)
    assert (route.requests, route.hit_rate, route.cached_rate) == (6, None, 0.0)


@virtual
async def test_a_route_keeps_what_it_knows_when_it_changes_and_forgets_targets_that_are_gone() -> None:
    health = Health()
    chain = Chain(says(then=DOWN), says("x"))
    state = health.of(chain.route, 0.0)
    chain.state = state
    for _ in range(6):
        await text_of(chain.attempts())
    changed = read_route("r", "r/2", {"targets": [{"model": "p/0"}, {"model": "p/9"}]}, {})
    assert health.of(changed, 0.0) is state
    assert set(state.targets) == {"p/0", "p/1", "p/9"}  # requests of the version before may still be under way
    assert not state.targets["p/0"].usable(None, 1.0)
    for number in range(3, 7):
        health.of(read_route("r", f"r/{number}", {"targets": [{"model": "p/9"}]}, {}), 0.0)
    assert set(state.targets) == {"p/9"}


@virtual
async def test_a_request_under_way_does_not_mind_that_its_target_is_gone() -> None:
    chain = Chain(says("a", "b", between=1.0))
    chunks = chain.attempts()(CALL)
    assert (await anext(chunks)).text == "a"
    for number in range(2, 8):
        chain.state.follow(read_route("r", f"r/{number}", {"targets": [{"model": "p/9"}]}, {}))
    assert [chunk.text async for chunk in chunks] == ["b", ""]


def test_the_routes_that_are_remembered_are_bounded() -> None:
    health = Health()
    for number in range(ROUTES + 50):
        health.of(read_route(f"r{number}", "", {"targets": [{"model": "p/x"}]}, {}), 0.0)
    assert len(health.seen(0.0)) == ROUTES


async def test_prometheus_gets_registered_routes_and_nothing_that_a_client_made_up(house: House) -> None:
    targets = [{"model": "scripted/echo"}, {"model": 'vendor/odd"name'}]
    await house.publish("routes", "odd", {"targets": targets})
    for model in ("odd", "scripted/echo", "plain"):
        assert (await house.ask({"model": model, "messages": user("hi")})).status == 200
    lines = health_lines(house.gateway.health())
    series = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r'[a-z_]+\{([a-z]+="([^"\\]|\\.)*",?)+\} [\d.e+-]+', line) for line in series)
    assert 'trimtab_target_answered_total{route="plain",target="scripted/steady"} 1' in series
    assert 'trimtab_target_breaker{route="odd",target="vendor/odd\\"name"} 0' in series
    assert not [line for line in series if 'route="scripted/echo"' in line]
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    # A histogram is one thing of three kinds of series.
    named = {re.sub("_(bucket|sum|count)$", "", line.split("{")[0]) for line in series}
    assert named <= typed


async def test_prometheus_gets_tokens_money_and_times(house: House) -> None:
    await house.publish("routes", "kept", {"targets": [{"model": "scripted/steady"}], "cache": {"ttl": 60}})
    body = {"model": "kept", "messages": user("hi"), "temperature": 0}
    first, second = await house.ask(body), await house.ask(body)
    assert second.headers["x-trimtab-cache"] == "hit"
    (root, *_), _ = await house.trace(first)
    found = dict(line.rsplit(" ", 1) for line in health_lines(house.gateway.health()) if "kept" in line)
    of_target = '{route="kept",target="scripted/steady"}'
    assert float(found[f"trimtab_target_cost_usd_total{of_target}"]) == pytest.approx(root.cost_usd)
    assert float(found[f"trimtab_target_input_tokens_total{of_target}"]) == root.input_tokens
    assert float(found[f"trimtab_target_output_tokens_total{of_target}"]) == root.output_tokens
    assert found['trimtab_route_requests_total{route="kept"}'] == "2", "one of them from the cache"
    for name in ("first_token", "answer"):
        counts = [int(n) for series, n in found.items() if series.startswith(f"trimtab_route_{name}_seconds_bucket")]
        assert counts == sorted(counts)
        assert (counts[-1], found[f'trimtab_route_{name}_seconds_count{{route="kept"}}']) == (1, "1")


def test_times_are_counted_between_their_bounds_and_added_over_processes() -> None:
    one, other = TargetState("p/0", None), TargetState("p/1", None)
    for seconds in (0.025, 0.026, 61.0):
        one.first(0.0, seconds, 1.0)
    other.first(0.0, 0.3, 1.0)
    both = added([one.first_tokens]).with_those_of(added([other.first_tokens]))
    assert both == added([one.first_tokens, other.first_tokens])
    assert both.counts == (1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1)
    assert both.seconds == pytest.approx(61.351)


async def test_a_target_that_fails_is_named_with_its_cause(house: House) -> None:
    house.vendor.reply = lambda headers, body: []
    await house.publish("routes", "down", {"targets": [{"model": "vendor/m"}], "attempts": 1})
    assert (await house.ask({"model": "down", "messages": user("hi")})).status == 502
    assert 'trimtab_target_failures_total{route="down",target="vendor/m",cause="connection"} 1' in health_lines(
        house.gateway.health()
    )


async def test_a_session_stays_on_its_target(house: House) -> None:
    targets = [{"model": "scripted/echo"}, {"model": "scripted/steady"}, {"model": "scripted/reserve"}]
    await house.publish("routes", "sticky", {"targets": targets, "strategy": "weighted", "sticky": "session"})
    used: dict[str, set[str]] = {}
    for number in range(24):
        session = f"s{number % 6}"
        answer = await house.ask({"model": "sticky", "messages": user("hi")}, x_trimtab_session=session)
        used.setdefault(session, set()).add((await house.trace(answer))[0][0].model)
    assert all(len(models) == 1 for models in used.values())
    assert len(set().union(*used.values())) > 1


@virtual
async def test_a_failing_pinned_model_does_not_count_against_its_route() -> None:
    chain = Chain(says(then=DOWN))
    with pytest.raises(ModelError):
        await text_of(chain.attempts())
    other = Health().of(read_route("r p/0", "r/1", {"targets": [{"model": "p/0"}]}, {}), 0.0)
    assert other.targets["p/0"].usable(None, 0.0)


@virtual
async def test_counts_of_a_route_do_not_go_down_when_a_target_goes() -> None:
    chain = Chain(says("x"))
    await text_of(chain.attempts())
    health = Health()
    health._routes["r"] = chain.state
    (before,) = health.seen(0.0)
    assert sum(before.first_tokens.counts) == sum(before.whole_answers.counts) == 1
    for number in range(2, 8):
        chain.state.follow(read_route("r", f"r/{number}", {"targets": [{"model": "p/9"}]}, {}))
    (after,) = health.seen(0.0)
    assert (after.first_tokens, after.whole_answers) == (before.first_tokens, before.whole_answers)


async def test_what_an_attempt_used_counts_also_where_its_answer_was_withheld(house: House) -> None:
    targets = [{"model": "vendor/gpt-4o-mini"}, {"model": "scripted/steady"}]
    await house.publish("routes", "picky", {"targets": targets, "strategy": "ordered", "fallback_on": ["filter"]})
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    body = {"id": "x", "model": "gpt-4o-mini", "choices": [choice], "usage": usage}
    house.vendor.reply = lambda headers, asked: http_reply(200, body)
    answer = await house.ask({"model": "picky", "messages": user("hi")})
    assert answer.status == 200
    (root, *_), _ = await house.trace(answer)
    found = dict(line.rsplit(" ", 1) for line in health_lines(house.gateway.health()) if 'route="picky"' in line)
    costs = [float(value) for series, value in found.items() if series.startswith("trimtab_target_cost_usd_total")]
    assert sum(costs) == pytest.approx(root.cost_usd)
    assert found['trimtab_target_input_tokens_total{route="picky",target="vendor/gpt-4o-mini"}'] == "1000"
