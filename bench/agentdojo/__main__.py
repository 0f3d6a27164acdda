#!/usr/bin/env python3
"""Action screening against the worst agent: AgentDojo's 97 tasks and 629 attack pairs, with no model.

Needs the package agentdojo (``pip install agentdojo==0.1.35``), which is no dependency of Trimtab.

    python bench/agentdojo [--modes policy plan default none dual gullible] [--wordings bare ...] [--sample N]
                           [--suites banking ...] [--out FILE]

``policy``: one policy a suite, no plan. ``plan``: the defaults, and a plan of tool names. ``default``: the defaults
alone. ``shipped``: the action stage of the policy that Trimtab ships. ``dual``: the dual-LLM controller with scripted
planner and reader; ``gullible``: with a reader that obeys.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
RESULT = Path(__file__).parent.parent / "results" / "agentdojo.json"
MODES = ("policy", "plan", "default", "shipped", "none", "dual", "gullible")


def main() -> None:
    """Measure and write the result."""
    asked = _asked()
    try:
        import worst_case
        from dual_case import run_dual
        from screens import Trimtab
    except ImportError as error:
        sys.exit(f"{error}. Install it: pip install agentdojo==0.1.35")
    suites = {name: suite for name, suite in worst_case.suites().items() if name in asked.suites}
    result: dict[str, Any] = json.loads(asked.out.read_text()) if asked.add and asked.out.exists() else {"modes": {}}
    for wording, mode in itertools.product(asked.wordings, asked.modes):
        times: list[float] = []

        def one(suite: Any, task: Any, injection: Any, mode: str = mode, wording: str = wording) -> Any:
            if mode in ("dual", "gullible"):
                return run_dual(suite, task, injection, wording, gullible=mode == "gullible")
            return worst_case.run_one(suite, task, injection, make, wording)

        def make(mode: str = mode, times: list[float] = times) -> Any:
            if mode == "none":
                return worst_case.AllowAll()
            return Trimtab(kind=mode, times=times)

        began = time.time()
        rows = _rows(suites, one, asked.sample, worst_case.scripted)
        found = {**_summary(rows), **({"decision_ms": _quantiles(times)} if times else {})}
        result["modes"].setdefault(mode, {})[wording] = found
        print(f"{mode:9} {wording:10} {json.dumps(found['all'])} {time.time() - began:.0f} s", flush=True)
        asked.out.write_text(json.dumps(result | _facts(asked, worst_case.VERSION), indent=1) + "\n")


def _facts(asked: argparse.Namespace, version: str) -> dict[str, Any]:
    """What was measured, with what and how."""
    return {
        "command": f"python bench/agentdojo {' '.join(sys.argv[1:])}".strip(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "agentdojo": version,
        "sample": asked.sample or "every pair",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "decision_ms": "processor time of one decision, with the first look at new tool results",
    }


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["policy", "plan", "default", "dual", "gullible"])
    names = ("bare", "ignore", "important", "tooloutput", "aside", "postscript", "handover")
    parser.add_argument("--wordings", nargs="+", choices=names, default=list(names))
    parser.add_argument("--suites", nargs="+", default=["workspace", "travel", "banking", "slack"])
    parser.add_argument("--sample", type=int, default=0, help="attack pairs a suite; 0: all")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--add", action="store_true", help="keep the modes that the result has already")
    return parser.parse_args()


def _rows(suites: Any, one: Callable[..., Any], sample: int, scripted: Callable[[Any], Sequence[Any]]) -> list[Any]:
    rows: list[Any] = []
    for suite in suites.values():
        tasks = list(suite.user_tasks.values())
        rows += [one(suite, task, None) for task in tasks]
        pairs = [(task, injection) for task in tasks for injection in scripted(suite)]
        if sample:
            pairs = random.Random(0).sample(pairs, min(sample, len(pairs)))
        rows += [one(suite, task, injection) for task, injection in pairs]
    return rows


def _summary(rows: Sequence[Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in [*dict.fromkeys(row.suite for row in rows), "all"]:
        mine = [row for row in rows if name in ("all", row.suite)]
        benign, hit = [row for row in mine if not row.injection_task], [row for row in mine if row.injection_task]
        out[name] = {
            "tasks": len(benign),
            "pairs": len(hit),
            "benign_utility": _share([row.done for row in benign]),
            "utility_under_attack": _share([row.done for row in hit]),
            "attacks": sum(row.attacked for row in hit),
            "attack_success": _share([row.attacked for row in hit]),
            "exposed": _share([row.exposed for row in hit]),
        }
    return {
        **out,
        "lost": [f"{row.suite}/{row.user_task}" for row in rows if not row.injection_task and not row.done],
        "won": [f"{row.suite}/{row.user_task}/{row.injection_task}" for row in rows if row.attacked],
    }


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / len(flags), 4) if flags else 0.0


def _quantiles(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    found = {name: round(ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1000, 3) for name, q in at.items()}
    return {**found, "decisions": len(times)}


if __name__ == "__main__":
    main()
