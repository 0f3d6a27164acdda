"""A server that runs takes over its configuration again, and one that stops says so to whom it does not serve."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab.config import load
from trimtab.core import BadInput
from trimtab.wiring import build
from trimtab.wiring.reloading import take_over
from waiting import until

PATIENCE_S = 20.0
ASK = {"model": "both", "messages": [{"role": "user", "content": "Hi"}]}
LONG = "This is a piece of a long answer that goes on and on until the window of the guard is full of it. " * 6
CONFIG = """\
providers:
  slow: {{kind: vllm, base_url: "http://127.0.0.1:{port}/v1", api_key: "file:{secret}"}}
routes:
  both: {{targets: [{{model: scripted/echo}}], attempts: {attempts}}}
"""


class SlowVendor(threading.Thread):
    """Sends one piece of a stream and never the rest. ``keys`` are those that it was asked with."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.keys: list[str] = []
        self.connections: list[socket.socket] = []

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            head = connection.recv(65536).decode().lower()
            self.keys += [line.split()[-1] for line in head.split("\r\n") if line.startswith("authorization:")]
            choice = {"index": 0, "delta": {"content": LONG}, "finish_reason": None}
            event = json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "x", "choices": [choice]})
            connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {event}\n\n".encode())
            self.connections.append(connection)

    def stop(self) -> None:
        self.listener.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def vendor() -> Iterator[SlowVendor]:
    made = SlowVendor()
    made.start()
    yield made
    made.stop()


def write(config: Path, vendor: SlowVendor, *, secret: str, attempts: int) -> None:
    file = config.with_name("key.txt")
    file.write_text(secret + "\n")
    config.write_text(CONFIG.format(port=vendor.port, secret=file, attempts=attempts))


