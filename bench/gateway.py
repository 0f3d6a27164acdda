#!/usr/bin/env python3
"""CPU time per gateway request, Trimtab beside nginx, in one run.

Two nginx on this machine: one answers any POST with a fixed completion (the upstream), one proxies to it (the physical
neighbour to compare with). Trimtab proxies to the same upstream with its features on: key, prompt-free route, guard,
stamp, recorder, cost. The load comes from wrk. What is read is user + system time of the process tree from /proc,
which holds on a busy machine where requests per second do not.

    python bench/gateway.py [--seconds 6] [--connections 16]

Needs Linux, nginx and wrk (Debian: nginx-light, wrk).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
RESULT = Path(__file__).parent / "results" / "gateway.json"
KEY = "bench-admin-key-0123456789"

COMPLETION = {
    "id": "chatcmpl-bench", "object": "chat.completion", "created": 1700000000, "model": "bench-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "The quick brown fox jumps. " * 30},
                 "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 200, "total_tokens": 320},
}  # fmt: skip
REQUEST = {"model": "bench", "messages": [{"role": "user", "content": "How do I reset the pump? " * 24}]}

COMMON = """
worker_processes 1; daemon off; pid {run}/{name}.pid; error_log {run}/{name}.err warn;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; client_body_buffer_size 256k;
  client_body_temp_path {run}/{name}_b; proxy_temp_path {run}/{name}_p;
  fastcgi_temp_path {run}/{name}_f; uwsgi_temp_path {run}/{name}_u; scgi_temp_path {run}/{name}_s;
  {body}
}}
"""
UPSTREAM = (
    "server {{ listen 127.0.0.1:{port}; default_type application/json; location / {{ return 200 '{answer}'; }} }}"
)
PROXY = (
    "upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; }} server {{ listen 127.0.0.1:{port};"
    ' proxy_http_version 1.1; proxy_set_header Connection ""; location / {{ proxy_pass http://up; }} }}'
)
CONFIG = """
providers:
  up: {{kind: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: "env:BENCH_KEY"}}
routes:
  bench: {{targets: [{{model: up/bench-1}}], guard: "guards:/default@production"}}
"""


@dataclass(frozen=True)
class Figure:
    """One peer's figures: CPU microseconds a request, requests a second under this load, errors."""

    peer: str
    cpu_us: float
    per_second: float
    requests: int
    errors: int
    memory_mib: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """A process and its children (nginx has a master and a worker)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for child in children for p in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    total = 0
    for process in tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mib(pid: int) -> float:
    pages = sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        if process.poll() is not None:
            raise SystemExit(f"a server on port {port} ended with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


def ask_once(port: int) -> None:
    """One right answer before anything is timed."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(REQUEST).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["usage"]["total_tokens"] == 320


def load(port: int, pid: int, peer: str, run: Path, options: argparse.Namespace) -> Figure:
    script = run / "post.lua"
    script.write_text(
        f"wrk.method='POST' wrk.body=[[{json.dumps(REQUEST)}]]"
        f" wrk.headers['content-type']='application/json' wrk.headers['authorization']='Bearer {KEY}'"
        " done=function(s) io.write(string.format('RESULT %d %d %d\\n', s.requests,"
        " s.errors.status + s.errors.connect + s.errors.read + s.errors.timeout, s.duration)) end"
    )
    command = ["wrk", "-t1", f"-c{options.connections}", "-s", str(script)]
    address = f"http://127.0.0.1:{port}/v1/chat/completions"
    subprocess.run([*command, "-d2s", address], capture_output=True, check=True, timeout=60)
    before = cpu_seconds(pid)
    done = subprocess.run(
        [*command, f"-d{options.seconds}s", address], capture_output=True, text=True, check=True, timeout=120
    )
    time.sleep(0.5)  # What a request queued for the recorder belongs to the request.
    spent = cpu_seconds(pid) - before
    requests, errors, duration = map(int, done.stdout.split("RESULT ")[1].split())
    return Figure(peer, 1e6 * spent / requests, requests / (duration / 1e6), requests, errors, memory_mib(pid))


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU per gateway request, Trimtab beside nginx")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not (Path(nginx).exists() and shutil.which("wrk")):
        raise SystemExit("needs nginx and wrk (Debian: apt-get install nginx-light wrk)")
    run = Path(tempfile.mkdtemp(prefix="trimtab-bench-"))
    upstream, proxy, ours = free_port(), free_port(), free_port()
    running: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], **env: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **env})
        running.append(process)
        return process

    def nginx_with(name: str, body: str) -> list[str]:
        path = run / f"{name}.conf"
        path.write_text(COMMON.format(run=run, name=name, body=body))
        return [nginx, "-c", str(path), "-p", str(run)]

    try:
        wait_for(upstream, start(nginx_with("up", UPSTREAM.format(port=upstream, answer=json.dumps(COMPLETION)))))
        neighbour = start(nginx_with("proxy", PROXY.format(port=proxy, upstream=upstream)))
        wait_for(proxy, neighbour)
        config = run / "trimtab.yaml"
        config.write_text(CONFIG.format(upstream=upstream))
        command = [sys.executable, "-m", "trimtab", "up", "--port", str(ours), "--data", str(run / "data"),
                   "--config", str(config)]  # fmt: skip
        server = start(command, TRIMTAB_ADMIN_KEY=KEY, BENCH_KEY="sk-bench")
        wait_for(ours, server)
        figures = []
        for port, process, peer in ((proxy, neighbour, "nginx"), (ours, server, "trimtab")):
            ask_once(port)
            print(f"{peer}: {options.seconds} s of load ...", flush=True)
            figures.append(load(port, process.pid, peer, run, options))
    finally:
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(15)
        shutil.rmtree(run, ignore_errors=True)
    report(figures)


def report(figures: list[Figure]) -> None:
    base = figures[0]
    print(f"\n{'peer':<9}{'CPU us/req':>12}{'x nginx/core':>14}{'req/s':>10}{'errors':>8}{'MiB':>7}")
    for f in figures:
        ratio = base.cpu_us / f.cpu_us
        print(f"{f.peer:<9}{f.cpu_us:>12.0f}{ratio:>14.3f}{f.per_second:>10.0f}{f.errors:>8}{f.memory_mib:>7.0f}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([asdict(f) for f in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
