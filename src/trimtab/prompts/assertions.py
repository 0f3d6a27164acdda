"""Assertions: what every answer made with a prompt must keep. They are part of the version and travel with it.

Here they are read and checked for sense; ``evals`` looks at the answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import re2

from trimtab.core import BadInput

from .fields import a_count, a_list, a_text, known_keys
from .languages import LANGUAGES
from .schemas import check_schema

MAX_ASSERTIONS = 50
#: The name of the assertion that an output schema makes by itself.
OUTPUT_SCHEMA = "output_schema"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MOST_WORDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One assertion; ``arguments`` are those of its kind."""

    name: str
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def _text_or_texts(value: object, path: str) -> None:
    texts = [value] if isinstance(value, str) else a_list(value, path, '["refund"]', 100)
    if not texts:
        raise BadInput("is empty", field=path, mend='Write ["refund"].')
    for position, text in enumerate(texts):
        a_text(text, path if isinstance(value, str) else f"{path}[{position}]", '"refund"')


def _pattern(value: object, path: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(a_text(value, path, r'"^\d+$"'), options)
    except re2.error as error:
        what = error.args[0] if error.args else "it cannot be read"
        what = what.decode(errors="replace") if isinstance(what, bytes) else str(what)
        mend = "Use RE2 syntax: no look-around and no back-references."
        raise BadInput(f"is not a pattern: {what}", field=path, mend=mend) from None


def _boolean(value: object, path: str) -> None:
    if not isinstance(value, bool):
        raise BadInput("must be true or false", field=path, mend="Write true.")


def _language(value: object, path: str) -> None:
    if value not in LANGUAGES:
        raise BadInput(f"{value!r} is not a language", field=path, mend=f"Use one of {', '.join(LANGUAGES)}.")


def _words(value: object, path: str) -> None:
    a_count(value, path, _MOST_WORDS)


#: Per kind, the check of each argument; those named in _NEEDED must be there.
KINDS: Mapping[str, Mapping[str, Callable[[object, str], object]]] = {
    "must_cite": {"at_least": lambda value, path: a_count(value, path, 50)},
    "json": {"fenced": _boolean},
    "json_schema": {"schema": check_schema, "fenced": _boolean},
    "max_words": {"words": _words},
    "min_words": {"words": _words},
    "language": {"language": _language},
    "contains": {"text": _text_or_texts, "ignore_case": _boolean},
    "not_contains": {"text": _text_or_texts, "ignore_case": _boolean},
    "regex": {"pattern": _pattern},
    "no_refusal": {},
}
_NEEDED = ("words", "language", "text", "pattern", "schema")


def check_assertions(value: object, path: str, *, output_schema: bool) -> None:
    """Raise BadInput, naming the place, unless this is a list of assertions with names of their own.

    An assertion of kind ``json_schema`` may leave its schema out where the prompt has an ``output_schema``.
    """
    names: set[str] = set()
    example = '[{"name": "short", "kind": "max_words", "words": 50}]'
    for position, item in enumerate(a_list(value, path, example, MAX_ASSERTIONS)):
        where = f"{path}[{position}]"
        name, kind = _name_and_kind(item, where)
        if name in names:
            raise BadInput(f"{name!r} is the name of another one too", field=f"{where}.name", mend="Choose another.")
        names.add(name)
        arguments = KINDS[kind]
        known_keys(item, ("name", "kind", "note", *arguments), where)
        for argument, check in arguments.items():
            if argument in item:
                check(item[argument], f"{where}.{argument}")
            elif argument in _NEEDED and not (argument == "schema" and output_schema):
                raise BadInput(f"a {kind} needs it", field=f"{where}.{argument}", mend="Write it beside the kind.")


def _name_and_kind(item: object, where: str) -> tuple[str, str]:
    if not isinstance(item, Mapping):
        raise BadInput("must be an object", field=where, mend='Write {"name": "cites", "kind": "must_cite"}.')
    name, kind = item.get("name"), item.get("kind")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        mend = "Use up to 64 letters, digits, '.', '_' or '-'."
        raise BadInput("is not a usable name", field=f"{where}.name", mend=mend)
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadInput(f"{kind!r} is not a kind", field=f"{where}.kind", mend=f"Use one of {', '.join(KINDS)}.")
    return name, kind


def assertions_of(content: Mapping[str, Any]) -> tuple[Assertion, ...]:
    """The assertions of a prompt's content, and the one that its output schema makes."""
    schema = content.get(OUTPUT_SCHEMA)
    found = tuple(_read(item, schema) for item in content.get("assertions") or ())
    if schema is None or any(a.kind == "json_schema" or a.name == OUTPUT_SCHEMA for a in found):
        return found
    return (*found, Assertion(name=OUTPUT_SCHEMA, kind="json_schema", arguments={"schema": schema}))


def _read(item: Mapping[str, Any], schema: object) -> Assertion:
    arguments = {key: value for key, value in item.items() if key not in ("name", "kind", "note")}
    if item["kind"] == "json_schema":
        arguments.setdefault("schema", schema)
    return Assertion(name=item["name"], kind=item["kind"], arguments=arguments)
