"""Expressions that are compiled at their first use: every one the guard brings is right, and behaves as if compiled."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import re2

import trimtab.guard
from trimtab.guard.expressions import Screen, checked, compiled


def expressions(value: Any, depth: int = 4) -> Iterator[Any]:
    """Every expression in a constant, however deep it lies."""
    if type(value) is type(compiled("a")):
        yield value
    elif isinstance(value, Screen):
        yield from map(compiled, value._patterns)
    elif depth and isinstance(value, dict):
        for inner in value.values():
            yield from expressions(inner, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for inner in value:
            yield from expressions(inner, depth - 1)


def test_every_expression_of_the_guard_compiles() -> None:
    seen = 0
    for module in pkgutil.walk_packages(trimtab.guard.__path__, "trimtab.guard."):
        for constant in vars(importlib.import_module(module.name)).values():
            for expression in expressions(constant):
                assert expression.groups >= 0
                seen += 1
            if isinstance(constant, Screen):
                constant.which("a")
    assert seen > 100


def test_it_answers_as_a_compiled_one() -> None:
    lazy, eager = compiled(r"(a+)b"), checked(r"(a+)b")
    for _ in range(2):
        assert lazy.search("xaab").span(1) == eager.search("xaab").span(1)
        assert (lazy.pattern, lazy.groups) == (eager.pattern, eager.groups)
    assert compiled(r"(a+)b", capture=False).search("xaab") is not None


def test_a_wrong_expression_is_refused_at_once_where_it_is_checked() -> None:
    with pytest.raises(re2.error):
        checked("(")
    with pytest.raises(re2.error):
        compiled("(").search("a")


def test_a_screen_says_which_patterns_may_occur() -> None:
    screen = Screen(["cat", "dog"])
    assert screen.silent("a bird")
    assert not screen.silent("a dog")
    assert list(screen.which("a bird")) == []
    assert list(screen.which("a dog")) == [1]
    assert Screen([]).silent("anything")


def test_a_screen_too_large_for_one_automaton_names_every_pattern() -> None:
    large = Screen([rf"(?i)\bword{n}\b[^.\n]{{0,300}}\bother{n}\b[a-z]{{0,300}}x" for n in range(900)])
    assert list(large.which("hello")) == list(range(900))
