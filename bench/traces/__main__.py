#!/usr/bin/env python3
"""Taking traces in, beside MLflow and Phoenix in one sitting: durable spans a second, CPU, memory, kill -9, latency.

Each server runs as it starts by itself, with its embedded store in a scratch folder, and is sent the same telemetry
over OTLP/HTTP by four senders, 25 traces (150 spans) a request. Durable is what the server itself counts in the end,
over the time until it did. CPU is user and system time of all its processes, decoding included; where it goes, by
stage, is measured in this process first. The servers take turns (Trimtab, MLflow, Phoenix, Trimtab), because figures
move with what else the machine does: read the ratios.

    python bench/traces --mlflow ~/venvs/mlflow --phoenix ~/venvs/phoenix [--spans 200000] [--peer-spans 6000]

A peer is a virtual environment in which `mlflow` or `arize-phoenix` is installed; without one only Trimtab is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from load import SPANS
from measures import Ingest, ingest, kills
from peers import MLflow, NotHere, Phoenix, Server, Trimtab
from stages import stages

RESULT = Path(__file__).parents[1] / "results" / "traces.json"
#: What Trimtab must hold: the figure, its bound, and whether it is a least (True) or a most.
BARS = (
    ("times MLflow's durable spans/s", "mlflow_times", 10.0, True),
    ("times Phoenix's durable spans/s", "phoenix_times", 50.0, True),
    ("CPU s per 1,000 spans", "cpu_s_per_1000_spans", 0.3, False),
    ("RSS peak, MB", "rss_mb_peak", 250.0, False),
    ("RSS growth over the last half, MB", "rss_mb_growth", 20.0, False),
    ("rounds that lost something", "kill_rounds_lost", 0.0, False),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="taking traces in, beside MLflow and Phoenix in one sitting")
    parser.add_argument("--spans", type=int, default=200_000, help="sent to Trimtab")
    parser.add_argument("--peer-spans", type=int, default=6000, help="sent to each peer")
    parser.add_argument("--mlflow", type=Path, help="a virtual environment with mlflow")
    parser.add_argument("--phoenix", type=Path, help="a virtual environment with arize-phoenix")
    parser.add_argument("--kills", type=int, default=20, help="rounds of kill -9")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    result: dict[str, Any] = {
        "command": " ".join(["python", "bench/traces", *sys.argv[1:]]),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "not_measured": {},
    }
    say("stages ...")
    result["cpu_us_per_span_by_stage"] = stages(2500, options.seed)
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as scratch:
        folder = Path(scratch)
        result["trimtab"] = [measure(Trimtab(folder / "trimtab-1"), options.spans, options.seed).told()]
        for name, venv, make in (("mlflow", options.mlflow, MLflow), ("phoenix", options.phoenix, Phoenix)):
            if venv is None:
                result["not_measured"][name] = f"no virtual environment was given (--{name})"
                continue
            try:
                result[name] = measure(make(folder / name, venv), options.peer_spans, options.seed).told()
                result[name]["version"] = version(venv, {"mlflow": "mlflow", "phoenix": "arize-phoenix"}[name])
            except NotHere as error:
                result["not_measured"][name] = str(error)
        result["trimtab"].append(measure(Trimtab(folder / "trimtab-2"), options.spans // 4, options.seed + 100).told())
        if options.kills:
            result["kill -9"] = kills(Trimtab(folder / "killed"), options.kills, options.seed, say)
    result["machine"]["load_after"] = os.getloadavg()[0]
    compare(result)
    say("")
    print(json.dumps(result, indent=2))
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def measure(server: Server, spans: int, seed: int) -> Ingest:
    """Start it, send it so many spans, stop it."""
    server.start()
    try:
        found = ingest(server, max(25, spans // SPANS // 25 * 25), seed, say)
    finally:
        server.stop()
    found.disk_bytes_per_span = server.disk_bytes() / found.spans
    return found


def version(venv: Path, package: str) -> str:
    """The version of what was measured."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([venv / "bin" / "python", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def compare(result: dict[str, Any]) -> None:
    """Ratios, and whether what must hold does."""
    runs = result["trimtab"]
    tenths = runs[0]["rss_mb_by_tenth"]
    figures = {
        "cpu_s_per_1000_spans": max(run["cpu_s_per_1000_spans"] for run in runs),
        "rss_mb_peak": max(run["rss_mb_peak"] for run in runs),
        "rss_mb_growth": tenths[-1] - tenths[max(0, len(tenths) // 2 - 1)] if tenths else 0.0,
    }
    for name in ("mlflow", "phoenix"):
        if name in result:
            least = min(run["durable_spans_per_s"] for run in runs)
            figures[f"{name}_times"] = least / result[name]["durable_spans_per_s"]
            figures[f"{name}_cpu_times"] = result[name]["cpu_s_per_1000_spans"] / figures["cpu_s_per_1000_spans"]
    if "kill -9" in result:
        figures["kill_rounds_lost"] = result["kill -9"]["rounds"] - result["kill -9"]["whole"]
    result["figures"] = {name: round(value, 3) for name, value in figures.items()}
    result["bars"] = {
        said: {
            "is": round(figures[name], 3),
            "bar": bar,
            "holds": figures[name] >= bar if least else figures[name] <= bar,
        }
        for said, name, bar, least in BARS
        if name in figures
    }


def say(line: str) -> None:
    """One line that is written over."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    elif line and (line.endswith("0 spans answered") or "lost" in line):
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
