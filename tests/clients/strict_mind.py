"""What a strict provider says, whatever the dialect: the same question gets the same answer from each vendor."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CITIES = ("Paris", "Oslo", "Lima")


class Refused(Exception):
    """A request that the vendor would refuse."""

    def __init__(self, status: int, message: str, param: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


def require(holds: bool, message: str, param: str = "") -> None:
    if not holds:
        raise Refused(400, message, param)


def check_schema(schema: Mapping[str, Any], where: str, *, strict: bool) -> None:
    """A JSON Schema of an object; a strict one names every property and forbids others."""
    require(schema.get("type") == "object", f"schema must be of type object: {schema}", where)
    if strict:
        require(schema.get("additionalProperties") is False, "'additionalProperties' must be false", where)
        named = set(schema.get("properties") or {})
        require(set(schema.get("required") or ()) == named, "'required' must name every property", where)


@dataclass
class FunctionCall:
    ident: str
    name: str
    arguments: str

    @property
    def parts(self) -> list[str]:
        """The arguments as they come in a stream."""
        return [self.arguments[n : n + 5] for n in range(0, len(self.arguments), 5)]


@dataclass
class Reply:
    text: str = ""
    calls: list[FunctionCall] = field(default_factory=list)
    cut: bool = False
    read: int = 0

    @property
    def words(self) -> list[str]:
        return re.findall(r"\S+\s*", self.text)

    @property
    def wrote(self) -> int:
        return len(self.words) + 5 * len(self.calls)


@dataclass
class Asked:
    """A request, read: the last thing that was said, results of tools, what the model may call, what form it wants."""

    said: str
    results: list[str]
    tools: Mapping[str, Mapping[str, Any]]  # parameters by name
    forced: bool = False
    parallel: bool = True
    schema: Mapping[str, Any] | None = None
    limit: int | None = None
    prefix: str = "call_"


def think(asked: Asked) -> Reply:
    """The answer. Named cities and a tool make calls; results are repeated; else the question is."""
    read = len(asked.said.split()) + 7
    if asked.tools and (asked.forced or any(city in asked.said for city in CITIES)) and not asked.results:
        name, parameters = next(iter(asked.tools.items()))
        cities = [city for city in CITIES if city in asked.said] or [CITIES[0]]
        made = [_example(parameters, city) for city in cities[: None if asked.parallel else 1]]
        calls = [FunctionCall(f"{asked.prefix}{n}", name, json.dumps(value)) for n, value in enumerate(made)]
        return Reply(calls=calls, read=read)
    if asked.schema is not None:
        return Reply(text=json.dumps(_example(asked.schema, "Paris")), read=read)
    text = f"The tools say: {'; '.join(asked.results)}" if asked.results else f"You said: {asked.said}"
    words = re.findall(r"\S+\s*", text)
    cut = asked.limit is not None and asked.limit < len(words)
    return Reply(text="".join(words[: asked.limit]) if cut else text, cut=cut, read=read)


def _example(schema: Mapping[str, Any], word: str) -> Any:
    """A value that fits a schema."""
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], word)
    kind = schema.get("type")
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        return {name: _example(inner, word) for name, inner in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_example(schema.get("items") or {}, word)]
    return {"integer": 7, "number": 1.5, "boolean": True, "null": None}.get(str(kind), word)
