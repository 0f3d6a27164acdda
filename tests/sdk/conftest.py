"""The client library with nothing said and nothing sent, and a server to talk to."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from trimtab.sdk import LiveSpan, outbox, prompts, settings


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("URL", "API_KEY", "PROJECT"):
        monkeypatch.delenv(f"TRIMTAB_{name}", raising=False)
    monkeypatch.setattr(settings, "_SAID", settings._Said())
    prompts.CACHE.forget()
    yield
    prompts.CACHE.forget()


class Collected:
    """Takes the exporter's place and keeps what would be sent."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def offer(self, item: Any) -> bool:
        self.items.append(item)
        return True

    @property
    def spans(self) -> dict[str, LiveSpan]:
        return {item.name: item for item in self.items if isinstance(item, LiveSpan)}

    @property
    def scores(self) -> list[dict[str, Any]]:
        return [item for item in self.items if not isinstance(item, LiveSpan)]


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Collected:
    kept = Collected()
    monkeypatch.setattr(outbox, "EXPORTER", kept)
    return kept


class Backend:
    """A small HTTP server. ``answer(method, path, headers, body)`` returns status, headers and body."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.answer: Callable[..., tuple[int, dict[str, str], bytes]] = lambda *_: (200, {}, b"{}")
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.headers.get("content-encoding") == "gzip":
                    raw = gzip.decompress(raw)
                body = json.loads(raw) if raw else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                backend.requests.append((self.command, self.path, headers, body))
                status, extra, answer = backend.answer(self.command, self.path, headers, body)
                self.send_response(status)
                for name, value in {"content-type": "application/json", **extra}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST

            def log_message(self, *_args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def backend() -> Iterator[Backend]:
    running = Backend()
    yield running
    running.stop()
