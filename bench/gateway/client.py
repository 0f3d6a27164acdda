"""The load side for latency and streams: raw connections on uvloop. Reads a job as JSON from standard input (the
arguments of ``pairs`` or ``streams`` with the ``mode``), writes the result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools
import uvloop

WARM_UP = 30
PATIENCE_S = 60.0


@dataclass
class Answer:
    status: int
    first_s: float
    whole_s: float
    tokens: int


@dataclass
class Seen:
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    tokens: int = 0
    bad: int = 0

    def add(self, answer: Answer) -> None:
        self.first.append(answer.first_s)
        self.whole.append(answer.whole_s)
        self.tokens += answer.tokens
        self.bad += answer.status != 200

    def summary(self) -> dict[str, float]:
        return {
            "first_ms": 1e3 * statistics.median(self.first),
            "whole_ms": 1e3 * statistics.median(self.whole),
            "bad": self.bad,
        }


class Connection(asyncio.Protocol):
    """One kept connection; times the first byte of the body and the end of the message."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.done: asyncio.Future[Answer] | None = None

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        self.parser = httptools.HttpResponseParser(self)
        self.body: list[bytes] = []
        self.first = 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.start = time.perf_counter()
        self.transport.write(request)
        return self.done

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.first = self.first or time.perf_counter()
        self.body.append(data)

    def on_message_complete(self) -> None:
        end = time.perf_counter()
        tokens = b"".join(self.body).count(b" token")
        if self.done and not self.done.done():
            first = (self.first or end) - self.start
            self.done.set_result(Answer(self.parser.get_status_code(), first, end - self.start, tokens))

    def connection_lost(self, error: Exception | None) -> None:
        if self.done and not self.done.done():
            self.done.set_exception(ConnectionError(str(error)))


async def connect(side: dict[str, Any]) -> tuple[Connection, bytes]:
    url = urlsplit(side["url"])
    body = side["body"].encode()
    headers = {"host": url.netloc, "content-type": "application/json", "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **side["headers"]}.items())
    _, connection = await asyncio.get_running_loop().create_connection(Connection, url.hostname, url.port)
    return connection, f"POST {url.path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def pairs(job: dict[str, Any]) -> dict[str, Any]:
    """One connection to each side, asked in turns: what the machine does besides hits both alike."""
    sides = {name: (*await connect(job[name]), Seen()) for name in ("direct", "gateway")}
    for turn in range(WARM_UP + job["requests"]):
        for connection, request, seen in sides.values():
            answer = await asyncio.wait_for(connection.ask(request), PATIENCE_S)
            if turn >= WARM_UP:
                seen.add(answer)
    return {name: seen.summary() for name, (_, _, seen) in sides.items()}


async def streams(job: dict[str, Any]) -> dict[str, Any]:
    """Many streams at once."""
    seen = Seen()

    async def worker() -> None:
        connection, request = await connect(job["gateway"])
        for _ in range(job["repeat"]):
            seen.add(await asyncio.wait_for(connection.ask(request), PATIENCE_S))

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(job["streams"])))
    return {"tokens": seen.tokens, "tokens_per_s": seen.tokens / (time.perf_counter() - began), "bad": seen.bad}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(json.dumps(uvloop.run({"pairs": pairs, "streams": streams}[given["mode"]](given))))
