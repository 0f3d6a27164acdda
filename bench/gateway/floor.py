#!/usr/bin/env python3
"""What a request costs before the gateway does anything, and what is added to that: the same load, step by step.

nginx as a plain reverse proxy; ``callbacks``, a proxy of some thirty lines on the same event loop and parser, which is
as cheap as Python gets; ``server``, our server answering by itself; ``proxy``, our server and our client with nothing
between them; ``trimtab``, the gateway as ``bench/gateway`` measures it first. Of each: microseconds of CPU a request,
user and system apart and the main thread apart from the others, and how often a thread had to make way for another.

    python bench/gateway/floor.py [--only server,proxy] [--seconds 4]

Needs what ``bench/gateway`` needs. Nothing is kept: it prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from pathlib import Path
from typing import Any

import httptools
import uvicorn
import uvloop
from machine import TICKS, Process, Stage, free_port
from measures import SHORT, load
from peers import ANSWERING, PEERS, Gateway, Upstreams, nginx_command

from trimtab.providers import HttpClient
from trimtab.web.gathering import GatheringProtocol

STEPS = ("nginx", "callbacks", "server", "proxy", "trimtab")
ANSWER = {"id": "chatcmpl-bench", "choices": [{"message": {"content": "The quick brown fox jumps. " * 30}}],
          "usage": {"prompt_tokens": 120, "completion_tokens": 200, "total_tokens": 320}}  # fmt: skip
BODY = json.dumps(ANSWER).encode()
TO_MODEL = b"POST /v1/chat/completions HTTP/1.1\r\nhost: model\r\ncontent-length: %d\r\n\r\n%b"
TO_CLIENT = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Talking(asyncio.Protocol):
    """One connection, its messages parsed; of each the body is kept."""

    parser: Any
    transport: Any
    body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body


class Asking(Talking):
    """A connection to the model, and whom its next answer is for."""

    def __init__(self, idle: list[Asking]) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.idle = idle
        self.client: Answering | None = None

    def on_message_complete(self) -> None:
        self.idle.append(self)
        if self.client is not None:
            self.client.transport.write(TO_CLIENT % (len(self.body), self.body))


class Answering(Talking):
    """A connection from a client."""

    def __init__(self, idle: list[Asking], up: int) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.idle, self.up = idle, up
        self.opening: asyncio.Task[None] | None = None

    def on_message_complete(self) -> None:
        if self.idle:
            self.ask(self.idle.pop())
        else:
            self.opening = asyncio.ensure_future(self.open())

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: Asking(self.idle), "127.0.0.1", self.up)
        self.ask(made)

    def ask(self, model: Asking) -> None:
        model.client = self
        model.transport.write(TO_MODEL % (len(self.body), self.body))


async def callbacks(port: int, up: int) -> None:
    idle: list[Asking] = []
    server = await asyncio.get_running_loop().create_server(lambda: Answering(idle, up), "127.0.0.1", port)
    await server.serve_forever()


async def ours(port: int, up: int, *, asking: bool) -> None:
    """Our server, and our client where something is asked."""
    client = HttpClient()
    way = client.way("POST", f"http://127.0.0.1:{up}/v1/chat/completions", {"accept": "application/json"})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        wire = scope["trimtab.wire"]
        body, answer = wire.body(), BODY
        if body is None:
            body = (await receive())["body"]
        if asking:
            response = await client.send(way, body, timeout=60)
            answer = await response.read()
            await response.close()
        wire.reply(200, [(b"content-type", b"application/json")], answer)

    config = uvicorn.Config(
        app, interface="asgi3", http=GatheringProtocol, ws="none", lifespan="off", access_log=False,
        log_config=None, host="127.0.0.1", port=port, loop="none",
    )  # fmt: skip
    await uvicorn.Server(config).serve()


def serve(step: str, port: int, up: int) -> None:
    """Be one of the steps."""
    gc.freeze()
    uvloop.run(callbacks(port, up) if step == "callbacks" else ours(port, up, asking=step == "proxy"))


class Spent:
    """CPU seconds so far (user, system, of the main thread alone) and how often a thread had to make way."""

    def __init__(self, process: Process) -> None:
        self.user = self.system = self.main = 0.0
        self.made_way = 0
        for pid in process.tree():
            for task in Path(f"/proc/{pid}/task").iterdir():
                fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
                user, system = int(fields[11]) / TICKS, int(fields[12]) / TICKS
                self.user, self.system = self.user + user, self.system + system
                self.main += user + system if task.name == str(pid) else 0.0
                self.made_way += int((task / "status").read_text().rsplit("nonvoluntary_ctxt_switches:", 1)[1])


def measure(step: str, seconds: int, connections: int) -> None:
    with Stage() as stage:
        up = Upstreams(free_port(), free_port())
        answering = ANSWERING.format(port=up.plain, answer=json.dumps({"model": "gpt-4o-mini", **ANSWER}))
        stage.start("up", nginx_command(stage, "up", answering), core=1).wait_for(up.plain, 10)
        if step in PEERS:
            gateway = PEERS[step](stage, up)
        else:
            port = free_port()
            command = [sys.executable, __file__, "--serve", step, str(port), str(up.plain)]
            process = stage.start(step, command, core=0)
            process.wait_for(port, 20)
            gateway = Gateway(step, port, process, 0.0, 0.0)
        load(stage, gateway, SHORT, min(3, seconds), connections)
        gateway.process.settle()
        before = Spent(gateway.process)
        requests, errors, duration = load(stage, gateway, SHORT, seconds, connections)
        gateway.process.settle()
        after = Spent(gateway.process)
    user, system = (1e6 * spent / requests for spent in (after.user - before.user, after.system - before.system))
    main, ways = 1e6 * (after.main - before.main) / requests, (after.made_way - before.made_way) / requests
    others = max(0.0, user + system - main)
    print(f"{step:12}{user + system:8.1f}{user:8.1f}{system:8.1f}{main:8.1f}{others:8.1f}{ways:10.3f}", end="")
    print(f"{requests / duration:9.0f}{errors:6}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="what a request costs before the gateway does anything")
    parser.add_argument("--only", default=",".join(STEPS), help=f"which of {', '.join(STEPS)}")
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--serve", nargs=3, metavar=("STEP", "PORT", "UPSTREAM"), help="be one of them")
    options = parser.parse_args()
    if options.serve:
        step, port, up = options.serve
        serve(step, int(port), int(up))
        return
    print("CPU us a request: all, user, system; main thread, others; made way for another thread; req/s; errors")
    for step in STEPS:
        if step in options.only.split(","):
            measure(step, options.seconds, options.connections)


if __name__ == "__main__":
    main()
