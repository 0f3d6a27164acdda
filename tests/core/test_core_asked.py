"""What somebody asks over HTTP: every refusal names the field and the mend."""

from __future__ import annotations

import msgspec
import pytest

from trimtab.core import BadInput, TooLarge, body_as, only, whole_number


class Shape(msgspec.Struct):
    name: str = ""
    count: int = 0


def test_a_body_is_read_as_a_shape_and_an_empty_one_is_an_empty_object() -> None:
    assert body_as(b'{"name": "a", "count": 2}', Shape) == Shape(name="a", count=2)
    assert body_as(b"", Shape) == Shape()
    assert body_as(b'{"any": [1]}', dict) == {"any": [1]}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"count": "x"}', "count"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"\xff", "body"),
        (b'{"name": "\xff"}', "body"),
        (b"[" * 100_000, "body"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_the_place(raw: bytes, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        body_as(raw, Shape)
    assert refused.value.field == field
    assert refused.value.mend


def test_a_nested_body_without_end_is_refused_where_any_object_is_taken() -> None:
    with pytest.raises(BadInput):
        body_as(b'{"a":' * 100_000, dict)


def test_a_body_that_is_too_large_is_refused() -> None:
    with pytest.raises(TooLarge):
        body_as(b'{"name": "long"}', Shape, most=5)


def test_unknown_fields_are_named() -> None:
    assert only({"a": 1}, ("a", "b")) == {"a": 1}
    with pytest.raises(BadInput) as refused:
        only({"c": 1}, ("a", "b"))
    assert (refused.value.field, "a, b" in refused.value.mend) == ("c", True)


@pytest.mark.parametrize(("text", "found"), [("", 7), ("1", 1), ("10", 10)])
def test_a_number_of_the_query(text: str, found: int) -> None:
    assert whole_number({"limit": text}, "limit", 7, 10, least=1) == found
    assert whole_number({}, "limit", 7, 10) == 7


@pytest.mark.parametrize("text", ["0", "11", "-1", "1.5", "x", "٣", "9" * 30, "²"])
def test_a_number_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        whole_number({"limit": text}, "limit", 7, 10, least=1)
    assert refused.value.field == "limit"
