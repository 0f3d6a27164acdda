"""The variables of a prompt: what they may be, and the values that a request gives them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput

from .syntax import MAX_CHARACTERS, Use, parse

#: The types of a variable; ``json`` takes any value that JSON can write, ``list`` any list of such.
TYPES = ("string", "number", "integer", "boolean", "json", "list")
#: The variable that the gateway fills with what was retrieved.
PASSAGES = "passages"
#: The variable that the prompt's own few-shot examples fill.
EXAMPLES = "examples"
#: Values in all variables of a request together, those inside lists and objects counted.
MAX_VALUES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable of a prompt. ``default`` counts only if not ``required``; without ``enum`` any value will do."""

    name: str
    type: str = "string"
    required: bool = True
    default: Any = None
    description: str = ""
    enum: tuple[Any, ...] = ()


def texts_of(message: Mapping[str, Any], field: str) -> Iterator[tuple[str, str]]:
    """The texts of a message that are templates, each with its field path."""
    content = message.get("content")
    if isinstance(content, str):
        yield f"{field}.content", content
    elif isinstance(content, list | tuple):
        for position, part in enumerate(content):
            if is_text(part):
                yield f"{field}.content[{position}].text", part["text"]


def is_text(part: object) -> bool:
    """Whether a part of a message's content is text, the only part that is filled."""
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)


def all_texts(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every template text of a prompt with its field path."""
    for position, message in enumerate(content.get("messages") or ()):
        yield from texts_of(message, f"messages[{position}]")


def own_variables(content: Mapping[str, Any]) -> dict[str, Variable]:
    """The variables by name, declared or read from the placeholders, without those that are filled for the caller."""
    declared = content.get("variables")
    if isinstance(declared, Mapping):
        return {name: _variable(name, spec) for name, spec in declared.items()}
    names = (use.name for path, text in all_texts(content) for use in parse(text, path).uses if not _of_item(use))
    return {name: Variable(name=name) for name in names if name not in filled_in(content)}


def filled_in(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that no caller fills: the passages, and the examples where the prompt has some."""
    return (PASSAGES, EXAMPLES) if content.get("examples") else (PASSAGES,)


def _of_item(use: Use) -> bool:
    """An example's own fields are no variables."""
    return EXAMPLES in use.inside and use.name in ("input", "output")


def _variable(name: str, spec: Mapping[str, Any]) -> Variable:
    return Variable(
        name=name,
        type=spec.get("type", "string"),
        required="default" not in spec,
        default=spec.get("default"),
        description=spec.get("description") or spec.get("note") or "",
        enum=tuple(spec.get("enum") or ()),
    )


def has_type(value: object, type_: str) -> bool:
    """Whether a value fits a variable's type. A boolean is no number."""
    match type_:
        case "string":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list | tuple)
    return True


def one_of(value: object, enum: Sequence[object]) -> bool:
    """Whether a value is among the allowed ones; true and 1 are two values."""
    return any(type(value) is type(allowed) and value == allowed for allowed in enum)


def values_of(declared: Mapping[str, Variable], given: Mapping[str, object]) -> dict[str, Any]:
    """A value for every variable. Raises BadInput naming the one that is missing, unknown or not as declared."""
    for name in given:
        if name not in declared and name != PASSAGES:
            known = ", ".join(sorted(declared)) or "none"
            mend = f"Leave it out; its variables are: {known}."
            raise BadInput(f"the prompt has no variable {name!r}", field=f"variables.{name}", mend=mend)
    found = {name: _value(variable, given) for name, variable in declared.items() if name != PASSAGES}
    sizes = Sizes()
    for name, value in found.items():
        sizes.take(value, f"variables.{name}")
    return found


def _value(variable: Variable, given: Mapping[str, object]) -> Any:
    field = f"variables.{variable.name}"
    if variable.name in given:
        value = given[variable.name]
    elif variable.required:
        mend = f"Give it a value of type {variable.type}."
        raise BadInput(f"the prompt needs {variable.name!r}", field=field, mend=mend)
    else:
        value = variable.default
    if not has_type(value, variable.type):
        raise BadInput(f"must be of type {variable.type}", field=field, mend=f"It is a {type(value).__name__} now.")
    if variable.enum and not one_of(value, variable.enum):
        allowed = ", ".join(written(item, field) for item in variable.enum)
        raise BadInput("is not one of the allowed values", field=field, mend=f"Give one of {allowed}.")
    return value


def written(value: object, field: str) -> str:
    """A value as it stands in a text: text as it is, anything else as JSON. BadInput for what JSON cannot hold."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise BadInput("cannot be written as JSON", field=field, mend="Give plain JSON values.") from None


class Sizes:
    """Sees that values are plain JSON, and together not more than a prompt may take, before any of them is written.

    What passes holds nothing that could run when it is looked at.
    """

    def __init__(self) -> None:
        self._values = 0
        self._characters = 0

    def take(self, value: object, field: str) -> None:
        """Count one value in. Raises BadInput naming its field."""
        waiting: list[object] = [value]
        while waiting:
            item = waiting.pop()
            inside: Collection[object] = ()
            self._values += 1
            if isinstance(item, str):
                self._characters += len(item)
            elif isinstance(item, dict):
                inside = item.values()
                self._characters += sum(len(key) for key in item if isinstance(key, str))
            elif isinstance(item, list | tuple):
                inside = item
            elif item is not None and not (isinstance(item, int | float) and math.isfinite(item)):
                raise BadInput("cannot be written as JSON", field=field, mend="Give plain JSON values.")
            if self._values + len(waiting) + len(inside) > MAX_VALUES or self._characters > MAX_CHARACTERS:
                mend = f"All variables together may have {MAX_VALUES} values and {MAX_CHARACTERS} characters."
                raise BadInput("is too much for a prompt", field=field, mend=mend)
            waiting.extend(inside)
