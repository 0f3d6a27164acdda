"""What is measured of a gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import Stage, pinned, post
from peers import Gateway

QUESTION = "How do I reset the pump? "
SHORT, LONG = QUESTION * 20, QUESTION * 450  # about 120 and 2,200 tokens
TOKENS = 200
CLIENT = Path(__file__).with_name("client.py")
LUA = """
function init(args)
  local file = assert(io.open(args[1], "rb")); local body = file:read("*a"); file:close()
  local headers = {["Content-Type"] = "application/json"}
  for i = 2, #args do local name, value = args[i]:match("^([^=]+)=(.*)$"); headers[name] = value end
  asked = wrk.format("POST", nil, headers, body)
end
function request() return asked end
function done(summary)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d\\n", summary.requests, e.status + e.connect + e.read + e.timeout,
                         summary.duration))
end
"""


@dataclass
class Figures:
    """One gateway's figures; what was not measured is missing. ``why`` says why a peer has none."""

    name: str
    why: str = ""
    values: dict[str, float] = field(default_factory=dict)
    bad: int = 0


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    seconds: int
    connections: int
    requests: int
    streams: int


def body(model: str, text: str, **more: Any) -> str:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more})


def streaming(model: str) -> str:
    return body(model, SHORT, stream=True, max_tokens=TOKENS, stream_options={"include_usage": True})


def check(gateway: Gateway) -> None:
    """One right answer of each kind before anything is timed."""
    answer = json.loads(post(gateway.url, body(gateway.model, SHORT).encode(), gateway.headers))
    assert answer["usage"]["total_tokens"] == 320, answer
    stream = post(gateway.stream_url, streaming(gateway.stream_model).encode(), gateway.stream_headers)
    # A guard may pass a stream on in other pieces than it came in.
    assert len(re.findall(rb"token\d\d", stream)) >= 0.99 * TOKENS, stream[-500:]


def load(stage: Stage, gateway: Gateway, text: str, seconds: int, connections: int) -> tuple[int, int, float]:
    """Requests, errors and seconds of one run of wrk."""
    (stage.folder / "post.lua").write_text(LUA)
    asked = stage.folder / "body.json"
    asked.write_text(body(gateway.model, text))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(stage.folder / "post.lua"), gateway.url,
               "--", str(asked), *(f"{name}={value}" for name, value in gateway.headers.items())]  # fmt: skip
    said = subprocess.run(pinned(command, 1), capture_output=True, text=True, check=True, timeout=seconds + 120).stdout
    requests, errors, duration = map(int, said.split("RESULT ")[1].split())
    return requests, errors, duration / 1e6


def cpu_per_request(stage: Stage, gateway: Gateway, figures: Figures, effort: Effort) -> None:
    """CPU time a request, all that follows from it included."""
    for label, text in (("short", SHORT), ("long", LONG)):
        load(stage, gateway, text, min(2, effort.seconds), effort.connections)
        gateway.process.settle()
        before = gateway.process.cpu_seconds()
        requests, errors, duration = load(stage, gateway, text, effort.seconds, effort.connections)
        gateway.process.settle()
        spent = gateway.process.cpu_seconds() - before
        figures.bad += errors
        figures.values[f"cpu_us_{label}"] = 1e6 * spent / requests
        figures.values[f"per_second_{label}"] = requests / duration


def client(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run the client in a process of its own on the load's core."""
    command = pinned([sys.executable, str(CLIENT)], 1)
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=600, check=True)
    return dict(json.loads(done.stdout))


def added_latency(gateway: Gateway, ports: tuple[int, int], figures: Figures, effort: Effort) -> None:
    """Medians at one connection, less those of the upstream asked directly in turns with it."""
    plain, sse = (f"http://127.0.0.1:{port}/v1/chat/completions" for port in ports)
    sides = (
        ("added_ms", "whole_ms", plain, gateway.url, body(gateway.model, SHORT), gateway.headers, effort.requests),
        ("added_first_ms", "first_ms", sse, gateway.stream_url, streaming(gateway.stream_model),
         gateway.stream_headers, effort.requests // 8),
    )  # fmt: skip
    for name, which, direct, url, asked, headers, requests in sides:
        ways = {
            "direct": {"url": direct, "body": asked, "headers": {}},
            "gateway": {"url": url, "body": asked, "headers": dict(headers)},
        }
        seen = client({"mode": "pairs", "requests": requests, **ways})
        figures.values[name] = seen["gateway"][which] - seen["direct"][which]
        figures.bad += int(seen["gateway"]["bad"])


def cpu_per_token(gateway: Gateway, figures: Figures, effort: Effort) -> None:
    """CPU time a streamed token, sixteen streams at once, all that follows from them included."""
    job = {
        "mode": "streams",
        "streams": 16,
        "gateway": {
            "url": gateway.stream_url,
            "body": streaming(gateway.stream_model),
            "headers": dict(gateway.stream_headers),
        },
    }
    client({**job, "repeat": 2})
    gateway.process.settle()
    before = gateway.process.cpu_seconds()
    seen = client({**job, "repeat": effort.streams})
    gateway.process.settle()
    spent = gateway.process.cpu_seconds() - before
    expected = 16 * effort.streams * TOKENS
    figures.bad += int(seen["bad"]) + (seen["tokens"] < 0.95 * expected)
    figures.values["cpu_us_token"] = 1e6 * spent / expected
    figures.values["tokens_per_second"] = seen["tokens_per_s"]


def soak(stage: Stage, gateway: Gateway, figures: Figures, total: int, connections: int) -> None:
    """Memory at rest, again and again over many requests, and its slope over the last half of them."""
    points: list[tuple[int, float]] = []
    done = 0
    while done < total:
        requests, errors, _ = load(stage, gateway, SHORT, 5, connections)
        done += requests
        figures.bad += errors
        gateway.process.settle()
        points.append((done, gateway.process.memory_mib()))
        print(f"  {done:>8} requests: {points[-1][1]:.1f} MiB", flush=True)
    late = [point for point in points if point[0] >= done / 2]
    figures.values["soak_requests"] = done
    figures.values["soak_first_mib"], figures.values["soak_last_mib"] = points[0][1], points[-1][1]
    figures.values["soak_mib_per_10k"] = slope(late) * 10_000


def slope(points: list[tuple[int, float]]) -> float:
    """Least squares."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
