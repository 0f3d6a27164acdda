"""Frozen records that are cheap to make.

A frozen dataclass sets each of its fields through ``object.__setattr__``, which is two thirds of what making one costs;
a request makes some twenty of them. Here the fields are set on an open twin with the same slots, which then becomes the
record: same fields, same equality, as frozen as before, at a third of the price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def swift(cls: type[T]) -> type[T]:
    """Speed up the making of a ``@dataclass(frozen=True, slots=True, kw_only=True)`` without ``__post_init__``."""
    made: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]  # only dataclasses are ever given
    names = [field.name for field in made]
    space: dict[str, Any] = {"MISSING": MISSING, "new": object.__new__}
    space["Twin"] = type(f"Open{cls.__name__}", (), {"__slots__": tuple(names)})
    parameters, lines = [], ["self = new(Twin)"]
    for field in made:
        value = field.name
        if field.default is not MISSING:
            space[f"default_{value}"] = field.default
            parameters.append(f"{value}=default_{value}")
        elif field.default_factory is not MISSING:
            space[f"make_{value}"] = field.default_factory
            parameters.append(f"{value}=MISSING")
            lines.append(f"if {value} is MISSING: {value} = make_{value}()")
        else:
            parameters.append(value)
        lines.append(f"self.{value} = {value}")
    lines += ["self.__class__ = _cls", "return self"]
    exec(f"def __new__(_cls, *, {', '.join(parameters)}):\n " + "\n ".join(lines), space)  # names of fields, no input
    space["__new__"].__qualname__ = cls.__qualname__
    del cls.__init__
    cls.__new__ = space["__new__"]  # type: ignore[method-assign]
    cls.__reduce__ = _reduce  # type: ignore[method-assign]
    changes = ", ".join(f"{name}=MISSING" for name in names)
    kept = ", ".join(f"{name}=self.{name} if {name} is MISSING else {name}" for name in names)
    exec(f"def __replace__(self, *, {changes}):\n return self.__class__({kept})", space)
    cls.__replace__ = space["__replace__"]  # type: ignore[attr-defined]
    return cls


def evolve(record: T, **changes: Any) -> T:
    """A copy of a swift record with some fields changed: ``dataclasses.replace`` at a third of its price."""
    return record.__replace__(**changes)  # type: ignore[attr-defined, no-any-return]


def _reduce(self: Any) -> tuple[Callable[..., Any], tuple[type, Mapping[str, Any]]]:
    """How copy and pickle take it apart: ``__new__`` wants the fields."""
    return _made, (type(self), {field.name: getattr(self, field.name) for field in fields(self)})


def _made(cls: type[T], values: Mapping[str, Any]) -> T:
    return cls(**values)
