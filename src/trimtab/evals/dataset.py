"""Cases to ask again, and the datasets that keep them: versions of kind ``datasets``, ``{"cases": [...]}``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.core import BadInput, Conflict, Version
from trimtab.registry import PRODUCTION, Registry

_TEXTS = ("input", "id", "expected", "source_trace", "note")
#: Only golden items for judges have these.
_GOLDEN = ("answer", "passages")
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to ask. ``expected`` may be empty; ``source_trace`` is the trace it was taken from; ``variables`` are
    those of the prompt that it is asked with."""

    input: str
    id: str = ""
    expected: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    source_trace: str = ""
    note: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """An answer whose verdict experts have settled: ``passes`` is theirs."""

    input: str
    answer: str
    passages: Sequence[Mapping[str, Any]]
    passes: bool


def validate(content: Mapping[str, Any]) -> None:
    """Raise BadInput, with the path of the field and the mend, unless this is a dataset's content."""
    cases = content.get("cases")
    if not isinstance(cases, list | tuple):
        raise BadInput("must be a list.", field="cases", mend='Write {"cases": [{"input": "..."}]}.')
    for unknown in content.keys() - {"cases", "note"}:
        raise BadInput("is no field of a dataset.", field=unknown, mend="Leave it out.")
    for position, case in enumerate(cases):
        _validate_case(case, f"cases[{position}]")


def _validate_case(case: object, where: str) -> None:
    if not isinstance(case, Mapping):
        raise BadInput("must be an object.", field=where, mend='Write {"input": "..."}.')
    if not isinstance(case.get("input"), str) or not case["input"].strip():
        raise BadInput("must be text that is not empty.", field=f"{where}.input", mend="Write what is asked.")
    for name, value in case.items():
        if name in (*_TEXTS, "answer"):
            if not isinstance(value, str):
                raise BadInput("must be text.", field=f"{where}.{name}")
        elif name == "tags":
            if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
                raise BadInput("must map names to text.", field=f"{where}.tags")
        elif name == "variables":
            if not isinstance(value, Mapping):
                raise BadInput("must be an object.", field=f"{where}.variables", mend='Write {"product": "lamps"}.')
        elif name == "passages":
            if not isinstance(value, list | tuple) or not all(isinstance(p, Mapping) for p in value):
                raise BadInput("must be a list of objects.", field=f"{where}.passages")
        else:
            known = ", ".join((*_TEXTS, "tags", "variables", *_GOLDEN))
            raise BadInput("is no field of a case.", field=f"{where}.{name}", mend=f"Fields are {known}.")


def cases_of(content: Mapping[str, Any]) -> list[Case]:
    """The cases of a dataset's content. Raises BadInput as ``validate`` does."""
    validate(content)
    return [_case(case) for case in content["cases"]]


def _case(case: Mapping[str, Any]) -> Case:
    return Case(**{name: case[name] for name in (*_TEXTS, "tags", "variables") if name in case})


def golden_of(content: Mapping[str, Any]) -> list[Golden]:
    """The golden items of a dataset's content. Raises BadInput when one lacks its answer or verdict."""
    validate(content)
    items: list[Golden] = []
    for position, case in enumerate(content["cases"]):
        if "answer" not in case:
            raise BadInput("is missing.", field=f"cases[{position}].answer", mend="Write the answer to be judged.")
        if case.get("expected") not in ("pass", "fail"):
            raise BadInput("must be pass or fail.", field=f"cases[{position}].expected")
        items.append(
            Golden(
                input=case["input"],
                answer=case["answer"],
                passages=tuple(
                    {"number": number, **passage} for number, passage in enumerate(case.get("passages", ()), 1)
                ),
                passes=case["expected"] == "pass",
            )
        )
    return items


def case_content(case: Case) -> dict[str, Any]:
    """A case as it stands in a dataset's content: empty fields left out, an id made from the input if it has none."""
    found: dict[str, Any] = {"id": case.id or f"case_{_identity(case.input)}", "input": case.input}
    for name in ("expected", "source_trace", "note"):
        if value := getattr(case, name):
            found[name] = value
    if case.tags:
        found["tags"] = dict(case.tags)
    if case.variables:
        found["variables"] = dict(case.variables)
    return found


def merged(content: Mapping[str, Any], cases: Iterable[Case]) -> dict[str, Any]:
    """The content with the cases added whose input it does not hold yet (letter case and spaces do not count)."""
    kept: list[Any] = list(content["cases"])
    seen = {_identity(case["input"]) for case in kept}
    for case in cases:
        identity = _identity(case.input)
        if identity not in seen:
            seen.add(identity)
            kept.append(case_content(case))
    return {**content, "cases": kept}


def _identity(text: str) -> str:
    return hashlib.blake2b(" ".join(text.lower().split()).encode("utf-8", "replace"), digest_size=6).hexdigest()


async def add_cases(registry: Registry, name: str, cases: Iterable[Case], *, actor: str, note: str = "") -> Version:
    """Add cases to a dataset, which is made if there is none, and let ``production`` stand at the result.

    Cases whose input is there already change nothing; if none is new, the current version comes back. Somebody who
    adds at the same time is waited out by reading again. Raises BadInput for a case without input.
    """
    new = list(cases)
    for position, case in enumerate(new):
        _validate_case(case_content(case), f"cases[{position}]")
    tries = _TRIES
    while True:
        number = registry.labels("datasets", name).get(PRODUCTION, 0)
        before = registry.version("datasets", name, number) if number else None
        content = merged(before.content if before else {"cases": []}, new)
        if before and len(content["cases"]) == len(before.content["cases"]):
            return before
        version = await registry.register("datasets", name, content, author=actor, note=note)
        tries -= 1
        try:
            await registry.move_label(
                "datasets", name, PRODUCTION, version.number, actor=actor, note=note, expect=number
            )
        except Conflict:
            if not tries:
                raise
        else:
            return version


def to_jsonl(cases: Iterable[Case]) -> str:
    """One JSON object a line."""
    return "".join(msgspec.json.encode(case_content(case)).decode() + "\n" for case in cases)


def from_jsonl(text: str) -> list[Case]:
    """Cases from one JSON object a line; empty lines are passed over. Raises BadInput naming the line."""
    cases: list[Case] = []
    for number, line in enumerate(text.split("\n"), 1):  # JSON text may hold the other line ends
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadInput(f"is not JSON: {error}.", field=f"line {number}", mend="Write one object a line.") from error
        _validate_case(value, f"line {number}")
        cases.append(_case(value))
    return cases