def begun(server: Any) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """A stream whose first piece has come."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    body = {"model": "slow/x", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer {server.key}"})
    answer = connection.getresponse()
    assert answer.readline().startswith(b"data: {")
    return connection, answer


@pytest.mark.parametrize("workers", [1, 2])
def test_routes_and_keys_of_vendors_are_taken_over_and_no_request_is_dropped(
    start_server: Callable[..., Any], tmp_path: Path, vendor: SlowVendor, workers: int
) -> None:
    config = tmp_path / "trimtab.yaml"
    write(config, vendor, secret="first-secret-1234", attempts=2)
    arguments = ("--workers", str(workers), "--drain", "0")
    server = start_server(config=config, arguments=arguments)
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask_on() -> None:
        while not stop.is_set():
            status, headers, _ = server.ask("POST", "/v1/chat/completions", ASK)
            seen.append((status, headers.get("x-trimtab-stamp", "")))

    asking = threading.Thread(target=ask_on)
    asking.start()
    connection, _ = begun(server)
    connection.close()
    until(lambda: vendor.keys == ["first-secret-1234"])
    write(config, vendor, secret="other-secret-1234", attempts=3)
    os.kill(server.process.pid, signal.SIGHUP)
    until(lambda: bool(seen) and "route=both/2" in seen[-1][1])

    def other_secret() -> bool:
        connection, _ = begun(server)
        connection.close()
        return vendor.keys[-1] == "other-secret-1234"

    until(other_secret)
    config.write_text("providers: {slow: {kind: none-such}}\n")
    os.kill(server.process.pid, signal.SIGHUP)
    until(lambda: "The configuration was not taken over" in server.log.read_text())
    assert server.ask("POST", "/v1/chat/completions", ASK)[0] == 200
    stop.set()
    asking.join(PATIENCE_S)
    assert {status for status, _ in seen} == {200}


def test_a_stream_that_outlasts_the_stop_ends_with_an_error_that_says_so(
    start_server: Callable[..., Any], tmp_path: Path, vendor: SlowVendor
) -> None:
    config = tmp_path / "trimtab.yaml"
    write(config, vendor, secret="first-secret-1234", attempts=2)
    server = start_server(config=config, arguments=("--drain", "1"))
    connection, answer = begun(server)
    server.process.send_signal(signal.SIGTERM)
    rest = answer.read().decode()
    connection.close()
    error = json.loads(rest.strip().split("data: ")[-1])["error"]
    assert (error["code"], error["message"]) == ("overloaded", "The server stops. Ask again: another one answers.")
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_who_asks_twice_to_stop_waits_for_no_request_and_loses_nothing(
    start_server: Callable[..., Any], tmp_path: Path, vendor: SlowVendor, number: signal.Signals, workers: int
) -> None:
    config = tmp_path / "trimtab.yaml"
    write(config, vendor, secret="first-secret-1234", attempts=2)
    server = start_server(config=config, arguments=("--drain", "3600", "--workers", str(workers)))
    status, headers, _ = server.ask("POST", "/v1/chat/completions", ASK)
    assert status == 200
    connection, answer = begun(server)
    server.process.send_signal(signal.SIGTERM)
    until(lambda: "Stopping: finishing" in server.log.read_text())

    def heard() -> bool:
        if "Stopping at once: cutting running requests off" in server.log.read_text():
            return True
        server.process.send_signal(number)
        return False

    until(heard)
    rest = answer.read().decode()
    connection.close()
    error = json.loads(rest.strip().split("data: ")[-1])["error"]
    assert (error["code"], error["message"]) == ("overloaded", "The server stops. Ask again: another one answers.")
    assert server.process.wait(PATIENCE_S) == 0
    said = server.log.read_text()
    assert said.count("Stopping at once") == 1
    assert "Traceback" not in said
    assert "is killed" not in said
    server.arguments = ()
    server.start()
    for trace_id in (headers["x-trimtab-trace-id"], answer.headers["x-trimtab-trace-id"]):
        assert server.ask("GET", f"/api/traces/{trace_id}")[0] == 200


def test_who_connects_while_the_workers_drain_is_refused_at_once(
    start_server: Callable[..., Any], tmp_path: Path, vendor: SlowVendor
) -> None:
    config = tmp_path / "trimtab.yaml"
    write(config, vendor, secret="first-secret-1234", attempts=2)
    server = start_server(config=config, arguments=("--workers", "2", "--drain", "60"))
    connection, answer = begun(server)

    def refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S).close()
        except ConnectionError:
            return True
        return False

    server.process.send_signal(signal.SIGTERM)
    until(refused)
    assert server.process.poll() is None, "the stream is still served"
    vendor.stop()
    answer.read()
    connection.close()
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ("routes: {aaa: {targets: [{model: scripted/weak}]}, zzz: {targets: [{model: a/b}], retry: {share: -1}}}",
         "routes.zzz.retry.share"),
        ("routes: {aaa: {targets: [{model: scripted/weak}]}, no name: {targets: [{model: a/b}]}}",
         "routes.no name.name"),
        ("routes: {aaa: {targets: [{model: scripted/weak}]}}\nteams: {crew: {budget_usd: -1}}",
         "teams.crew.budget_usd"),
    ],
)  # fmt: skip
async def test_a_file_of_which_a_part_is_wrong_changes_nothing_at_all(tmp_path: Path, wrong: str, field: str) -> None:
    path = tmp_path / "trimtab.yaml"
    before = "providers: {own: {kind: vllm, base_url: 'http://127.0.0.1:9/v1'}}\n"
    path.write_text(before)
    house = await build(load(path, {}, data=tmp_path / "data"))
    try:
        path.write_text(wrong)
        with pytest.raises(BadInput) as caught:
            await take_over(house, load(path, {}, data=tmp_path / "data"))
        assert caught.value.field == field
        assert "own" in house.providers.names()
        assert "aaa" not in house.registry.names("routes")
        path.write_text(before + "routes: {aaa: {targets: [{model: own/weak}]}}")
        await take_over(house, load(path, {}, data=tmp_path / "data"))
        assert "aaa" in house.registry.names("routes")
    finally:
        await house.close()
