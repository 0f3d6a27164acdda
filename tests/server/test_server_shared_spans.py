"""Servers whose spans lie in PostgreSQL: gateway workers write there, and any server reads it all."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_S = 20.0


def test_workers_write_and_another_server_reads(
    start_server: Callable[..., Any], postgres_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "trimtab.yaml"
    config.write_text(f"storage: {{spans: '{postgres_url}'}}\nroutes:\n  a: {{targets: [{{model: scripted/echo}}]}}\n")
    server = start_server(data=tmp_path / "one", config=config, arguments=("--workers", "2"))
    asked = set()
    for n in range(20):
        body = {"model": "a", "messages": [{"role": "user", "content": f"question {n}"}]}
        status, headers, _ = server.ask("POST", "/v1/chat/completions", body)
        assert status == 200
        asked.add(headers["x-trimtab-trace-id"])

    def traces(at: Any) -> set[str]:
        status, _, page = at.ask("GET", "/api/traces?limit=100")
        assert status == 200
        return {trace["trace_id"] for trace in page["traces"]}

    until = time.monotonic() + PATIENCE_S
    while not asked <= traces(server):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not list((tmp_path / "one" / "spans").glob("*"))
    server.kill()
    other = start_server(data=tmp_path / "other", config=config)
    assert asked <= traces(other)
