"""Sketches of embeddings."""

from __future__ import annotations

import base64
import math
import struct

import pytest

from trimtab.core import sketch


def test_a_sketch_is_the_same_of_numbers_and_of_base64() -> None:
    vector = [math.sin(n) for n in range(300)]
    packed = base64.b64encode(struct.pack("<300f", *vector)).decode()
    found = sketch(vector)
    assert found is not None
    assert (found["dimensions"], len(found["first"])) == (300, 64)
    assert found["norm"] == pytest.approx(math.sqrt(sum(x * x for x in vector)), abs=1e-4)
    assert found["first"] == pytest.approx(vector[:64], abs=1e-4)
    again = sketch(packed)
    assert again is not None
    assert again["norm"] == pytest.approx(found["norm"], abs=1e-4)
    assert again["first"] == pytest.approx(found["first"], abs=1e-4)


def test_a_short_vector_is_all_of_its_sketch() -> None:
    assert sketch((3, 4)) == {"norm": 5.0, "dimensions": 2, "first": [3.0, 4.0]}


@pytest.mark.parametrize(
    "vector",
    [None, 7, "", "no base64!", "AAA=", {}, [], ["x"], [None], [[1.0]], [math.nan], [math.inf], [0.0] * 70_000,
     "A" * 600_000],
)  # fmt: skip
def test_what_is_no_vector_has_no_sketch(vector: object) -> None:
    assert sketch(vector) is None
