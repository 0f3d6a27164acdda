"""Budgets and limits of a real server: over kill -9, over many workers, over Valkey."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trimtab.cli.key import command
from waiting import until

BODY = {"model": "support", "messages": [{"role": "user", "content": "How is a refund paid?"}], "max_tokens": 60}
#: What the simulated models nominally cost.
INPUT, OUTPUT = 0.15e-6, 0.60e-6


def config(folder: Path, shared: str = "memory:") -> Path:
    path = folder / "trimtab.yaml"
    path.write_text(f'routes:\n  support: {{targets: [{{model: scripted/steady}}]}}\nstorage: {{shared: "{shared}"}}\n')
    return path


def make_key(server: Any, **limits: Any) -> tuple[str, dict[str, str]]:
    status, _, made = server.ask("POST", "/api/keys", {"name": "bot", **limits})
    assert status == 201
    return made["id"], {"authorization": f"Bearer {made['secret']}"}


def cost(answer: Any) -> float:
    usage = answer["usage"]
    return usage["prompt_tokens"] * INPUT + usage["completion_tokens"] * OUTPUT


def ask_until_refused(server: Any, headers: dict[str, str], clients: int) -> tuple[list[float], list[int]]:
    """So many clients, each asking until it is refused or the server is gone. What was answered, and the refusals."""
    paid: list[float] = []
    refused: list[int] = []

    def client(_: int) -> None:
        while True:
            try:
                status, _, answer = server.ask("POST", "/v1/chat/completions", BODY, headers)
            except OSError:
                return
            if status == 200:
                paid.append(cost(answer))
            else:
                refused.append(status)
                return

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return paid, refused


def counted(server: Any, key: str) -> tuple[float, float]:
    """The counter and the sums by day, in dollars."""
    _, _, found = server.ask("GET", f"/api/keys/{key}/usage?days=2")
    return found["budget"]["spent_usd"], found["totals"]["cost_usd"]


def rows(server: Any, key: str) -> list[tuple[str, int]]:
    """State and cost of every row of a key."""
    connection = sqlite3.connect(server.data / "metadata.db")
    try:
        return connection.execute("SELECT state, cost_nano FROM usage WHERE key = ?", (key,)).fetchall()
    finally:
        connection.close()


def check_equal(server: Any, key: str) -> None:
    """Counter, sums and rows come to be one and the same: the last row may be written between the reads."""

    def spent() -> tuple[float, float, float]:
        return (*counted(server, key), sum(cost or 0 for _, cost in rows(server, key)) / 1e9)

    until(lambda: len({round(each, 12) for each in spent()}) == 1)
    counter, sums, listed = spent()
    assert counter == sums == pytest.approx(listed, abs=1e-12)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("workers", [1, 2])
def test_counters_and_ledger_agree_after_a_kill(start_server: Callable[..., Any], tmp_path: Path, workers: int) -> None:
    server = start_server(config=config(tmp_path), arguments=("--workers", str(workers)))
    key, headers = make_key(server, budget_usd=1000)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_until_refused, server, headers, 8)
        until(lambda: len(rows(server, key)) > 40)
        server.kill()
        paid, refused = asking.result()
    assert paid
    assert not refused
    server.start()
    states = [state for state, _ in rows(server, key)]
    assert "reserved" not in states
    assert "interrupted" in states  # eight clients were waiting for an answer
    total = sum(spent or 0 for _, spent in rows(server, key)) / 1e9
    assert total >= sum(paid) * 0.999  # nothing that was answered is forgotten
    status, _, answer = server.ask("POST", "/v1/chat/completions", BODY, headers)
    assert status == 200
    assert counted(server, key)[0] == pytest.approx(total + cost(answer), abs=1e-9)
    check_equal(server, key)


def test_two_workers_share_every_limit(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server(config=config(tmp_path), arguments=("--workers", "2"))
    check_shared_limits(server)
    assert len(children(server.process.pid)) == 2
    assert server.stop() == 0


def test_two_workers_share_every_limit_on_valkey(
    start_server: Callable[..., Any], tmp_path: Path, start_valkey: Callable[..., Any]
) -> None:
    valkey = start_valkey(persist=True)
    server = start_server(config=config(tmp_path, valkey.url), arguments=("--workers", "2"))
    check_shared_limits(server)
    key, headers = make_key(server, budget_usd=1000)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_until_refused, server, headers, 8)
        until(lambda: len(rows(server, key)) > 20)
        server.kill()
        asking.result()
    server.start()
    assert server.ask("POST", "/v1/chat/completions", BODY, headers)[0] == 200
    check_equal(server, key)

    valkey.stop()
    assert server.ask("POST", "/v1/chat/completions", BODY, headers)[0] == 200
    until(lambda: "Valkey does not answer" in str(server.ask("GET", "/readyz")[2]))
    assert server.ask("GET", "/readyz")[0] == 200
    assert "trimtab_degraded 0" not in server.ask("GET", "/metrics")[2]


def check_shared_limits(server: Any) -> None:
    key, headers = make_key(server, rpm=10)
    paid, refused = ask_until_refused(server, headers, 16)
    assert 10 <= len(paid) <= 12  # a few flow in meanwhile
    assert set(refused) == {429}

    budget = 0.0006
    key, headers = make_key(server, budget_usd=budget)
    paid, refused = ask_until_refused(server, headers, 32)
    assert 0.95 * budget <= sum(paid) <= budget + max(paid)
    assert set(refused) == {402}
    counter, ledger = counted(server, key)
    assert counter == ledger == pytest.approx(sum(paid), abs=1e-9)
    assert {state for state, _ in rows(server, key)} == {"settled"}


def test_a_worker_that_dies_is_replaced_and_what_it_held_is_settled(
    start_server: Callable[..., Any], tmp_path: Path
) -> None:
    server = start_server(config=config(tmp_path), arguments=("--workers", "2"))
    key, headers = make_key(server, budget_usd=1000, max_parallel=4, max_queue=16)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_until_refused, server, headers, 6)
        until(lambda: len(rows(server, key)) > 20)
        before = children(server.process.pid)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(children(server.process.pid)) == 2 and before[0] not in children(server.process.pid))
        seen = len(rows(server, key))
        until(lambda: len(rows(server, key)) > seen + 10)  # all four places are free again, sooner or later
        status, _, _ = server.ask("POST", f"/api/keys/{key}/disable", {})
        assert status == 200
        _, refused = asking.result()
    assert set(refused) == {401}  # every worker has heard of it by the time it was answered
    until(lambda: "reserved" not in {state for state, _ in rows(server, key)})
    check_equal(server, key)


def test_a_gateway_attaches_to_a_control_process_and_ends_with_it(
    start_server: Callable[..., Any], tmp_path: Path
) -> None:
    control = start_server(config=config(tmp_path), arguments=("--role", "control"))
    for path in ("/v1/chat/completions", "/v1/models", "/v1/responses/resp_1/cancel", "/v1/messages/count_tokens"):
        status, said, body = control.ask("POST", path, BODY)
        assert (status, said["content-type"]) == (404, "application/json")
        assert "trimtab up --role gateway" in body["error"]["message"]
    gateway = start_server(config=config(tmp_path), data=control.data, arguments=("--role", "gateway"), key=control.key)
    _, headers = make_key(control, rpm=2)
    statuses = [gateway.ask("POST", "/v1/chat/completions", BODY, headers)[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert gateway.ask("GET", "/api/keys")[0] == 404
    until(lambda: len(control.ask("GET", "/api/traces")[2]["traces"]) == 3)
    control.stop()
    assert gateway.process.wait(20) == 0


def test_a_key_is_rotated_and_a_refusal_explained_on_the_command_line(
    start_server: Callable[..., Any], tmp_path: Path
) -> None:
    server = start_server(config=config(tmp_path))

    def run(*words: str) -> str:
        done = CliRunner().invoke(command, [*words, "--server", server.url], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    secret = run("create", "bot", "--team", "web", "--rpm", "1", "--budget", "5").split()[0]
    key = server.ask("GET", "/api/keys")[2]["keys"][-1]["id"]
    rotated = run("rotate", key, "--overlap", "1").split()[0]
    for known in (secret, rotated):
        status, headers, _ = server.ask("POST", "/v1/chat/completions", BODY, {"authorization": f"Bearer {known}"})
    assert status == 429
    told = run("why", headers["x-trimtab-trace-id"])
    assert "NO  rpm of the key" in told
    assert "1 of 1" in told
    assert "ok  role (member may ask models)" in told
    assert "rpm none" not in run("change", key, "--rpm", "none", "--tpm", "900")
    assert server.ask("GET", f"/api/keys/{key}")[2]["limits"] == {"tpm": 900, "budget_usd": 5}
    assert "of 5.00 US dollars" in run("usage", key)
