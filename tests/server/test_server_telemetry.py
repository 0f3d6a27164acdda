"""Recorded traffic through a real server: logs, masking, sending on, export, a trace as a case."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MAIL = "somebody@example.com"


class Collector:
    """Another OpenTelemetry collector."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.arrived = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
                collector.seen.append((self.path, self.headers.get("x-key", ""), body))
                if self.path == "/v1/traces":
                    collector.arrived.set()
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


def test_recorded_traffic(start_server: Callable[..., Any], collector: Collector, tmp_path: Path) -> None:
    config = tmp_path / "trimtab.yaml"
    config.write_text(
        "privacy: {mask: [email]}\nretention: {days: 30}\n"
        f'export: {{otlp: {{endpoint: "{collector.url}", headers: {{x-key: "env:COLLECTOR_KEY"}}}}}}\n'
    )
    server = start_server(config=config, env={"COLLECTOR_KEY": "canary-key"})
    now = str(time.time_ns())
    where = {"traceId": TRACE, "spanId": SPAN, "timeUnixNano": now}
    asked = {"key": "content", "value": {"stringValue": f"I am {MAIL}, where is it?"}}
    talk = {**where, "eventName": "gen_ai.user.message", "body": {"kvlistValue": {"values": [asked]}}}
    verdict = {**where, "eventName": "gen_ai.evaluation.result", "attributes": [
        {"key": "gen_ai.evaluation.name", "value": {"stringValue": "helpful"}},
        {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.5}},
    ]}  # fmt: skip
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [talk, verdict, {**where, "eventName": "other"}]}]}]}
    status, _, said = server.ask("POST", "/v1/logs", logs)
    assert (status, said["partialSuccess"]["rejectedLogRecords"]) == (200, "1")
    span = {"traceId": TRACE, "spanId": SPAN, "name": "chat", "startTimeUnixNano": now, "endTimeUnixNano": now,
            "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]}  # fmt: skip
    assert server.ask("POST", "/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})[0] == 200
    status, _, trace = server.ask("GET", f"/api/traces/{TRACE}")
    root = next(one for one in trace["spans"] if one["span_id"] == SPAN)
    assert json.loads(root["input"]) == [{"role": "user", "content": "I am [email], where is it?"}]
    assert [(score["name"], score["value"]) for score in trace["scores"]] == [("helpful", 0.5)]
    assert MAIL not in json.dumps(trace)

    assert collector.arrived.wait(20)
    _, key, body = next(one for one in collector.seen if one[0] == "/v1/traces")
    assert key == "canary-key"
    assert MAIL.encode() not in body
    assert ExportTraceServiceRequest.FromString(body).resource_spans

    status, _, kept = server.ask("POST", f"/api/traces/{TRACE}/case", {"dataset": "golden", "expected": "On Friday."})
    assert (status, kept["version"], kept["cases"]) == (201, "golden/1", 1)
    status, _, version = server.ask("GET", "/api/versions/datasets/golden/1")
    assert version["content"]["cases"][0]["input"] == "I am [email], where is it?"
    assert version["content"]["cases"][0]["source_trace"] == TRACE
    assert server.ask("POST", f"/api/traces/{'f' * 32}/case", {})[0] == 404
    assert server.ask("POST", f"/api/traces/{TRACE}/case", {"data": 1})[0] == 400

    for form, looks in (("jsonl", '"spans"'), ("otlp", '"resourceSpans"')):
        command = [sys.executable, "-m", "trimtab", "trace", "export", "--format", form, "--server", server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        (line,) = done.stdout.splitlines()
        assert looks in line
        assert MAIL not in line
    assert "canary-key" not in server.log.read_text()
