"""The gateways that are compared: how each is installed, started and spoken to.

Peers are installed once, into a cache folder of their own, with the versions that the figures were taken with.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from machine import Process, Stage, free_port, post

LITELLM, PORTKEY, NODE_SERVER = "1.106.2", "1.15.2", "1.13.8"
MODEL = "gpt-4o-mini"  # every gateway has a price for it
ADMIN = "bench-admin-key-0123456789"
SECRET = {"authorization": "Bearer sk-bench"}
INSTALL_S = 1800

NGINX = """
worker_processes 1; daemon off; pid {run}/{name}.pid; error_log {run}/{name}.err warn;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; client_body_buffer_size 256k;
  client_body_temp_path {run}/{name}_b; proxy_temp_path {run}/{name}_p;
  fastcgi_temp_path {run}/{name}_f; uwsgi_temp_path {run}/{name}_u; scgi_temp_path {run}/{name}_s;
  {body}
}}
"""
ANSWERING = (
    "server {{ listen 127.0.0.1:{port} backlog=1024; default_type application/json;"
    " location / {{ return 200 '{answer}'; }} }}"
)
PROXYING = (
    "upstream plain {{ server 127.0.0.1:{plain}; keepalive 256; }}"
    " upstream sse {{ server 127.0.0.1:{sse}; keepalive 256; }}"
    ' server {{ listen 127.0.0.1:{port} backlog=1024; proxy_http_version 1.1; proxy_set_header Connection "";'
    " location /v1/ {{ proxy_pass http://plain; }}"
    " location /stream/v1/ {{ proxy_buffering off; proxy_pass http://sse/v1/; }} }}"
)
TRIMTAB = """
providers:
  plain: {{kind: openai, base_url: "http://127.0.0.1:{plain}/v1", api_key: "env:BENCH_KEY"}}
  sse: {{kind: openai, base_url: "http://127.0.0.1:{sse}/v1", api_key: "env:BENCH_KEY"}}
routes:
  bench: {{targets: [{{model: plain/{model}}}], guard: "guards:/{guard}@production"}}
  bench-stream: {{targets: [{{model: sse/{model}}}], guard: "guards:/{guard}@production"}}
"""
LITELLM_CONFIG = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{plain}/v1", api_key: sk-up}}
  - model_name: bench-stream
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{sse}/v1", api_key: sk-up}}
general_settings: {{master_key: sk-bench}}
litellm_settings: {{telemetry: false}}
"""


class NotHere(Exception):
    """A peer cannot be had on this machine; the text says why."""


@dataclass(frozen=True)
class Upstreams:
    """Ports of the two upstreams: one answers plainly, one streams."""

    plain: int
    sse: int


@dataclass(frozen=True)
class Gateway:
    """A running gateway, ready for its first request."""

    name: str
    port: int
    process: Process
    start_s: float
    idle_mib: float
    headers: Mapping[str, str] = field(default_factory=dict)
    stream_headers: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    stream_path: str = "/v1/chat/completions"
    model: str = "bench"
    stream_model: str = "bench-stream"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    @property
    def stream_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.stream_path}"


def nginx_binary() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"


def nginx_command(stage: Stage, name: str, body: str) -> list[str]:
    path = stage.folder / f"{name}.conf"
    path.write_text(NGINX.format(run=stage.folder, name=name, body=body))
    return [nginx_binary(), "-c", str(path), "-p", str(stage.folder)]


def _up(name: str, process: Process, port: int, boot_s: float, **more: object) -> Gateway:
    """Wait for the port, then let it come to rest, so that idle means idle."""
    process.wait_for(port, boot_s)
    start_s = time.monotonic() - process.started
    process.settle(30)
    return Gateway(name, port, process, start_s, process.memory_mib(), **more)  # type: ignore[arg-type]


def nginx(stage: Stage, up: Upstreams) -> Gateway:
    port = free_port()
    command = nginx_command(stage, "proxy", PROXYING.format(port=port, plain=up.plain, sse=up.sse))
    process = stage.start("nginx", command, core=0)
    return _up("nginx", process, port, 10, stream_path="/stream/v1/chat/completions")


def trimtab(stage: Stage, up: Upstreams) -> Gateway:
    """The gateway itself: a virtual key with limits, stamp, recorder and store, cost."""
    return _trimtab("trimtab", stage, up, watching=False)


def trimtab_budget(stage: Stage, up: Upstreams) -> Gateway:
    """The same with a budget: what a request may cost is on disk before its model is asked."""
    return _trimtab("trimtab+budget", stage, up, watching=False, budget_usd=10**6)


def trimtab_watch(stage: Stage, up: Upstreams) -> Gateway:
    """The same, and every answer is checked, scored and watched."""
    return _trimtab("trimtab+watch", stage, up)


