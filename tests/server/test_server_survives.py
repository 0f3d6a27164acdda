"""Killed without warning, again and again: whatever was acknowledged is there after the next start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 20


def otlp(trace_id: str, span_id: str) -> dict[str, Any]:
    now = time.time_ns()
    span = {"traceId": trace_id, "spanId": span_id, "name": "work", "kind": 1, "startTimeUnixNano": str(now),
            "endTimeUnixNano": str(now + 1000), "attributes": []}  # fmt: skip
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}


class Writer(threading.Thread):
    """Writes one of everything until the server is gone; remembers only what was acknowledged."""

    def __init__(self, server: Any, start: int) -> None:
        super().__init__(daemon=True)
        self.server, self.number = server, start
        self.spans: list[str] = []
        self.scores: list[str] = []
        self.versions: list[int] = []
        self.keys: list[str] = []

    def run(self) -> None:
        try:
            while True:
                self._one()
        except OSError:
            return

    def _one(self) -> None:
        self.number += 1
        trace = f"{self.number:032x}"
        if self.server.ask("POST", "/v1/traces", otlp(trace, f"{self.number:016x}"))[0] == 200:
            self.spans.append(trace)
        if (
            self.server.ask("POST", "/api/scores", {"trace_id": trace, "name": "thumb", "value": 1.0, "by": "user"})[0]
            < 300
        ):
            self.scores.append(trace)
        content = {"messages": [{"role": "system", "content": f"Number {self.number}."}]}
        status, _, made = self.server.ask("POST", "/api/versions/prompts/p", {"content": content})
        if status < 300:
            self.versions.append(made["number"])
        status, _, made = self.server.ask("POST", "/api/keys", {"name": f"k{self.number}"})
        if status < 300:
            self.keys.append(made["secret"])


def test_twenty_kills_lose_nothing_that_was_acknowledged(start_server: Callable[..., Any]) -> None:
    server = start_server()
    spans: list[str] = []
    scores: list[str] = []
    keys: list[str] = []
    versions: set[int] = set()
    for turn in range(ROUNDS):
        writer = Writer(server, 1 + turn * 100_000)
        writer.start()
        while len(writer.spans) < 1 + turn % 5:
            time.sleep(0.005)
        server.kill()
        writer.join(20)
        spans += writer.spans
        scores += writer.scores
        keys += writer.keys[-1:]
        versions |= set(writer.versions)
        server.start()
        for trace in writer.spans:
            status, _, found = server.ask("GET", f"/api/traces/{trace}")
            assert status == 200, f"round {turn}: a span that was acknowledged is gone"
            assert found["spans"]
            if trace in writer.scores:
                assert [score["name"] for score in found["scores"]] == ["thumb"]
        for secret in writer.keys:
            assert server.ask("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})[0] == 200
    listed = {version["number"] for version in server.ask("GET", "/api/versions/prompts/p")[2]["versions"]}
    assert versions <= listed
    assert len(spans) >= ROUNDS
    assert len(scores) >= ROUNDS // 2
    assert len(keys) >= ROUNDS // 2
