#!/usr/bin/env python3
"""Gateways beside each other in one run: nginx, Trimtab, LiteLLM and Portkey, in front of the same upstreams.

nginx as a plain reverse proxy is the bare cost of the two network hops. Trimtab is measured four times. ``trimtab`` is
the gateway itself, which the bars are for: a virtual key with limits, stamps, the recorder with its store, cost.
``+budget`` adds a budget, whose reservations are on disk before a model is asked; ``+watch`` adds the checks, scores
and detectors that every answer goes through; ``+guard`` is Trimtab as it is installed, with the default guard as well.
LiteLLM runs with a master key and no database, Portkey without configuration. Each has one core; the load and the
upstreams have another. One gateway runs at a time. What is read is user + system time of the process tree, until it is
at rest, which holds on a busy machine where requests per second do not. Latencies are medians less those of the
upstream asked directly, in turns.

    python bench/gateway [--only nginx,trimtab] [--seconds 6] [--soak 100000]

Needs Linux, nginx, wrk and taskset (Debian: nginx-light wrk util-linux). Peers are installed into
~/.cache/trimtab-bench at the first run; one that cannot be is named with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from pathlib import Path

from machine import CORES, Stage, free_port
from measures import Effort, Figures, added_latency, check, cpu_per_request, cpu_per_token, soak
from peers import ANSWERING, LITELLM, MODEL, PEERS, PORTKEY, NotHere, Upstreams, nginx_binary, nginx_command

RESULT = Path(__file__).parents[1] / "results" / "gateway.json"
COMPLETION = {
    "id": "chatcmpl-bench", "object": "chat.completion", "created": 1700000000, "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "The quick brown fox jumps. " * 30},
                 "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 200, "total_tokens": 320},
}  # fmt: skip
COLUMNS = (
    ("cpu_us_short", "CPU us/req", 0), ("cpu_us_long", "2k prompt", 0), ("nginx_share", "of nginx", 3),
    ("per_second_short", "req/s", 0), ("added_ms", "added p50 ms", 2), ("added_first_ms", "added TTFB", 2),
    ("cpu_us_token", "us/token", 1), ("idle_mib", "idle MiB", 0), ("start_s", "start s", 2),
)  # fmt: skip
#: What Trimtab must hold: the figure, its bound, and whether it is a least (True) or a most.
BARS = (
    ("CPU us a request, short prompt", "cpu_us_short", 200.0, False),
    ("share of nginx's requests a core-second", "nginx_share", 0.10, True),
    ("times LiteLLM's", "litellm_times", 40.0, True),
    ("times Portkey's", "portkey_times", 8.0, True),
    ("added p50 ms", "added_ms", 0.8, False),
    ("added time to first byte, ms", "added_first_ms", 1.0, False),
    ("CPU us a streamed token", "cpu_us_token", 15.0, False),
    ("idle MiB", "idle_mib", 90.0, False),
    ("start s", "start_s", 2.0, False),
    ("MiB per 10,000 requests, last half of the soak", "soak_mib_per_10k", 0.5, False),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="gateways beside each other in one run")
    parser.add_argument("--only", default=",".join(PEERS), help=f"which of {', '.join(PEERS)}; nginx is the measure")
    parser.add_argument("--seconds", type=int, default=6, help="of each load")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--soak", type=int, default=0, metavar="REQUESTS", help="watch Trimtab's memory over so many")
    options = parser.parse_args()
    missing = [name for name in ("wrk", "taskset") if not shutil.which(name)]
    if missing or not Path(nginx_binary()).exists():
        raise SystemExit("needs nginx, wrk and taskset (Debian: apt-get install nginx-light wrk util-linux)")
    effort = Effort(options.seconds, options.connections, requests=1600, streams=20)
    names = [name for name in PEERS if name in options.only.split(",")]
    found = [measure(name, effort, options.soak if name == "trimtab" else 0) for name in names]
    compare(found)
    report(found, options)


def measure(name: str, effort: Effort, soak_requests: int) -> Figures:
    """All figures of one gateway, upstreams of its own beside it."""
    figures = Figures(name)
    with Stage() as stage:
        up = Upstreams(free_port(), free_port())
        answering = ANSWERING.format(port=up.plain, answer=json.dumps(COMPLETION))
        stage.start("up", nginx_command(stage, "up", answering), core=1).wait_for(up.plain, 10)
        streaming = [sys.executable, str(Path(__file__).with_name("upstream.py")), str(up.sse)]
        stage.start("sse", streaming, core=1).wait_for(up.sse, 10)
        try:
            gateway = PEERS[name](stage, up)
        except NotHere as error:
            figures.why = str(error)
            print(f"{name}: not measured: {error}", flush=True)
            return figures
        figures.values |= {"start_s": gateway.start_s, "idle_mib": gateway.idle_mib}
        print(f"{name}: up after {gateway.start_s:.2f} s; measuring ...", flush=True)
        check(gateway)
        added_latency(gateway, (up.plain, up.sse), figures, effort)
        cpu_per_request(stage, gateway, figures, effort)
        cpu_per_token(gateway, figures, effort)
        if soak_requests:
            soak(stage, gateway, figures, soak_requests, effort.connections)
        figures.values["memory_mib"] = gateway.process.memory_mib()
    return figures


def compare(found: list[Figures]) -> None:
    """Ratios of requests a core-second, the inverse of CPU time a request."""
    cpu = {figures.name: figures.values["cpu_us_short"] for figures in found if figures.values}
    for figures in found:
        if figures.name == "trimtab+watch" and "trimtab" in cpu:
            figures.values["watching_share"] = 1.0 - cpu["trimtab"] / cpu[figures.name]
        if figures.values and "nginx" in cpu:
            figures.values["nginx_share"] = cpu["nginx"] / cpu[figures.name]
        for peer in ("litellm", "portkey"):
            if figures.name == "trimtab" and peer in cpu:
                figures.values[f"{peer}_times"] = cpu[peer] / cpu["trimtab"]


def report(found: list[Figures], options: argparse.Namespace) -> None:
    print("\n" + f"{'':<15}" + "".join(f"{title:>14}" for _, title, _ in COLUMNS) + f"{'bad':>6}")
    for figures in found:
        if figures.why:
            print(f"{figures.name:<15}  not measured: {figures.why}")
            continue
        cells = "".join(f"{figures.values.get(key, float('nan')):>14.{digits}f}" for key, _, digits in COLUMNS)
        print(f"{figures.name:<15}{cells}{figures.bad:>6}")
    ours = next((figures.values for figures in found if figures.name == "trimtab"), {})
    bars = []
    for title, key, bound, least in BARS:
        if key in ours:
            holds = ours[key] >= bound if least else ours[key] <= bound
            bars.append({"bar": title, "value": round(ours[key], 3), "bound": bound, "holds": holds})
            print(f"{'holds ' if holds else 'MISSES'}  {title}: {ours[key]:.3g} ({'>=' if least else '<='} {bound:g})")
    RESULT.parent.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "cores": len(CORES), "load": [round(x, 1) for x in os.getloadavg()]}
    peers = {
        figures.name: {"not_measured": figures.why}
        if figures.why
        else {"bad": figures.bad, **{key: round(value, 4) for key, value in figures.values.items()}}
        for figures in found
    }
    versions = {"litellm": LITELLM, "portkey": PORTKEY}
    whole = {"machine": machine, "seconds": options.seconds, "versions": versions, "peers": peers, "bars": bars}
    RESULT.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
