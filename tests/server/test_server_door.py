"""What the server refuses at its door, and how it says so."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CANARY = "sk-canary-9f8e7d6c5b4a39281706"
ADMIN = "admin-canary-0123456789abcdef"


def up(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trimtab", "up", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, check=False)


def test_a_port_in_use_is_named_with_the_mend(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = up(tmp_path, "--port", str(port), "--data", "d")
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_in_use_is_named_with_the_process(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server()
    done = up(tmp_path, "--port", "4193", "--data", str(server.data))
    assert done.returncode == 2
    assert str(server.data) in done.stderr
    assert str(server.process.pid) in done.stderr
    assert "Traceback" not in done.stderr


def test_an_outside_address_without_an_admin_key_is_refused(tmp_path: Path) -> None:
    done = up(tmp_path, "--host", "0.0.0.0", "--data", "d")
    assert done.returncode == 2
    assert "TRIMTAB_ADMIN_KEY" in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "trimtab.yaml").write_text("routes:\n  a:\n    targets: 3\n")
    done = up(tmp_path, "--data", "d")
    assert done.returncode == 2
    assert "trimtab.yaml:3" in done.stderr
    assert "routes.a.targets" in done.stderr


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:4100"}, 403),
    ],
)
def test_on_loopback_the_host_header_is_checked(
    start_server: Callable[..., Any], headers: dict[str, str], status: int
) -> None:
    assert start_server().ask("GET", "/", headers=headers)[0] == status


def test_on_loopback_a_foreign_page_cannot_write(start_server: Callable[..., Any]) -> None:
    server = start_server()
    body = {"kind": "prompts", "name": "x", "actor": "evil"}
    foreign = server.ask(
        "POST", "/api/rollback", body, {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    )
    assert foreign[0] == 403
    own = server.ask("POST", "/api/rollback", body, {"origin": server.url})
    assert own[0] in (404, 409)


def test_beyond_loopback_pages_and_api_need_the_admin_key(start_server: Callable[..., Any]) -> None:
    server = start_server(env={"TRIMTAB_ADMIN_KEY": ADMIN}, arguments=("--host", "0.0.0.0"))
    assert server.ask("GET", "/api/traces", headers={"authorization": ""})[0] == 401
    assert server.ask("GET", "/api/traces", headers={"authorization": "Bearer wrong"})[0] == 401
    assert (
        server.ask("POST", "/v1/traces", b"", {"authorization": "", "content-type": "application/x-protobuf"})[0] == 401
    )
    assert server.ask("GET", "/api/traces")[0] == 200
    page = server.ask("GET", "/", headers={"authorization": "", "accept": "text/html"})
    assert "Nothing is wrong" not in str(page[2])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"model": "scripted/echo", ', 400, "JSON"),
        (b'{"model": "scripted/echo", "messages": "\xff\xfe"}', 400, "UTF-8"),
        ({"model": "nothing", "messages": [{"role": "user", "content": "x"}]}, 404, "nothing"),
        ({"model": "scripted/nobody", "messages": [{"role": "user", "content": "x"}]}, 404, "nobody"),
        ({"messages": [{"role": "user", "content": "x"}]}, 400, "model"),
        ({"model": "scripted/echo"}, 400, "messages"),
        ({"model": "scripted/echo", "messages": []}, 400, "messages"),
        ({"model": "scripted/echo", "messages": [{"content": "x"}]}, 400, "role"),
        ({"model": "scripted/echo", "messages": "hello"}, 400, "messages"),
        ({"model": "scripted/echo", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}, 400, "stream"),
        ([1, 2, 3], 400, "object"),
        (b"x" * (20 << 20), 413, "MiB"),
        (
            {
                "model": "scripted/echo",
                "messages": [{"role": "user", "content": "x"}],
                "trimtab": {"prompt": "nowhere@live"},
            },
            404,
            "nowhere",
        ),
    ],
)
def test_bad_input_gets_a_clear_answer(start_server: Callable[..., Any], body: Any, status: int, words: str) -> None:
    got, _, answer = start_server().ask("POST", "/v1/chat/completions", body)
    assert got == status
    assert words in answer["error"]["message"]


def test_no_secret_is_ever_shown_or_stored(start_server: Callable[..., Any], tmp_path: Path) -> None:
    config = tmp_path / "trimtab.yaml"
    config.write_text(
        'providers:\n  up: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: "env:UP_KEY"}\n'
        "routes:\n  support: {targets: [{model: up/m}]}\n"
    )
    server = start_server(config=config, env={"UP_KEY": CANARY, "TRIMTAB_ADMIN_KEY": ADMIN})
    made = server.ask("POST", "/api/keys", {"name": "bot"})[2]["secret"]
    body = {"model": "support", "messages": [{"role": "user", "content": "hello"}]}
    failed = server.ask("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {made}"})
    assert failed[0] in (502, 503, 504)
    pages = [failed[2]] + [
        server.ask("GET", path)[2]
        for path in ("/", "/traces", "/incidents", "/prompts", "/api/traces", "/api/keys", "/metrics")
    ]
    server.stop()
    written = b"".join(file.read_bytes() for file in server.data.rglob("*") if file.is_file())
    shown = (server.log.read_text() + "".join(map(str, pages))).encode()
    for secret in (CANARY, ADMIN, made):
        assert secret.encode() not in written
        assert secret.encode() not in shown
