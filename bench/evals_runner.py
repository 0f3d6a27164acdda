#!/usr/bin/env python3
"""How near a run comes to the time that its provider alone would take, how much memory it needs, what a kill costs.

A provider that answers after 50 ms is asked 10,000 cases, 200 at once, in a process of its own; every answer is scored
by two checks and logged. The ideal time is cases x latency / concurrency. The limits are 1.15 of it and 300 MB. Then a
run is killed (SIGKILL) in the middle and resumed: no answer that had come may be asked for again.

    python bench/evals_runner.py [--cases 10000] [--concurrency 200] [--latency-ms 50] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from trimtab.evals import Case, Output, Run, RunLog, Runner, Settings, make_scorers
from trimtab.store import Metadata

RESULT = Path(__file__).parent / "results" / "evals_runner.json"
RUN = "run_bench"
LIMIT_RATIO, LIMIT_MB = 1.15, 300


class Provider:
    """Answers after a moment, and writes down which case it was asked."""

    digest = "bench"

    def __init__(self, latency_s: float, calls: Path) -> None:
        self._latency_s = latency_s
        self._file = os.open(calls, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def __call__(self, case: Case, repeat: int) -> Output:
        await asyncio.sleep(self._latency_s)
        os.write(self._file, f"{case.id}\n".encode())
        text = f"The answer to {case.input} is {case.expected}. " + "It takes a hundred words to say so. " * 12
        return Output(text=text + case.expected, question=case.input, cost_usd=0.0001)


async def run(folder: Path, cases: int, concurrency: int, latency_ms: float) -> dict[str, Any]:
    """One run, or the rest of one that was killed."""
    metadata = Metadata.open(folder / "metadata.db")
    log = RunLog(metadata)
    asked = [Case(id=f"c{n}", input=f"question {n}", expected=str(n)) for n in range(cases)]
    if not await log.recent(limit=1):
        await log.add(Run(id=RUN, name="bench", state="running"), asked)
    scorers = make_scorers(["numeric", {"kind": "contains", "text": "answer"}], None)  # type: ignore[arg-type]
    runner = Runner(
        cases=asked, target=Provider(latency_ms / 1000, folder / "calls"), scorers=scorers,
        settings=Settings(concurrency=concurrency), run_id=RUN, log=log, journal=folder / "journal",
    )  # fmt: skip
    began, cpu = time.monotonic(), time.process_time()
    progress = await runner()
    seconds = time.monotonic() - began
    summary = {row["name"]: row["n"] for row in await log.summary(RUN)}
    metadata.close()
    if progress.done != cases or set(summary.values()) != {cases}:
        raise SystemExit(f"the run is not whole: {progress} {summary}")
    return {
        "seconds": seconds, "cpu_seconds": time.process_time() - cpu, "before": progress.before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def start(folder: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    command = [sys.executable, __file__, "--inside", str(folder), "--cases", str(options.cases), "--concurrency",
               str(options.concurrency), "--latency-ms", str(options.latency_ms)]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def whole(options: argparse.Namespace) -> dict[str, Any]:
    """One run from beginning to end."""
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as folder:
        process = start(Path(folder), options)
        said, _ = process.communicate(timeout=600)
        if process.returncode:
            raise SystemExit("a run failed")
        found: dict[str, Any] = json.loads(said)
        return found


def killed(options: argparse.Namespace) -> dict[str, Any]:
    """A run that is killed when half of its calls are done, and resumed."""
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as name:
        folder = Path(name)
        calls = folder / "calls"
        process = start(folder, options)
        while not calls.exists() or calls.read_bytes().count(b"\n") < options.cases / 2:
            if process.poll() is not None:
                raise SystemExit("the run ended before it was killed")
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        paid = calls.read_text().splitlines()
        process = start(folder, options)
        said, _ = process.communicate(timeout=600)
        resumed = json.loads(said)
        after = calls.read_text().splitlines()[len(paid) :]
        repeated = set(paid) & set(after)
        return {
            "paid_before_the_kill": len(paid),
            "scored_before_the_kill": resumed["before"],
            "asked_after_it": len(after),
            "paid_twice": len(repeated),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        print(json.dumps(uvloop.run(run(options.inside, options.cases, options.concurrency, options.latency_ms))))
        return
    ideal = options.cases * options.latency_ms / 1000 / options.concurrency
    rounds = []
    for number in range(options.rounds):
        found = whole(options)
        found["ratio"] = found["seconds"] / ideal
        print(f"round {number + 1}: {found['seconds']:.2f} s, {found['ratio']:.3f} of the ideal, "
              f"{found['peak_mb']:.0f} MB", file=sys.stderr, flush=True)  # fmt: skip
        rounds.append(found)
    best = min(rounds, key=lambda found: found["ratio"])
    result = {
        "command": f"python bench/evals_runner.py --cases {options.cases} --concurrency {options.concurrency} "
                   f"--latency-ms {options.latency_ms:g} --rounds {options.rounds}",
        "cases": options.cases, "concurrency": options.concurrency, "latency_ms": options.latency_ms,
        "ideal_seconds": ideal, "best": best, "rounds": rounds, "load_average": os.getloadavg()[0],
        "limits": {"ratio": LIMIT_RATIO, "mb": LIMIT_MB}, "killed": killed(options),
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    kept = best["ratio"] <= LIMIT_RATIO and best["peak_mb"] <= LIMIT_MB
    sys.exit(0 if kept and not result["killed"]["paid_twice"] else 1)


if __name__ == "__main__":
    main()