def trimtab_guard(stage: Stage, up: Upstreams) -> Gateway:
    """As it is installed: everything on, the default guard too."""
    return _trimtab("trimtab+guard", stage, up, guard="default")


def _trimtab(
    name: str, stage: Stage, up: Upstreams, *, watching: bool = True, guard: str = "open", **limits: int
) -> Gateway:
    port = free_port()
    config = stage.folder / "trimtab.yaml"
    config.write_text(TRIMTAB.format(plain=up.plain, sse=up.sse, model=MODEL, guard=guard))
    program = ["-m", "trimtab"] if watching else [str(Path(__file__).with_name("serve_only.py"))]
    command = [sys.executable, *program, "up", "--port", str(port), "--data", str(stage.folder / "data"),
               "--config", str(config)]  # fmt: skip
    # With its bytecode beside it, as every installed package has it; a checkout may have none.
    bytecode = {"PYTHONPYCACHEPREFIX": str(cache("bytecode")), "PYTHONDONTWRITEBYTECODE": ""}
    run([sys.executable, "-c", "import trimtab.cli.up, trimtab.web.server"], env=bytecode)
    process = stage.start(
        "trimtab", command, core=0, env={"TRIMTAB_ADMIN_KEY": ADMIN, "BENCH_KEY": "sk-up", **bytecode}
    )
    gateway = _up(name, process, port, 30)
    admin = {"authorization": f"Bearer {ADMIN}"}
    # A guard that has nothing to look for: what scanning costs is the policy's, and is measured by itself.
    nothing = {"content": {"stages": {}}, "label": "production"}
    post(f"http://127.0.0.1:{port}/api/versions/guards/open", json.dumps(nothing).encode(), admin)
    wanted = {"name": "bench", "rpm": 10_000_000, "tpm": 10**9, "max_parallel": 1000, **limits}
    made = post(f"http://127.0.0.1:{port}/api/keys", json.dumps(wanted).encode(), admin)
    headers = {"authorization": f"Bearer {json.loads(made)['secret']}"}
    return Gateway(gateway.name, port, process, gateway.start_s, gateway.idle_mib, headers, headers)


def litellm(stage: Stage, up: Upstreams) -> Gateway:
    binaries = cache(f"litellm-{LITELLM}") / "bin"
    if not (binaries / "litellm").exists():
        print(f"installing litellm[proxy]=={LITELLM} into {binaries.parent} ...", flush=True)
        run([sys.executable, "-m", "venv", str(binaries.parent)])
        run([str(binaries / "pip"), "install", "--quiet", f"litellm[proxy]=={LITELLM}"])
    config = stage.folder / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(plain=up.plain, sse=up.sse, model=MODEL))
    port = free_port()
    command = [str(binaries / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port),
               "--num_workers", "1", "--telemetry", "False"]  # fmt: skip
    env = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": f"{binaries}:{os.environ['PATH']}"}
    process = stage.start("litellm", command, core=0, env=env)
    return _up("litellm", process, port, 180, headers=SECRET, stream_headers=SECRET)


def portkey(stage: Stage, up: Upstreams) -> Gateway:
    if not (shutil.which("npm") and shutil.which("node")):
        raise NotHere("node and npm are not installed")
    folder = cache(f"portkey-{PORTKEY}")
    server = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    if not server.exists():
        print(f"installing @portkey-ai/gateway {PORTKEY} into {folder} ...", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        # With the newest @hono/node-server every stream of it fails.
        wanted = {
            "private": True,
            "dependencies": {"@portkey-ai/gateway": PORTKEY},
            "overrides": {"@hono/node-server": NODE_SERVER},
        }
        (folder / "package.json").write_text(json.dumps(wanted))
        run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)])
    port = free_port()
    env = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    process = stage.start("portkey", ["node", str(server), f"--port={port}", "--headless"], core=0, env=env)
    common = {**SECRET, "x-portkey-provider": "openai"}
    return _up(
        "portkey", process, port, 60,
        headers={**common, "x-portkey-custom-host": f"http://127.0.0.1:{up.plain}/v1"},
        stream_headers={**common, "x-portkey-custom-host": f"http://127.0.0.1:{up.sse}/v1"},
    )  # fmt: skip


PEERS = {
    "nginx": nginx,
    "trimtab": trimtab,
    "trimtab+budget": trimtab_budget,
    "trimtab+watch": trimtab_watch,
    "trimtab+guard": trimtab_guard,
    "litellm": litellm,
    "portkey": portkey,
}


def cache(name: str) -> Path:
    return Path.home() / ".cache" / "trimtab-bench" / name


def run(command: list[str], env: Mapping[str, str] | None = None) -> None:
    """A step of an installation. Raises NotHere with the end of what it said."""
    around = {**os.environ, **(env or {})}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False, env=around)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHere(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NotHere(f"{' '.join(command[:4])} ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
