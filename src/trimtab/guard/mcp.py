"""A proxy for a tool server that speaks the Model Context Protocol over its standard input and output.

Lines of JSON-RPC go both ways. ``tools/list`` is pinned: a tool whose description changes is noticed, in the session or
since an earlier one, and orders in descriptions that go beyond their tool are cut out. ``tools/call`` is screened
before the server sees it. Results and resources are scanned for instructions and marked as data.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from trimtab.core import BadInput, TrimtabError

from .actions import DEFAULT_RULES, History, Result, ToolCall, arguments_of, screen, tools_of
from .indirect import Content
from .indirect import screen as screen_content
from .policy import Policy
from .tool_texts import described, without_orders
from .verdicts import Verdict

#: The longest line that is passed on, in bytes, and the calls whose results are kept to judge later ones by.
LONGEST_LINE, KEPT = 8 << 20, 200
#: JSON-RPC's code for an error of the server's own choosing.
REFUSED = -32001
#: Requests that wait for their answer at once.
_MOST_WAITING = 10_000


class Lines(Protocol):
    """Where lines come from."""

    async def readline(self) -> bytes: ...


Write = Callable[[bytes], Any]
#: Given the tools of a server as it lists them, the digests by which they are pinned elsewhere; may raise TrimtabError.
Pinned = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]]


class Proxy:
    """One session. ``said`` are the words of the user, where the host knows them; without them only what the policy's
    rules name can be traced to anybody. ``pinned`` asks for pins that are kept elsewhere, ``pins`` are known before."""

    def __init__(
        self,
        policy: Policy,
        *,
        said: Sequence[str] = (),
        pins: Mapping[str, str] | None = None,
        pinned: Pinned | None = None,
        mark: bool = True,
    ) -> None:
        self._policy = policy
        self._pinned = pinned
        self._history = History(said=tuple(said), pins=dict(pins or {}))
        self._mark = mark
        self._waiting: dict[str, tuple[str, ToolCall | None]] = {}
        #: What was stopped or flagged, for the log: one line each.
        self.noted: list[str] = []

    @property
    def pins(self) -> Mapping[str, str]:
        """The digests of the tools as they were first seen."""
        return self._history.pins

    def from_client(self, line: bytes) -> tuple[bytes | None, bytes | None]:
        """A line of the client: what the server gets, and what the client is answered instead."""
        message = _decoded(line)
        if isinstance(message, list):
            return None, _error(None, -32600, "Batches are not passed on: send one message a line.")
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return line, None
        key, call = json.dumps(message.get("id")), None
        if message["method"] == "tools/call":
            params = message.get("params")
            call, verdict = self._judged(params if isinstance(params, dict) else {})
            if verdict.action in ("block", "escalate"):
                return None, _error(message.get("id"), REFUSED, verdict.message)
        if "id" in message and len(self._waiting) < _MOST_WAITING:
            self._waiting[key] = (message["method"], call)
        return line, None

    def from_server(self, line: bytes) -> bytes:
        """A line of the server as the client gets it."""
        message = _decoded(line)
        if isinstance(message, list):  # some clients take several messages at once: each is looked at by itself
            return b"".join(self.from_server(_line(each)) for each in message if isinstance(each, dict))
        if not isinstance(message, dict) or ("method" in message and "result" not in message):
            return line
        message.pop("method", None)  # what brings a result is an answer, whatever else it says of itself
        method, call = self._waiting.pop(json.dumps(message.get("id")), ("", None))
        result = message.get("result")
        if not isinstance(result, dict):
            return line
        if method == "tools/list":
            return _line({**message, "result": self._listed(result)})
        if method == "tools/call" and call is not None:
            return _line({**message, "result": self._answered(call, result)})
        if method == "resources/read" and isinstance(result.get("contents"), list):
            contents = [self._part(str(_uri(part)), part) for part in result["contents"]]
            return _line({**message, "result": {**result, "contents": contents}})
        return line

    def _judged(self, params: Mapping[str, Any]) -> tuple[ToolCall | None, Verdict]:
        try:
            call = ToolCall(tool=str(params.get("name")), arguments=arguments_of(params.get("arguments") or {}))
        except BadInput as error:
            return None, Verdict(action="block", message=f"The call was stopped: {error}")
        rules = self._policy.actions
        verdict = (
            screen(call, self._history, DEFAULT_RULES)
            if rules is None
            else self._policy.judge_call(call, self._history)
        )
        text = self._policy.scan("action", json.dumps(dict(call.arguments), ensure_ascii=False))
        verdict = text if text.action == "block" else verdict
        if verdict.action != "allow":
            self.noted.append(f"{verdict.action} {call.tool}: {verdict.message or 'see the findings'}")
        return call, verdict

    def _listed(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """The list of tools, pinned: one that changed since it was first seen is taken out, and so is a double."""
        written = result.get("tools")
        every = [tool for tool in written if isinstance(tool, dict)] if isinstance(written, list) else []
        pins: dict[str, str] = {**self._history.pins, **self._elsewhere(every)}
        kept: list[Any] = []
        seen: set[str] = set()
        for each in every:
            for tool in tools_of([each]):
                known = pins.setdefault(tool.name, tool.digest)
                if known != tool.digest or tool.name in seen:
                    self.noted.append(f"block {tool.name}: its description changed, or its name is taken")
                    continue
                seen.add(tool.name)
                kept.append(each)
        earlier = [tool for tool in self._history.tools if tool.name not in seen]
        # Pinned, and remembered for the judgement of later calls, is what the server said, with its orders.
        self._history = replace(self._history, pins=pins, tools=(*earlier, *tools_of(kept)))
        return {**result, "tools": [self._described(each, seen) for each in kept]}

    def _described(self, tool: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
        name = str(tool.get("name"))
        shown, cut = described(tool, [other for other in names if other != name])
        if cut:
            self.noted.append(f"flag {name}: its description gives orders beyond the tool")
        return shown

    def _elsewhere(self, every: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """The pins that are kept elsewhere; where they cannot be had, the tools are pinned for this session only."""
        if self._pinned is None or not every:
            return {}
        try:
            return self._pinned(every)
        except TrimtabError as error:
            self.noted.append(f"pins are kept for this session only: {error}")
            return {}

    def _answered(self, call: ToolCall, result: Mapping[str, Any]) -> Mapping[str, Any]:
        content = result.get("content")
        parts = [self._part(call.tool, part) for part in content] if isinstance(content, list) else content
        raw = _texts(content)
        structured = {}
        if result.get("structuredContent") is not None:
            raw += json.dumps(result["structuredContent"], ensure_ascii=False)
            left, cut = without_orders(result["structuredContent"], call.tool)
            structured = {"structuredContent": left}
            if cut:
                self.noted.append(f"flag {call.tool}: its structured result speaks to the model")
        self._history = replace(
            self._history,
            made=(*self._history.made, call)[-KEPT:],
            results=(*self._history.results, Result(tool=call.tool, text=raw))[-KEPT:],
        )
        return {**result, "content": parts, **structured}

    def _part(self, origin: str, part: Any) -> Any:
        if isinstance(part, dict) and isinstance(part.get("resource"), dict):
            return {**part, "resource": self._part(origin, part["resource"])}
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            return part
        found = screen_content(
            Content(text=part["text"], source="tool", origin=origin), then="mark" if self._mark else "keep"
        )
        if not found.clean:
            self.noted.append(f"flag {origin}: its result speaks to the model")
            found = screen_content(found.content, then="remove")
        return {**part, "text": found.text, "_meta": {**(part.get("_meta") or {}), "trimtab/untrusted": True}}


async def relay(
    proxy: Proxy, *, client: Lines, to_client: Write, server: Lines, to_server: Write, log: Callable[[str], Any]
) -> None:
    """Pass lines both ways until the server ends. Where the client ends, the server is told by an empty line."""

    async def up() -> None:
        while line := await client.readline():
            passed, answered = await asyncio.to_thread(proxy.from_client, line)
            if passed is not None:
                to_server(passed)
            if answered is not None:
                to_client(answered)
            _tell(proxy, log)
        to_server(b"")

    async def down() -> None:
        while line := await server.readline():
            to_client(await asyncio.to_thread(proxy.from_server, line))
            _tell(proxy, log)

    sending = asyncio.create_task(up())
    try:
        await down()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def _tell(proxy: Proxy, log: Callable[[str], Any]) -> None:
    while proxy.noted:
        log(proxy.noted.pop(0))


def _texts(content: object) -> str:
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    inner = [part["resource"] if isinstance(part.get("resource"), dict) else part for part in parts]
    return "\n".join(part["text"] for part in inner if isinstance(part.get("text"), str))


def _uri(part: object) -> object:
    return part.get("uri", "a resource") if isinstance(part, dict) else "a resource"


def _decoded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


def _error(ident: Any, code: int, message: str) -> bytes:
    return _line({"jsonrpc": "2.0", "id": ident, "error": {"code": code, "message": message}})
