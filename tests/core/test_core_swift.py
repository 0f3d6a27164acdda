"""Swift records are the frozen dataclasses they were, only cheaper to make."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from trimtab.core import Call, Chunk, Score, Span, Stamp, Usage, evolve, swift


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record."""

    name: str
    size: int = 3
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def twice(self) -> int:
        return 2 * self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    name: str
    size: int = 3
    more: dict[str, Any] = field(default_factory=dict)


def test_it_is_what_the_dataclass_would_have_been() -> None:
    made, plain = Record(name="a", size=4), Plain(name="a", size=4)
    assert type(made) is Record
    assert repr(made).partition("(")[2] == repr(plain).partition("(")[2]
    assert asdict(made) == asdict(plain)
    assert [f.name for f in fields(Record)] == [f.name for f in fields(Plain)]
    assert made == Record(name="a", size=4)
    assert made != Record(name="b", size=4)
    assert hash(Stamp(model="m")) == hash(Stamp(model="m"))
    assert made.twice == 8


def test_defaults_are_made_anew() -> None:
    one, other = Record(name="a"), Record(name="a")
    assert one.size == 3
    assert one.more == {}
    assert one.more is not other.more


def test_it_is_frozen() -> None:
    made = Record(name="a")
    with pytest.raises(AttributeError):
        made.name = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del made.name
    with pytest.raises((AttributeError, TypeError)):
        made.other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(("wrong", "field"), [({}, "name"), ({"name": "a", "unknown": 1}, "unknown")])
def test_wrong_fields_are_refused(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(TypeError, match=field):
        Record(**wrong)


@pytest.mark.parametrize("remake", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
def test_it_is_copied_and_pickled(remake: Any) -> None:
    made = Record(name="a", more={"x": [1]})
    again = remake(made)
    assert again == made
    assert type(again) is Record


def test_changing_a_copy_is_what_replace_does() -> None:
    made = Record(name="a", size=1, more={"x": 1})
    assert evolve(made, size=2) == replace(made, size=2) == Record(name="a", size=2, more={"x": 1})
    assert evolve(made) == made
    assert evolve(Chunk(text="a", finish="stop"), finish=None) == Chunk(text="a")
    with pytest.raises(TypeError):
        evolve(made, unknown=1)


@pytest.mark.parametrize("kind", [Call, Chunk, Score, Span, Stamp, Usage])
def test_the_types_of_the_core_still_name_what_is_missing(kind: type) -> None:
    needed = [f.name for f in fields(kind) if f.default is f.default_factory]
    if needed:
        with pytest.raises(TypeError, match=needed[0]):
            kind()
    else:
        assert kind() == kind()
