"""What a prompt version may hold.

``{"messages": [{"role", "content"}], "variables"?: {name: {"type", "default"?}}, "corpus"?, "passages"?, "params"?,
"note"?}``. Without ``variables`` every placeholder is a required string; with it, each placeholder must be declared,
so that a misspelt one is found when the prompt is written and not when it is served. ``{{passages}}`` needs no
declaration: the gateway fills it with what was retrieved from ``corpus``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput, parse_address

from .placeholders import names_in

ROLES = ("system", "developer", "user", "assistant")
#: The types of a variable; ``json`` takes any value that JSON can write.
TYPES = ("string", "number", "integer", "boolean", "json")
#: The variable that the gateway fills.
PASSAGES = "passages"
MAX_PASSAGES = 50
_KEYS = ("messages", "variables", "corpus", "passages", "params", "note")
_RESERVED_PARAMS = ("model", "messages", "stream", "trimtab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable of a prompt. ``default`` counts only if not ``required``."""

    name: str
    type: str = "string"
    required: bool = True
    default: Any = None


def validate(content: Mapping[str, Any]) -> None:
    """Raise BadInput, with the field's path and the mend, unless ``content`` is a prompt that can be filled."""
    _known_keys(content, _KEYS, "")
    placeholders = _placeholders(content)
    _declared(content, placeholders)
    _retrieval(content)
    params = content.get("params", {})
    if not isinstance(params, Mapping):
        raise BadInput("must be an object", field="params", mend='Write for example {"temperature": 0}.')
    for name in params:
        if name in _RESERVED_PARAMS:
            raise BadInput(
                "is set by the request, not by a prompt", field=f"params.{name}", mend="Leave it out of params."
            )
    if not isinstance(content.get("note", ""), str):
        raise BadInput("must be text", field="note", mend="Write the note as a string.")


def variables_of(content: Mapping[str, Any]) -> dict[str, Variable]:
    """The variables by name, declared or read from the placeholders, without ``passages``."""
    declared = content.get("variables")
    if declared is None:
        return {name: Variable(name=name) for name in _placeholders(content) if name != PASSAGES}
    return {
        name: Variable(
            name=name,
            type=spec.get("type", "string"),
            required="default" not in spec,
            default=spec.get("default"),
        )
        for name, spec in declared.items()
    }


def texts_of(message: Mapping[str, Any], field: str) -> Iterator[tuple[str, str]]:
    """The texts of a message that may hold placeholders, each with its field path."""
    content = message.get("content")
    if isinstance(content, str):
        yield f"{field}.content", content
    elif isinstance(content, list):
        for position, part in enumerate(content):
            if is_text(part):
                yield f"{field}.content[{position}].text", part["text"]


def is_text(part: Mapping[str, Any]) -> bool:
    """Whether a part of a message's content is text, the only part that is filled."""
    return part.get("type") == "text" and isinstance(part.get("text"), str)


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
    return True


def _placeholders(content: Mapping[str, Any]) -> dict[str, str]:
    """Each placeholder with the field in which it is first used."""
    messages = content.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise BadInput(
            "must be a list with at least one message",
            field="messages",
            mend='Write [{"role": "system", "content": "..."}].',
        )
    found: dict[str, str] = {}
    for position, message in enumerate(messages):
        field = f"messages[{position}]"
        _check_message(message, field)
        for path, text in texts_of(message, field):
            for name in names_in(text, path):
                found.setdefault(name, path)
    return found


def _check_message(message: object, field: str) -> None:
    if not isinstance(message, Mapping):
        raise BadInput("must be an object", field=field, mend='Write {"role": "system", "content": "..."}.')
    if message.get("role") not in ROLES:
        raise BadInput(
            f"{message.get('role')!r} is not a role", field=f"{field}.role", mend=f"Use one of {', '.join(ROLES)}."
        )
    content = message.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not all(isinstance(part, Mapping) and "type" in part for part in content):
        raise BadInput(
            "must be text or a list of parts",
            field=f"{field}.content",
            mend='Write a string or [{"type": "text", ...}].',
        )


def _declared(content: Mapping[str, Any], placeholders: Mapping[str, str]) -> None:
    declared = content.get("variables")
    if declared is None:
        return
    if not isinstance(declared, Mapping):
        raise BadInput("must be an object", field="variables", mend='Write {"name": {"type": "string"}}.')
    for name, spec in declared.items():
        field = f"variables.{name}"
        if not isinstance(spec, Mapping):
            raise BadInput("must be an object", field=field, mend='Write {"type": "string"}.')
        _known_keys(spec, ("type", "default", "note"), field)
        type_ = spec.get("type", "string")
        if type_ not in TYPES:
            raise BadInput(f"{type_!r} is not a type", field=f"{field}.type", mend=f"Use one of {', '.join(TYPES)}.")
        if "default" in spec and not has_type(spec["default"], type_):
            raise BadInput(f"is not of type {type_}", field=f"{field}.default", mend="Change the default or the type.")
        if name == PASSAGES and type_ != "string":
            raise BadInput("is filled by the gateway, as text", field=f"{field}.type", mend='Write "string".')
        if names_in(f"{{{{{name}}}}}", field) != [name]:
            raise BadInput("is not a name", field=field, mend="Use letters, digits and underscores.")
    for name, path in placeholders.items():
        if name not in declared and name != PASSAGES:
            raise BadInput(
                f"uses {name!r}, which is not declared", field=path, mend=f"Add {name!r} to variables or correct it."
            )


def _retrieval(content: Mapping[str, Any]) -> None:
    corpus = content.get("corpus")
    if corpus is not None:
        if not isinstance(corpus, str):
            raise BadInput("must be text", field="corpus", mend="Write a corpus name such as docs or docs@production.")
        try:
            address = parse_address(corpus, "corpora")
        except BadInput as error:
            raise BadInput(error.message, field="corpus", mend=error.mend) from None
        if address.kind != "corpora":
            raise BadInput(f"{corpus!r} is no corpus", field="corpus", mend="Write corpora:/name@label.")
    passages = content.get("passages")
    if passages is None:
        return
    if not has_type(passages, "integer") or not 1 <= passages <= MAX_PASSAGES:
        raise BadInput(
            f"must be a whole number from 1 to {MAX_PASSAGES}", field="passages", mend="Write for example 4."
        )
    if corpus is None:
        raise BadInput("needs a corpus to take them from", field="passages", mend="Add corpus or leave passages out.")


def _known_keys(mapping: object, known: Sequence[str], field: str) -> None:
    if not isinstance(mapping, Mapping):
        raise BadInput("must be an object", field=field or "content", mend=f"Its fields are {', '.join(known)}.")
    for key in mapping:
        if key not in known:
            path = f"{field}.{key}" if field else str(key)
            raise BadInput("is not a known field", field=path, mend=f"The fields are {', '.join(known)}.")
