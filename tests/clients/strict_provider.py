"""A vendor that takes nothing amiss that the real ones take, and refuses what they refuse: OpenAI and Anthropic in one.

Written from their documentation. It runs in a thread, on loopback, and keeps every request that it got.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import strict_anthropic as anthropic
import strict_openai as openai
import uvicorn
from strict_kept import Kept
from strict_mind import Asked, Refused, think

OPENAI_KEY = "sk-strict-openai-0123456789"
SECOND_KEY = "sk-strict-second-0123456789"
ANTHROPIC_KEY = "sk-ant-strict-0123456789"
NO_MODEL = "no-such-model"
BUSY_MODEL = "busy-model"

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


@dataclass
class Strict:
    """The vendor. ``seen`` holds (path, headers, body) of every request, refused ones too.

    Two accounts of OpenAI, by their keys, keep the responses that they make. Those in ``down`` answer nothing.
    """

    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    port: int = 0
    accounts: dict[str, Kept] = field(default_factory=lambda: {OPENAI_KEY: Kept("one"), SECOND_KEY: Kept("two")})
    down: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def last(self) -> Any:
        """The body of the last request."""
        return self.seen[-1][2]

    def start(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._listener = listener
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()

    async def app(self, scope: Mapping[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path, body = scope["path"], b""
        if path.startswith("/old/") and not path.endswith("/responses"):
            path = path.removeprefix("/old")  # an older server, which has no responses
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        claude = path.startswith("/v1/messages")
        try:
            asked = json.loads(body) if body else None
            self.seen.append((path, headers, asked))
            if path.startswith("/v1/responses/"):
                account = self._account(headers)
                query = scope["query_string"].decode()
                if scope["method"] == "GET" and "stream=true" in query.split("&"):
                    await _sse(send, account.stream(path.removeprefix("/v1/responses/"), query), named=True)
                    return
                said = account.asked(scope["method"], path, query, asked)
                await _json(send, 200, said)
            else:
                await self._answer(path, headers, asked, send)
        except Refused as error:
            await _json(send, error.status, _anthropic_error(error) if claude else _openai_error(error))

    def _account(self, headers: Mapping[str, str]) -> Kept:
        key = headers.get("authorization", "").removeprefix("Bearer ")
        if key not in self.accounts:
            raise Refused(401, "Incorrect API key provided")
        if key in self.down:
            raise Refused(503, "The server is overloaded")
        return self.accounts[key]

    async def _answer(self, path: str, headers: Mapping[str, str], body: Any, send: Send) -> None:
        if headers.get("content-type") != "application/json":
            raise Refused(415, "Unsupported content type")
        if path.startswith("/v1/messages"):
            anthropic.check_headers(headers, ANTHROPIC_KEY)
        else:
            account = self._account(headers)
        if body.get("model") == NO_MODEL:
            raise Refused(404, f"The model `{NO_MODEL}` does not exist")
        if body.get("model") == BUSY_MODEL:
            raise Refused(429, "Rate limit reached")
        if path == "/v1/responses":
            await _responses(account, body, send)
            return
        handler = {
            "/v1/chat/completions": _chat,
            "/v1/embeddings": _embeddings,
            "/v1/messages": _messages,
            "/v1/messages/count_tokens": _count,
        }.get(path)
        if handler is None:
            raise Refused(404, "Not Found")
        await handler(body, send)


async def _chat(body: Any, send: Send) -> None:
    openai.check_chat(body)
    messages = body["messages"]
    choice = body.get("tool_choice")
    asked = Asked(
        said=_last_said(messages),
        results=[_text(m["content"]) for m in _tail(messages, "tool")],
        tools={tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in body.get("tools") or ()}
        if choice != "none"
        else {},
        forced=choice == "required" or isinstance(choice, dict),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=((body.get("response_format") or {}).get("json_schema") or {}).get("schema"),
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
    )
    reply = think(asked)
    if body.get("stream"):
        await _sse(send, openai.chat_events(body, reply))
    else:
        await _json(send, 200, openai.chat_reply(body, reply))


async def _responses(account: Kept, body: Any, send: Send) -> None:
    items = account.input_of(body)
    openai.check_responses({**body, "input": items})
    openai.check_responses(body, account.calls_before(body))
    choice = body.get("tool_choice")
    asked = Asked(
        said=_last_said([item for item in items if item.get("type", "message") == "message"]),
        results=[_text(i["output"]) for i in items if i.get("type") == "function_call_output"],
        tools={t["name"]: t.get("parameters") or {} for t in body.get("tools") or ()} if choice != "none" else {},
        forced=choice == "required" or isinstance(choice, dict),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=((body.get("text") or {}).get("format") or {}).get("schema"),
        limit=body.get("max_output_tokens"),
    )
    reply = think(asked)
    ident = account.made(body, items, reply)
    if body.get("stream") and body.get("background"):
        await _sse(send, account.stream(ident), named=True)
    elif body.get("stream"):
        await _sse(send, openai.response_events(body, reply, ident), named=True)
    else:
        await _json(send, 200, account.told(ident) or openai.response_reply(body, reply, ident=ident))


async def _messages(body: Any, send: Send) -> None:
    anthropic.check_messages(body)
    last = body["messages"][-1]["content"]
    blocks = last if isinstance(last, list) else []
    choice = (body.get("tool_choice") or {}).get("type")
    asked = Asked(
        said=_last_said(body["messages"]),
        results=[_text(block["content"]) for block in blocks if block["type"] == "tool_result"],
        tools={t["name"]: t["input_schema"] for t in body.get("tools") or ()} if choice != "none" else {},
        forced=choice in ("any", "tool"),
        parallel=not (body.get("tool_choice") or {}).get("disable_parallel_tool_use"),
        schema=((body.get("output_config") or {}).get("format") or {}).get("schema"),
        limit=body["max_tokens"],
        prefix="toolu_",
    )
    reply = think(asked)
    if body.get("stream"):
        await _sse(send, anthropic.message_events(body, reply), named=True)
    else:
        await _json(send, 200, anthropic.message_reply(body, reply))


async def _count(body: Any, send: Send) -> None:
    anthropic.check_messages(body, counting=True)
    await _json(send, 200, {"input_tokens": len(json.dumps(body["messages"]).split())})


async def _embeddings(body: Any, send: Send) -> None:
    known = {"model", "input", "encoding_format", "dimensions", "user"}
    if extra := body.keys() - known:
        raise Refused(400, f"Unrecognized request argument supplied: {sorted(extra)}")
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not texts:
        raise Refused(400, "'$.input' is invalid.")
    packed = body.get("encoding_format") == "base64"
    vector: Any = "AACAPwAAAEA=" if packed else [1.0, 2.0]  # the same two numbers
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, _ in enumerate(texts)]
    usage = {"prompt_tokens": 2 * len(texts), "total_tokens": 2 * len(texts)}
    await _json(send, 200, {"object": "list", "data": data, "model": body["model"], "usage": usage})


def _last_said(messages: Iterable[Mapping[str, Any]]) -> str:
    said = [m for m in messages if m.get("role") == "user" and _text(m.get("content"))]
    return _text(said[-1]["content"]) if said else ""


def _tail(messages: list[Any], role: str) -> list[Any]:
    found: list[Any] = []
    for message in reversed(messages):
        if message["role"] != role:
            break
        found.insert(0, message)
    return found


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content or () if "text" in part)


def _openai_error(error: Refused) -> dict[str, Any]:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return {"error": {"message": error.message, "type": kind, "param": error.param or None, "code": error.code}}


def _anthropic_error(error: Refused) -> dict[str, Any]:
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    return {"type": "error", "error": {"type": kinds.get(error.status, "invalid_request_error"), "message": str(error)}}


async def _json(send: Send, status: int, body: Any) -> None:
    head = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def _sse(send: Send, events: Iterable[str] | AsyncIterator[str], *, named: bool = False) -> None:
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    async for data in events if isinstance(events, AsyncIterator) else _each(events):
        name = f"event: {json.loads(data)['type']}\n" if named else ""
        await send({"type": "http.response.body", "body": f"{name}data: {data}\n\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _each(events: Iterable[str]) -> AsyncIterator[str]:
    for data in events:
        yield data
