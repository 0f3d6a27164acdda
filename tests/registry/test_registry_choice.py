"""Who gets which version: uniform, independent between rollouts, and never flipped back."""

from __future__ import annotations

import random
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Rollout
from trimtab.registry import bucket, choose

KEYS = 100_000
CELLS = 50


def chi_square(counts: list[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


def limit(cells: int) -> float:
    """The 99.99 % point of chi-square with ``cells - 1`` degrees of freedom (Wilson and Hilferty's cube)."""
    free, z = cells - 1, 3.719
    return float(free * (1 - 2 / (9 * free) + z * (2 / (9 * free)) ** 0.5) ** 3)


def rollout(share: float, rollout_id: str = "rol_a") -> Rollout:
    return Rollout(id=rollout_id, kind="prompts", name="p", label="production", base=1, candidate=2, share=share)


@pytest.mark.parametrize("shape", ["session-{}", "{}", "user@example.org/{}"])
def test_buckets_are_uniform_over_keys(shape: str) -> None:
    counts = [0] * CELLS
    for index in range(KEYS):
        counts[int(bucket("rol_3f9c0a12be", shape.format(index)) * CELLS)] += 1
    assert chi_square(counts) < limit(CELLS)


def test_buckets_are_uniform_over_random_trace_ids() -> None:
    draw = random.Random(7)
    counts = [0] * CELLS
    for _ in range(KEYS):
        counts[int(bucket("rol_1", f"{draw.getrandbits(128):032x}") * CELLS)] += 1
    assert chi_square(counts) < limit(CELLS)


def test_buckets_of_two_rollouts_are_independent() -> None:
    side = 8
    counts = [0] * (side * side)
    for index in range(KEYS):
        key = f"session-{index}"
        counts[int(bucket("rol_a", key) * side) * side + int(bucket("rol_b", key) * side)] += 1
    # Uniform over the joint cells says uniform margins and independence at once.
    assert chi_square(counts) < limit(side * side)


@given(rollout_id=st.text(max_size=20), key=st.text(max_size=200))
def test_a_bucket_is_in_the_unit_interval_and_stays(rollout_id: str, key: str) -> None:
    assert 0 <= bucket(rollout_id, key) < 1
    assert bucket(rollout_id, key) == bucket(rollout_id, key)


@given(key=st.text(max_size=50), shares=st.lists(st.floats(0, 1), min_size=2, max_size=8).map(sorted))
def test_a_growing_share_never_flips_anybody_back(key: str, shares: list[float]) -> None:
    arms = [choose(rollout(share), key).arm for share in shares]
    assert all(not (before == "candidate" and after == "base") for before, after in pairwise(arms))
    assert arms == ["base" if share <= bucket("rol_a", key) else "candidate" for share in shares]
    assert bisect_right(shares, bucket("rol_a", key)) == arms.count("base")


@given(key=st.text(max_size=50))
def test_the_ends_are_nobody_and_everybody(key: str) -> None:
    assert choose(rollout(0.0), key) == (1, "base")
    assert choose(rollout(1.0), key) == (2, "candidate")
