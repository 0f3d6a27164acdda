"""Two servers on one PostgreSQL: what is taken back at one is taken back at the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_S = 10.0


def test_a_rollback_at_one_server_holds_at_the_other(
    start_server: Callable[..., Any], postgres_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "trimtab.yaml"
    config.write_text(
        f"storage: {{metadata: '{postgres_url}'}}\nroutes:\n  a: {{targets: [{{model: scripted/echo}}]}}\n"
    )
    env = {"TRIMTAB_ADMIN_KEY": "an-admin-key-for-two-servers"}
    one, other = (start_server(data=tmp_path / name, config=config, env=env) for name in ("one", "other"))
    for n in (1, 2):
        content = {"messages": [{"role": "system", "content": f"Version {n}."}]}
        body = {"content": content, "label": "production"}
        assert one.ask("POST", "/api/versions/prompts/answer", body)[0] == 201

    def served(version: int) -> None:
        until = time.monotonic() + PATIENCE_S
        body = {"model": "a", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"x-trimtab-prompt": "answer@production"}
        while True:
            status, said, _ = other.ask("POST", "/v1/chat/completions", body, headers)
            if status == 200 and f"answer/{version}" in said["x-trimtab-stamp"]:
                return
            assert time.monotonic() < until, (status, said)

    served(2)
    assert one.ask("POST", "/api/rollback", {"kind": "prompts", "name": "answer"})[0] == 200
    served(1)
    assert other.ask("POST", "/api/rollback", {"kind": "prompts", "name": "answer"})[0] == 409
