"""Filling a prompt with a request's variables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput, Message

from .content import PASSAGES, Variable, has_type, is_text, variables_of
from .placeholders import substitute


def fill(content: Mapping[str, Any], variables: Mapping[str, object], messages: Sequence[Message]) -> list[Message]:
    """The template's messages with values put in, then the caller's messages as they came.

    ``content`` must have passed ``validate``. Raises BadInput naming the variable that is missing, unknown or of the
    wrong type. ``passages`` may always be given, whether the template uses it or not.
    """
    declared = variables_of(content)
    _refuse_unknown(declared, variables)
    values = {name: _value(variable, variables) for name, variable in declared.items() if name != PASSAGES}
    if PASSAGES in variables:
        values[PASSAGES] = str(variables[PASSAGES])
    elif PASSAGES in declared and not declared[PASSAGES].required:
        values[PASSAGES] = str(declared[PASSAGES].default)

    def value_of(name: str) -> str:
        if name not in values:
            raise BadInput(f"the prompt needs {name!r}", field=f"variables.{name}", mend="Give it a value.")
        return values[name]

    filled: list[Message] = [_filled(message, value_of) for message in content["messages"]]
    return [*filled, *messages]


def _refuse_unknown(declared: Mapping[str, Variable], variables: Mapping[str, object]) -> None:
    for name in variables:
        if name not in declared and name != PASSAGES:
            known = ", ".join(sorted(declared)) or "none"
            raise BadInput(
                f"the prompt has no variable {name!r}",
                field=f"variables.{name}",
                mend=f"Leave it out; its variables are: {known}.",
            )


def _value(variable: Variable, variables: Mapping[str, object]) -> str:
    field = f"variables.{variable.name}"
    if variable.name in variables:
        value = variables[variable.name]
    elif variable.required:
        raise BadInput(
            f"the prompt needs {variable.name!r}", field=field, mend=f"Give it a value of type {variable.type}."
        )
    else:
        value = variable.default
    if not has_type(value, variable.type):
        raise BadInput(f"must be of type {variable.type}", field=field, mend=f"It is a {type(value).__name__} now.")
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise BadInput("cannot be written as JSON", field=field, mend="Give plain JSON values.") from None


def _filled(message: Message, value_of: Callable[[str], str]) -> Message:
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": substitute(content, value_of)}
    parts = [{**part, "text": substitute(part["text"], value_of)} if is_text(part) else dict(part) for part in content]
    return {**message, "content": parts}
