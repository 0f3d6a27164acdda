#!/usr/bin/env python3
"""Whether the server's memory stays flat while it takes in a million spans.

Starts the server as it starts by itself, with its embedded store in a scratch folder, sends it spans over OTLP/HTTP as
bench/traces does, and reads its resident memory ten times a second and after each tenth of the spans.

    python bench/traces_memory.py [--spans 1000000]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "traces"))

from load import SPANS
from measures import ingest
from peers import Trimtab

RESULT = Path(__file__).parent / "results" / "traces_memory.json"
#: Megabytes that the server may take at most, and by which it may grow over the second half.
MOST_MB, GROWTH_MB = 250.0, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description="whether the server's memory stays flat while it takes in spans")
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as scratch:
        server = Trimtab(Path(scratch) / "trimtab")
        server.start()
        try:
            found = ingest(server, options.spans // SPANS // 25 * 25, options.seed, say, wait_s=600)
        finally:
            server.stop()
    print(file=sys.stderr)
    tenths = found.rss_mb_by_tenth
    growth = round(tenths[-1] - tenths[max(0, len(tenths) // 2 - 1)], 1)
    result = {
        "command": f"python bench/traces_memory.py --spans {options.spans}",
        "spans": found.spans,
        "took_s": round(time.monotonic() - started),
        "rss_mb_idle": round(found.rss_mb_idle, 1),
        "rss_mb_by_tenth": tenths,
        "rss_mb_peak": round(found.rss_mb_peak, 1),
        "rss_mb_growth_over_the_second_half": growth,
        "cpu_s_per_1000_spans": round(found.cpu_s_per_1000_spans, 3),
        "holds": {"peak": found.rss_mb_peak <= MOST_MB, "growth": growth <= GROWTH_MB},
        "load_average": os.getloadavg(),
    }
    print(json.dumps(result, indent=2))
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def say(line: str) -> None:
    print(f"\r{line}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
