"""The gateway page and its metrics of a real server, with one process and with workers that serve the models."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BODY = {"model": "support", "messages": [{"role": "user", "content": "How is a refund paid?"}], "max_tokens": 20}
CONFIG = """
routes:
  support: {targets: [{model: scripted/steady}]}
prices:
  scripted/steady: {input: 1000, output: 1000}
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_what_happened_is_on_the_page_and_in_the_metrics(
    start_server: Callable[..., Any], tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "trimtab.yaml"
    path.write_text(CONFIG)
    server = start_server(config=path, arguments=("--workers", str(workers)))
    _, _, made = server.ask("POST", "/api/keys", {"name": "bot", "team": "web", "rpm": 4, "budget_usd": 1000})
    headers = {"authorization": f"Bearer {made['secret']}"}
    answered, told, tokens = 0, {}, 0
    for _ in range(8):
        status, told, answer = server.ask("POST", "/v1/chat/completions", BODY, headers)
        if status != 200:
            assert status == 429
            break
        answered, tokens = answered + 1, tokens + answer["usage"]["total_tokens"]
    assert answered >= 4

    deadline = time.monotonic() + 20
    series = 'trimtab_target_answered_total{route="support",target="scripted/steady"} '
    while f"{series}{answered}\n" not in (metrics := str(server.ask("GET", "/metrics")[2])):
        assert time.monotonic() < deadline, metrics
        time.sleep(0.1)
    lags = dict(re.findall(r'trimtab_event_loop_lag_seconds\{process="(\w+)"\} ([\d.]+)', metrics))
    assert set(lags) == ({"control", "worker"} if workers > 1 else {"control"})
    assert "trimtab_refused_total 1\n" in metrics

    page = str(server.ask("GET", f"/gateway?why={told['x-trimtab-trace-id']}")[2])
    for needle in ("Route <a", "scripted", "Refused 429.", "Requests a minute of the key bot", 'data-row="web"'):
        assert needle in page, needle
    assert f"${tokens / 1000:,.2f}" in page, "the configuration's own price counts, in every process"
    assert server.stop() == 0
