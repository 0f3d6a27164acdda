"""A real gateway on a scratch folder, a tiny ASGI client, and a vendor on loopback that does what a test tells it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.core import Score, Span, SpanQuery
from trimtab.gateway import Gateway, Key, Keys
from trimtab.knowledge import Corpora, Document
from trimtab.providers import HttpClient, Scripted
from trimtab.registry import Registry
from trimtab.store import Metadata, SpanStore
from trimtab.traces import Recorder

VENDOR_KEY = "sk-canary-vendor-7f3a9c1e5b2d4860"
PROMPT = {
    "messages": [
        {
            "role": "system",
            "content": "You answer for {{product}}. Answer only from the passages, cite them as [n], in at most two "
            "sentences.\n\n{{passages}}",
        }
    ],
    "variables": {"product": {"type": "string", "default": "Trimtab"}},
    "corpus": "docs",
}
DOCUMENTS = [
    Document(
        id="refunds",
        title="Refunds",
        source="refunds.md",
        text="A refund is paid within five days. Write to the billing desk to ask for a refund.",
        updated_ns=1_760_000_000_000_000_000,
    ),
    Document(
        id="keys",
        title="Keys",
        source="keys.md",
        text="A key is shown once when it is made. Lost keys are replaced, never recovered.",
        updated_ns=1_760_000_000_000_000_000,
    ),
]
ROUTE = {"targets": [{"model": "scripted/steady"}], "fallback": ["scripted/reserve"]}


async def no_wait(seconds: float) -> None:
    """Simulated models need no time in tests, but they do let others run."""
    await asyncio.sleep(0)


@dataclass(kw_only=True)
class Answer:
    """What came back over ASGI. ``pieces`` are the body as it was sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.json["error"])

    @property
    def events(self) -> list[Any]:
        """The events of a stream, decoded; ``[DONE]`` as it is."""
        lines = [line for line in self.body.decode().split("\n\n") if line]
        assert all(line.startswith("data: ") for line in lines)
        datas = [line.removeprefix("data: ") for line in lines]
        return [data if data == "[DONE]" else json.loads(data) for data in datas]

    @property
    def text(self) -> str:
        """The text of a plain reply or of a whole stream."""
        if self.headers["content-type"] == "application/json":
            return str(self.json["choices"][0]["message"]["content"])
        choices = [choice for event in self.events if event != "[DONE]" for choice in event.get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


@dataclass(kw_only=True)
class House:
    metadata: Metadata
    registry: Registry
    keys: Keys
    corpora: Corpora
    http: HttpClient
    scripted: Scripted
    spans: SpanStore
    recorder: Recorder
    gateway: Gateway
    vendor: Vendor
    key: Key
    secret: str
    admin: str

    async def publish(self, kind: str, name: str, content: Mapping[str, Any]) -> str:
        version = await self.registry.register(kind, name, content)
        if self.registry.labels(kind, name).get("production") != version.number:
            await self.registry.move_label(kind, name, "production", version.number, actor="test")
        return version.pin

    async def ask(self, body: Any = None, *, key: str | None = None, **headers: str) -> Answer:
        """POST /v1/chat/completions; ``headers`` with ``_`` for ``-``."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.call("POST", "/v1/chat/completions", data, key=key, **headers)

    async def call(
        self, method: str, path: str, data: bytes = b"", *, key: str | None = None, hang_up: int = 0, **headers: str
    ) -> Answer:
        """One request over ASGI. ``hang_up`` closes the connection after so many pieces of the answer."""
        secret = self.secret if key is None else key
        sent = {"authorization": f"Bearer {secret}", **{name.replace("_", "-"): v for name, v in headers.items()}}
        scope = {
            "type": "http",
            "method": method,
            "path": path.partition("?")[0],
            "query_string": path.partition("?")[2].encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value],
        }
        answer = Answer()
        gone = asyncio.Event()
        parts = [data[:100], data[100:]]  # a body may come in any number of pieces

        async def receive() -> dict[str, Any]:
            if parts:
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            assert not answer.ended
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.pieces.append(message["body"])
                answer.ended = not message["more_body"]
            if hang_up and len(answer.pieces) >= hang_up:
                gone.set()
            await asyncio.sleep(0)

        await self.gateway.app(scope, receive, send)
        return answer

    async def trace(self, answer: Answer) -> tuple[list[Span], list[Score]]:
        """What the store holds of an answer, root first."""
        await self.spans.flush()
        found = await self.spans.trace(answer.headers["x-trimtab-trace-id"])
        assert found is not None
        return sorted(found.spans, key=lambda span: bool(span.parent_id)), list(found.scores)

    async def everything(self) -> list[Span]:
        """Every span in the store."""
        await self.spans.flush()
        page = await self.spans.query(SpanQuery(roots=False, limit=1000))
        return list(page.spans)


@dataclass
class Vendor:
    """A server on loopback. ``reply`` gets the request (headers, body) and gives the bytes to send, piece by piece."""

    reply: Callable[[Mapping[str, str], Any], list[bytes]] = lambda headers, body: []
    asked: list[tuple[Mapping[str, str], Any]] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    hold: bool = False  # keep the connection open after the last piece
    port: int = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            sent = await reader.readexactly(int(headers.get("content-length", 0)))
            headers[":request"] = head[0]
            body = json.loads(sent) if sent else None
            self.asked.append((headers, body))
            for piece in self.reply(headers, body):
                writer.write(piece)
                await writer.drain()
            if self.hold:
                await reader.read()
                self.hung_up.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def http_reply(status: int, body: Any) -> list[bytes]:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n"
    return [head.encode() + b"connection: close\r\n\r\n" + data]


def sse_reply(*bodies: Any, done: bool = True) -> list[bytes]:
    """A stream that ends with the connection; without ``done`` it breaks inside a chunk."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    events = [b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies]
    chunks = [
        f"{len(event):x}\r\n".encode() + event + b"\r\n"
        for event in [*events, *([b"data: [DONE]\n\n"] if done else [])]
    ]
    return [head, *chunks, b"0\r\n\r\n" if done else b"40\r\ndata: {"]


def piece(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a vendor's stream."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m-2026", "choices": [choice], **more}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
