"""A proposed tool call, and everything that was said and done before it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trimtab.core import OWN_WORDS, BadInput, digest_of, text_in

#: Messages, tools and results of one conversation that are looked at.
MOST = 2000
SYSTEM_ROLES = ("system", "developer")
RESULT_ROLES = ("tool", "function")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call as a model proposes it. ``reasoning`` is what it thought or said beside it."""

    tool: str
    arguments: Mapping[str, Any]
    reasoning: str = ""

    @property
    def digest(self) -> str:
        """The same for the same call, whatever the order of its arguments."""
        return digest_of({"tool": self.tool, "arguments": dict(self.arguments)})


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool as the application declares it to the model."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] | None = None

    @cached_property
    def digest(self) -> str:
        """The same as long as nothing about the tool changed."""
        return digest_of({"name": self.name, "description": self.description, "schema": self.schema})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a tool gave back: text from outside, whoever runs the tool."""

    tool: str
    text: str


@dataclass(frozen=True)
class History:
    """What a call is judged by: who said what, which tools gave what, which calls were made.

    ``said`` are the user's messages, oldest first. ``made`` are the calls that were answered. ``pins`` are the digests
    of the tools as they were first seen. ``route`` and ``user`` say on whose behalf the call would run. ``plan`` are
    the names of the tools that were agreed, each as often as it may be used; None where nothing was agreed.
    """

    said: tuple[str, ...] = ()
    system: str = ""
    results: tuple[Result, ...] = ()
    documents: tuple[str, ...] = ()
    made: tuple[ToolCall, ...] = ()
    tools: tuple[Tool, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    route: str = ""
    user: str = ""
    plan: tuple[str, ...] | None = None

    @cached_property
    def declared(self) -> Mapping[str, Tool]:
        """The tools by name."""
        return {tool.name: tool for tool in self.tools}

    @cached_property
    def untrusted(self) -> tuple[str, ...]:
        """Every text from outside."""
        return (*(result.text for result in self.results), *self.documents)


def call_of(written: object) -> ToolCall:
    """A call in OpenAI's, Anthropic's or MCP's words, or as {tool, arguments}. Raises BadInput."""
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field="tool_call", mend="Send the tool call as the model made it.")
    function = written.get("function")
    inner = function if isinstance(function, Mapping) else written
    name = inner.get("name") or inner.get("tool")
    if not isinstance(name, str) or not name:
        raise BadInput("names no tool", field="tool_call.name", mend="Send the tool call as the model made it.")
    given: Any = next((inner[key] for key in ("arguments", "input", "args") if inner.get(key) is not None), {})
    return ToolCall(tool=name, arguments=arguments_of(given), reasoning=str(written.get("reasoning") or ""))


def arguments_of(given: object) -> Mapping[str, Any]:
    """The arguments of a call, written as an object or as its JSON. Raises BadInput."""
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else {}
        except (ValueError, RecursionError):
            raise BadInput(
                "are not JSON", field="tool_call.arguments", mend="Send the arguments as a JSON object."
            ) from None
    if not isinstance(given, Mapping):
        raise BadInput("must be an object", field="tool_call.arguments", mend="Send the arguments as a JSON object.")
    return given


def tools_of(written: Sequence[Any]) -> tuple[Tool, ...]:
    """The tools of a request in OpenAI's, Anthropic's or MCP's words; what is none of them is left out."""
    return tuple(tool for each in written[:MOST] if (tool := _tool(each)) is not None)


def _tool(written: object) -> Tool | None:
    if not isinstance(written, Mapping):
        return None
    function = written.get("function")
    inner = function if isinstance(function, Mapping) else written
    name = inner.get("name")
    if not isinstance(name, str) or not name:
        return None
    schema = next((inner[key] for key in ("parameters", "input_schema", "inputSchema") if inner.get(key)), None)
    return Tool(
        name=name,
        description=str(inner.get("description") or ""),
        schema=schema if isinstance(schema, Mapping) else None,
    )


def history_of(messages: Sequence[Mapping[str, Any]], **more: Any) -> History:
    """The history in a list of messages, in OpenAI's or Anthropic's words. ``more`` are other fields of History."""
    said: list[str] = []
    system: list[str] = []
    results: list[Result] = []
    made: list[ToolCall] = []
    asked: dict[str, ToolCall] = {}
    for message in messages[-MOST:]:
        role = message.get("role")
        if role in SYSTEM_ROLES:
            system.append(text_in(message.get("content"), OWN_WORDS))
        elif role == "user":
            said += [text] if (text := text_in(message.get("content"), OWN_WORDS)) else []
        elif role == "assistant":
            asked |= _calls_in(message)
        for key, text in _results_in(message, role):
            call = asked.pop(key, None)
            made += [call] if call is not None else []
            results.append(Result(tool=call.tool if call is not None else str(message.get("name") or ""), text=text))
    return History(
        said=tuple(said), system="\n".join(system), results=tuple(results), made=tuple(made), **more
    )  # fmt: skip


def _calls_in(message: Mapping[str, Any]) -> dict[str, ToolCall]:
    found: dict[str, ToolCall] = {}
    content = message.get("content")
    uses = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    for written in (*(message.get("tool_calls") or ()), *(use for use in uses if use.get("type") == "tool_use")):
        try:
            found[str(written.get("id") or len(found))] = call_of(written)
        except (BadInput, AttributeError):
            continue
    legacy = message.get("function_call")
    if isinstance(legacy, Mapping):
        try:
            found[str(legacy.get("name"))] = call_of(legacy)
        except BadInput:
            return found
    return found


def _results_in(message: Mapping[str, Any], role: object) -> Iterator[tuple[str, str]]:
    content = message.get("content")
    if role in RESULT_ROLES:
        yield str(message.get("tool_call_id") or message.get("name") or ""), text_in(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and part.get("type") == "tool_result":
                yield str(part.get("tool_use_id") or ""), text_in(part.get("content"))
