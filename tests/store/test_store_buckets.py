"""The log histogram: bounded error, mergeable, and total over odd values."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trimtab.store import bucket_of, quantile

positive = st.floats(min_value=1e-6, max_value=1e12)


@given(st.lists(positive, min_size=1, max_size=200), st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_half_a_bucket_of_the_exact_one(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    found = quantile(Counter(map(bucket_of, values)), q)
    assert exact / 2 ** (1 / 16) * (1 - 1e-9) <= found <= exact * 2 ** (1 / 16) * (1 + 1e-9)


@given(positive, positive)
def test_buckets_keep_the_order_of_values(a: float, b: float) -> None:
    assert (bucket_of(a) <= bucket_of(b)) or a > b


@given(st.lists(positive), st.lists(positive))
def test_merging_counts_equals_counting_all(a: list[float], b: list[float]) -> None:
    assert Counter(map(bucket_of, a)) + Counter(map(bucket_of, b)) == Counter(map(bucket_of, a + b))


def test_an_octave_has_eight_buckets() -> None:
    assert bucket_of(1.0) == 0
    assert bucket_of(2.0) == 8
    assert bucket_of(1024.0) == 80
    assert bucket_of(0.5) == -8


def test_what_is_no_positive_number_counts_as_zero() -> None:
    zero = bucket_of(0.0)
    assert bucket_of(-3.0) == bucket_of(math.nan) == zero < bucket_of(5e-324)
    assert quantile({zero: 3, bucket_of(8.0): 1}, 0.5) == 0.0
    assert bucket_of(math.inf) >= bucket_of(1e300)


def test_an_empty_histogram_has_no_latency() -> None:
    assert quantile({}, 0.5) == 0.0
