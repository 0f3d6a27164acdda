"""Route choice is pure: one draw gives one order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.gateway import Route, order, read_route, validate_route

TARGETS = [{"model": "a/x", "weight": 3}, {"model": "b/y", "weight": 1}, {"model": "c/z", "weight": 0}]


def route(**content: Any) -> Route:
    return read_route("r", "r/1", {"targets": TARGETS, **content}, {})


@given(st.floats(0, 1, exclude_max=True))
def test_ordered_means_as_written_then_the_fallbacks_and_none_twice(draw: float) -> None:
    assert order(route(fallback=["d/w", "a/x"]), draw) == ["a/x", "b/y", "c/z", "d/w"]


@given(st.floats(0, 1, exclude_max=True))
def test_weighted_names_every_weighted_target_once_and_the_heavier_gets_its_share(draw: float) -> None:
    models = order(route(strategy="weighted", fallback=["d/w"]), draw)
    assert models == (["a/x", "b/y", "d/w"] if draw < 0.75 else ["b/y", "a/x", "d/w"])


@given(
    st.lists(st.floats(0.001, 1000), min_size=2, max_size=5),
    st.floats(0, 1, exclude_max=True),
)
def test_a_weighted_order_is_a_permutation(weights: list[float], draw: float) -> None:
    targets = [{"model": f"p/{n}", "weight": weight} for n, weight in enumerate(weights)]
    assert sorted(order(route(targets=targets, strategy="weighted"), draw)) == [f"p/{n}" for n in range(len(weights))]


def test_the_second_pick_keeps_its_own_share() -> None:
    """The rest of the draw is uniform again: after one target the others split by weight."""
    targets = [{"model": "p/a", "weight": 2}, {"model": "p/b", "weight": 1}, {"model": "p/c", "weight": 1}]
    weighted = route(targets=targets, strategy="weighted")
    orders = [order(weighted, (n + 0.5) / 4000) for n in range(4000)]
    assert sum(models[0] == "p/a" for models in orders) == 2000
    after_a = [models[1] for models in orders if models[0] == "p/a"]
    assert after_a.count("p/b") == after_a.count("p/c") == 1000
    after_b = [models[1] for models in orders if models[0] == "p/b"]
    assert abs(after_b.count("p/a") / len(after_b) - 2 / 3) < 0.01


def test_a_route_takes_the_defaults_of_the_house_below_its_own() -> None:
    read = read_route(
        "r", "r/1", {"targets": TARGETS, "timeout": {"total": 5}}, {"attempts": 7, "timeout": {"first_byte": 2}}
    )
    assert (read.attempts, read.first_byte, read.total) == (7, 2.0, 5.0)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "targets"),
        ({"targets": []}, "targets"),
        ({"targets": [{"model": "no-slash"}]}, "targets[0].model"),
        ({"targets": [{"model": "/x"}]}, "targets[0].model"),
        ({"targets": ["a/x"]}, "targets[0].model"),
        ({"targets": [{"model": "a/x", "weight": -1}]}, "targets[0].weight"),
        ({"targets": [{"model": "a/x", "weight": "1"}]}, "targets[0].weight"),
        ({"targets": [{"model": "a/x", "weight": 0}]}, "targets"),
        ({"targets": TARGETS, "strategy": "best"}, "strategy"),
        ({"targets": TARGETS, "attempts": 0}, "attempts"),
        ({"targets": TARGETS, "attempts": True}, "attempts"),
        ({"targets": TARGETS, "fallback": "a/x"}, "fallback"),
        ({"targets": TARGETS, "timeout": {"total": "60s"}}, "timeout.total"),
        ({"targets": TARGETS, "timeout": 3}, "timeout"),
        ({"targets": TARGETS, "retries": 3}, "retries"),
        ({"targets": TARGETS, "guard": 3}, "guard"),
        ({"targets": TARGETS, "guard": "prompts:/x@y"}, "guard"),
        ({"targets": TARGETS, "prompt": "guards:/x@y"}, "prompt"),
    ],
)
def test_a_broken_route_names_its_field(content: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate_route(content)
    assert caught.value.field == field
