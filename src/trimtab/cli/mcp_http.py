"""A tool server behind an address: the Model Context Protocol over HTTP, as the lines that a proxy reads and writes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from trimtab.core import BadInput, ModelError, TrimtabError
from trimtab.guard.mcp import LONGEST_LINE
from trimtab.providers import HttpClient
from trimtab.providers.sse import EventDecoder

#: Seconds that one answer may take, and that the stream of the server's own messages may stay open.
TIMEOUT_S, LISTENING_S = 600.0, 86_400.0
#: Seconds in which answers that are under way may still come once the client has gone.
LEAVING_S = 5.0
#: What begins a session: everything else waits until the server has taken it.
_FIRST = ("initialize", "notifications/initialized")
_VERSION = re.compile(r"[\w.-]{1,40}", re.ASCII)
#: JSON-RPC's code for a server that could not be asked.
_UNREACHABLE = -32002


class HttpServer:
    """One session. Every line that is sent is a POST, and whatever the server says comes as a line."""

    def __init__(self, url: str, headers: Mapping[str, str], http: HttpClient) -> None:
        self._url = url
        self._headers = dict(headers)
        self._http = http
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()  # whether the newest of the lines that all others wait for was taken
        self._ready.set()

    async def readline(self) -> bytes:
        """The next line of the server; empty once the client has gone and what was under way is answered."""
        return await self._lines.get()

    def send(self, line: bytes) -> None:
        """Pass a line on; an empty one says that the client has gone."""
        if not line:
            self._start(self._leave())
            return
        message = _decoded(line)
        before = own = self._ready
        if message.get("method") in _FIRST:
            own = self._ready = asyncio.Event()
        self._start(self._post(line, message, before, own))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, line: bytes, message: Mapping[str, Any], before: asyncio.Event, own: asyncio.Event) -> None:
        ident = message.get("id") if "method" in message else None
        answered = ident is None
        try:
            await before.wait()
            async for each in self._asked("POST", line.strip(), TIMEOUT_S):
                said = _decoded(each)
                if message.get("method") == "initialize":
                    self._joined(said)
                answered = answered or ("method" not in said and said.get("id") == ident)
                self._lines.put_nowait(each + b"\n")
            if not answered:
                raise ModelError("its answer ended before it was there.")
        except TrimtabError as error:
            if not answered:
                wrong = {"code": _UNREACHABLE, "message": f"The tool server did not answer: {error}"}
                answer = {"jsonrpc": "2.0", "id": ident, "error": wrong}
                self._lines.put_nowait(json.dumps(answer).encode() + b"\n")
        finally:
            if own is not before:
                own.set()

    def _joined(self, answer: Mapping[str, Any]) -> None:
        """The session is there: its version goes with every later request, and what the server says itself is heard."""
        result = answer.get("result")
        version = result.get("protocolVersion") if isinstance(result, dict) else None
        if isinstance(version, str) and _VERSION.fullmatch(version):
            self._headers["mcp-protocol-version"] = version
            self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for each in self._asked("GET", b"", LISTENING_S):
                self._lines.put_nowait(each + b"\n")
        except TrimtabError:
            return  # a server need not offer this

    async def _asked(self, method: str, body: bytes, seconds: float) -> AsyncIterator[bytes]:
        """The messages of an answer, each on one line. Raises ModelError, ModelTimeout and BadInput."""
        accept = "application/json, text/event-stream" if method == "POST" else "text/event-stream"
        headers = {**self._headers, "accept": accept, "content-type": "application/json"}
        response = await self._http.request(method, self._url, headers, body, timeout=seconds)
        try:
            if session := response.headers.get("mcp-session-id"):
                self._headers["mcp-session-id"] = session
            if response.status >= 300:  # no redirect is followed: the headers are for this address
                raise ModelError(f"it answered {response.status}.", vendor_status=response.status)
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                decoder = EventDecoder()
                async for piece in response:
                    for event in decoder.feed(piece):
                        for each in _flat(event.data.encode()):
                            yield each
                for event in decoder.close():
                    for each in _flat(event.data.encode()):
                        yield each
                return
            raw = b""
            async for piece in response:
                raw += piece
                if len(raw) > LONGEST_LINE:
                    raise ModelError(f"it answered with more than {LONGEST_LINE} bytes.")
            for each in _flat(raw):
                yield each
        finally:
            await response.close()

    async def _leave(self) -> None:
        """The client has gone: what is under way may end, then the lines do."""
        under_way = [task for task in self._tasks if task is not asyncio.current_task()]
        if under_way:
            await asyncio.wait(under_way, timeout=LEAVING_S)
        for task in [*under_way, *([self._listening] if self._listening else [])]:
            task.cancel()
        self._lines.put_nowait(b"")


def read_headers(written: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """Headers as ``NAME=VALUE``; a value ``env:NAME`` comes from the environment. Raises BadInput."""
    found = {}
    for each in written:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise BadInput(f"{name[:40]!r} has no value", field="--header", mend="Write NAME=VALUE.")
        if value.startswith("env:"):
            variable = value.removeprefix("env:")
            if variable not in environment:
                raise BadInput(f"{variable} is not set", field="--header", mend="Set it in the environment.")
            value = environment[variable]
        found[name.strip().lower()] = value
    return found


def _decoded(line: bytes) -> Mapping[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _flat(raw: bytes) -> list[bytes]:
    """The messages of a body or an event, each on one line: several in a list, none where it is empty, as an event that
    only gives its stream an id."""
    if not raw.strip():
        return []
    try:
        said = json.loads(raw)
        return [json.dumps(each, ensure_ascii=False).encode() for each in (said if isinstance(said, list) else [said])]
    except (ValueError, RecursionError):
        raise ModelError("it answered with something that is no JSON.") from None
