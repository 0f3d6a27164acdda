#!/usr/bin/env python3
"""The guard measured: what a scan costs, what each scanner finds, and what it takes for something that it is not.

Suites of cost, of patterned secrets and personal data, of disguises, of every small scanner on texts made for it, and
of attack detection. Without ``--data`` they use the cases that come with Trimtab and its tests; with it, every
``*.jsonl`` and ``*.jsonl.gz`` of the folder (one JSON object a line: ``text`` or ``messages``, ``label``,
``category``, ``spans``).

    python bench/guard [--data DIR] [--only SUITE ...] [--out FILE] [--docs]

``--docs`` writes docs/guard-scanners.md from the result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import detection
import latency
import made
import page
import patterned
import toxic

RESULT = Path(__file__).parent.parent / "results" / "guard.json"
DOCS = Path(__file__).parent.parent.parent / "docs" / "guard-scanners.md"
#: Every suite by name: from the folder of data, or None, to its figures.
SUITES: Mapping[str, Callable[[Path | None], dict[str, Any]]] = {
    **latency.SUITES,
    **patterned.SUITES,
    **made.SUITES,
    **toxic.SUITES,
    **detection.SUITES,
}


def main() -> None:
    """Run the suites and keep what they found; figures of suites that were not run stay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python bench/guard"
    )
    parser.add_argument("--data", type=Path, help="a folder of cases in place of those that come with Trimtab")
    parser.add_argument("--only", nargs="+", choices=list(SUITES), help="only these suites")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the result is read and written")
    parser.add_argument("--docs", action="store_true", help="write docs/guard-scanners.md from the result")
    chosen = parser.parse_args()
    kept = json.loads(chosen.out.read_text(encoding="utf-8")) if chosen.out.exists() else {}
    suites = kept.get("suites", {})
    command = "python bench/guard" + (" --data DIR" if chosen.data else "")
    for number, name in enumerate(chosen.only or SUITES, 1):
        print(f"\r{number}/{len(chosen.only or SUITES)} {name:<24}", end="", file=sys.stderr, flush=True)
        began = time.perf_counter()
        figures = SUITES[name](chosen.data)
        suites[name] = {
            **figures,
            "seconds": round(time.perf_counter() - began, 1),
            "command": f"{command} --only {name}",
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        }
    print(file=sys.stderr)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    result = {"command": command, "machine": machine, "suites": suites}
    chosen.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if chosen.docs:
        DOCS.write_text(page.written(result), encoding="utf-8")
    print(json.dumps({name: suites[name] for name in chosen.only or SUITES}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
