"""An upstream that streams: ``max_tokens`` chunks of server-sent events, as fast as the reader takes them.

A bare protocol on uvloop, so that it is not the slow side.

    python bench/gateway/upstream.py PORT
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httptools
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ENVELOPE = {"id": "chatcmpl-b", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-mini"}


def frame(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(**more: Any) -> bytes:
    return frame(b"data: " + json.dumps({**ENVELOPE, **more}).encode() + b"\n\n")


def said(delta: dict[str, str], finish: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


FIRST = said({"role": "assistant", "content": ""})
# Not all alike: some gateways end a stream of a hundred equal chunks.
CHUNKS = [said({"content": f" token{n:02d}"}) for n in range(50)]
LAST = said({}, "stop")
DONE = frame(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.may_write = asyncio.Event()
        self.may_write.set()

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        asked = json.loads(b"".join(self.body))
        self.body = []
        self.task = asyncio.ensure_future(self.stream(asked))

    async def stream(self, asked: dict[str, Any]) -> None:
        count = int(asked.get("max_tokens") or 100)
        self.transport.write(HEAD + FIRST)
        for number in range(count):
            await asyncio.sleep(0)  # one write a token, as a model has it
            if self.transport.is_closing():
                return
            await self.may_write.wait()
            self.transport.write(CHUNKS[number % len(CHUNKS)])
        end = LAST
        if (asked.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": count + 10}
            end += event(choices=[], usage=usage)
        self.transport.write(end + DONE)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
