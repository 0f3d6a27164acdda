"""Whatever an application holds becomes bounded text, and never an exception."""

from __future__ import annotations

import inspect
import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.sdk.capture import TEXT_LIMIT, arguments_text, text_of


@dataclass
class Order:
    number: int
    items: list[str]


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {"a": 1}


def _circle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("plain", "plain"),
        (3, "3"),
        (True, "true"),
        (float("nan"), '"nan"'),
        (10**30, '"a very large integer"'),
        (b"abc", '"<3 bytes>"'),
        ({"a": [1, None, "é"]}, '{"a": [1, null, "é"]}'),
        ((1, 2), "[1, 2]"),
        (Order(7, ["x"]), '{"number": 7, "items": ["x"]}'),
        (Model(), '{"a": 1}'),
        ([Rude(), 1], '["<Rude, not shown: RuntimeError>", 1]'),
        ({1: {2}}, '{"1": [2]}'),
        ("\ud800", "?"),
    ],
)
def test_values(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_a_circle_ends() -> None:
    assert "…" in text_of(_circle())


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        ["y" * 1000] * 1_000_000,
        [[[[[[[[0] * 200] * 200] * 200] * 200] * 200] * 200] * 200],
        dict.fromkeys(range(1000), "z" * 100_000),
    ],
    ids=["text", "list", "tree", "mapping"],
)
def test_large_values_are_cut_quickly_and_say_so(value: Any) -> None:
    started = time.process_time()
    text = text_of(value)
    assert len(text) <= TEXT_LIMIT + 50
    assert "…" in text
    assert time.process_time() - started < 2


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers() | st.text(), inner) | st.tuples(inner),
)


@given(values)
def test_any_value_is_text_with_utf8(value: Any) -> None:
    text = text_of(value)
    assert text.encode() is not None
    if value is not None and not isinstance(value, str):
        json.loads(text)


def test_arguments_by_name() -> None:
    def ask(self: Any, question: str, top: int = 3, **more: Any) -> None: ...

    signature = inspect.signature(ask)
    assert arguments_text(signature, ("me", "why?"), {}) == "why?"
    assert json.loads(arguments_text(signature, ("me", "why?"), {"top": 5, "lang": "de"})) == {
        "question": "why?",
        "top": 5,
        "more": {"lang": "de"},
    }
    # A call that is about to fail is shown as it was made.
    assert json.loads(arguments_text(signature, (), {"wrong": 1})) == {"wrong": 1}
    assert arguments_text(None, (1, 2), {}) == '{"0": 1, "1": 2}'
