"""A plan: a small closed program that the planner writes once, before anybody reads text from outside.

Steps, each an object::

    {"call": tool, "arguments": {name: value}, "as": variable}
    {"read": "$variable", "question": what to find, "schema": JSON Schema, "as": variable}
    {"each": "$variable", "as": variable, "most": 20, "steps": [...]}
    {"if": "$variable", "steps": [...], "else": [...]}
    {"answer": text with {$variable.field}}

A value is a literal, ``"$variable.field"``, or a text with ``{$variable.field}`` in it. There is no other way to
compute, so a plan always ends.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput

from .values import read_json

#: Bounds of a plan: steps in all, blocks within blocks, rounds of one loop, calls of one run.
MOST_STEPS, DEEPEST, MOST_ROUNDS, MOST_CALLS = 100, 4, 100, 200
#: Readings of one run, and steps and rounds that it goes through: how long a list is, a stranger may say.
MOST_READS, MOST_DONE = 200, 10_000
_NAME = re.compile(r"[A-Za-z_]\w{0,63}\Z")
REFERENCE = re.compile(r"\$([A-Za-z_]\w{0,63}(?:\.[\w-]{1,64}){0,8})")
WITHIN = re.compile(r"\{\$([A-Za-z_]\w{0,63}(?:\.[\w-]{1,64}){0,8})\}")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "call": ("call", "arguments", "as"),
    "read": ("read", "question", "schema", "as"),
    "each": ("each", "as", "most", "steps"),
    "if": ("if", "steps", "else"),
    "answer": ("answer",),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was checked: it names known tools, and no variable before it is set."""

    steps: tuple[Mapping[str, Any], ...]

    def tools(self) -> tuple[str, ...]:
        """The tools it calls, in order, a tool in a loop once."""
        return tuple(_tools(self.steps))


def read_plan(written: object, tools: Collection[str]) -> Plan:
    """Check a plan, an object {"steps": [...]}, a list of steps, or the JSON of one. Raises BadInput with the step."""
    if isinstance(written, str):
        written = _decoded(written)
    steps = written.get("steps") if isinstance(written, Mapping) else written
    count = _check(steps, set(), frozenset(tools), "steps", 0)
    if count > MOST_STEPS:
        raise BadInput(f"has more than {MOST_STEPS} steps", field="steps", mend="Use a loop, or plan less.")
    assert isinstance(steps, Sequence)
    return Plan(tuple(steps))


def _decoded(text: str) -> object:
    """The JSON in a model's answer, which may stand in a fence or after a sentence."""
    start, end = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=0), len(text)
    for stop in (end, text.rfind("}") + 1, text.rfind("]") + 1):
        try:
            return read_json(text[start:stop])
        except (ValueError, RecursionError):
            continue
    raise BadInput("is not JSON", field="plan", mend='Write {"steps": [...]}.')


def _check(steps: object, known: set[str], tools: frozenset[str], field: str, depth: int) -> int:
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise BadInput("must be a list of steps", field=field, mend='Write {"steps": [...]}.')
    if depth > DEEPEST:
        raise BadInput(f"is nested deeper than {DEEPEST}", field=field, mend="Write a flatter plan.")
    count = len(steps)
    for position, step in enumerate(steps):
        count += _step(step, known, tools, f"{field}[{position}]", depth)
    return count


def _step(step: object, known: set[str], tools: frozenset[str], field: str, depth: int) -> int:
    kind = next((kind for kind in _FIELDS if isinstance(step, Mapping) and kind in step), "")
    if not isinstance(step, Mapping) or not kind:
        raise BadInput("is no step", field=field, mend=f"A step has one of {', '.join(_FIELDS)}.")
    for key in step:
        if key not in _FIELDS[kind]:
            mend = f"A step {kind} has {', '.join(_FIELDS[kind])}."
            raise BadInput("is not a known field", field=f"{field}.{key}", mend=mend)
    if kind == "call" and step["call"] not in tools:
        raise BadInput(
            f"{step['call']!r} is not a tool", field=f"{field}.call", mend=f"Use {', '.join(sorted(tools))}."
        )
    if kind == "read" and not isinstance(step.get("schema"), Mapping):
        raise BadInput("must be a JSON Schema", field=f"{field}.schema", mend="Say what the reader may answer.")
    for name in _references({key: step[key] for key in step if key not in ("steps", "else", "schema", "question")}):
        if name.partition(".")[0] not in known:
            raise BadInput(f"${name} is not set yet", field=field, mend="Set it by an earlier step's `as`.")
    count = 0
    inside = known
    if kind in ("each", "if"):
        inside = {*known, _name(step, field)} if kind == "each" else set(known)
        _rounds(step.get("most", 1), f"{field}.most")
        count += _check(step.get("steps"), inside, tools, f"{field}.steps", depth + 1)
        count += _check(step.get("else", []), set(known), tools, f"{field}.else", depth + 1)
    elif "as" in step:
        known.add(_name(step, field))
    return count


def _name(step: Mapping[str, Any], field: str) -> str:
    name = step.get("as")
    if not isinstance(name, str) or not _NAME.match(name):
        raise BadInput("must be a name", field=f"{field}.as", mend="Write letters, digits and underscores.")
    return name


def _rounds(most: object, field: str) -> None:
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_ROUNDS:
        raise BadInput("is out of range", field=field, mend=f"Write a number from 1 to {MOST_ROUNDS}.")


def _references(value: object) -> Iterator[str]:
    if isinstance(value, str):
        whole = REFERENCE.fullmatch(value)
        yield from [whole[1]] if whole else WITHIN.findall(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _references(each)


def _tools(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for step in steps:
        if "call" in step:
            yield step["call"]
        yield from _tools(step.get("steps", ()))
        yield from _tools(step.get("else", ()))
