#!/usr/bin/env python3
"""The fault benchmark: a support application with known faults, answered by the real watch, attribution and desk.

    python bench/faults                          # everything: some minutes
    python bench/faults --quick                  # about 20 s
    python bench/faults --only "silent swap" --show
    python bench/faults --split tuned            # the types that a method may be tuned on
    python bench/faults --faults my_faults.py    # types of your own beside ours
    python bench/faults --only-delays --points 5 --delays 4    # only how soon falls of 5 points are seen, more trials
    python bench/faults --gateway prompt,model   # the same story through the real gateway and store

The application is simulated (rules with stated shares instead of a model), the clock too; what watches and explains is
the product's own code, fed in process with spans and scores in the gateway's shape. Hard mode unless ``--easy``: see
bench/faults/surroundings.py. Headline figures are of fault types that no method was tuned on. Writes
bench/results/faultline.json. Exits 1 when ``--bars`` is given and a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.catalogue import FAULTS, PAIRS
from faults.delays import Delay, delay_figures
from faults.driver import LEARNING, Found, Options, delay_plans_of, plans_of, run
from faults.gateway_path import same_story
from faults.report import bars, figures, healthy_figures, pair_figures, said
from faults.scoring import Marks

RESULTS = Path(__file__).parents[1] / "results" / "faultline.json"


def main() -> int:
    args = _arguments()
    if args.list:
        for fault in FAULTS:
            kind = "silent" if fault.silent else fault.carrier
            print(f"{fault.layer}  {fault.name:<28} {kind:<12} {'tuned' if fault.tuned else 'held':<6} {fault.title}")
        return 0
    if args.gateway:
        return same_story(args.gateway.split(","))
    options = Options(
        split=args.split, only=args.only, module=args.faults, repeats=args.repeats,
        pairs=2 if args.quick else args.pairs, healthy=6_000 if args.quick else args.healthy, seed=args.seed,
        hard=not args.easy, judged=args.judged, learning=2_500 if args.quick else args.learning, workers=args.workers,
        quick=args.quick, past=args.past, until=time.time() + 60.0 * args.minutes if args.minutes else 0.0,
        delays=args.delays, falls=tuple(points / 100.0 for points in args.points), only_delays=args.only_delays,
    )  # fmt: skip
    started = time.perf_counter()
    try:
        found = run(options, _show if args.show else lambda _: None)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    result = _result(options, found, time.perf_counter() - started)
    print(said(result))
    whole = not (args.quick or args.only or args.only_delays or args.split != "all")
    out = args.out or (RESULTS if whole else None)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(_written(result), encoding="utf-8")
    return int(args.bars and any(row["held"] is False for row in result["bars"]))


def _result(options: Options, found: Found, seconds: float) -> dict[str, Any]:
    held = [m for m in found.trials if not m.tuned] or found.trials
    single, pairs, quiet = figures(held), pair_figures(found.trials), healthy_figures(found.calm)
    delays = delay_figures(found.delays)
    return {
        "command": "python bench/faults " + " ".join(sys.argv[1:]),
        "options": {name: getattr(options, name) for name in Options.__dataclass_fields__},
        "trials_planned": len(plans_of(options)), "delay_trials_planned": len(delay_plans_of(options)),
        "fault_types": len(FAULTS), "pairs_known": len(PAIRS), "seconds": round(seconds, 1),
        "bars": bars(single, pairs, quiet, delays), "held_out": single,
        "tuned": figures([m for m in found.trials if m.tuned]), "delays": delays, "pairs": pairs, "healthy": quiet,
        "cost": found.cost, "trials": [m.as_dict() for m in found.trials],
        "delay_trials": [d.as_dict() for d in found.delays],
    }  # fmt: skip


def _written(result: dict[str, Any]) -> str:
    """JSON with a line for each trial."""
    parts = []
    for name, value in result.items():
        rows = isinstance(value, list) and value and isinstance(value[0], dict)
        lines = ",\n".join(f"  {json.dumps(row)}" for row in value) if rows else ""
        parts.append(f" {json.dumps(name)}: " + (f"[\n{lines}\n ]" if rows else json.dumps(value)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _show(m: Marks | Delay) -> None:
    if isinstance(m, Delay):
        seen = f"{m.requests:5} req {m.scored:5} {m.signal}/{m.slice or 'all'}" if m.detected else "missed"
        note = "" if m.counts else " (cannot fall so far)"
        fall = f"{m.fall * 100:2.0f} points (severity {m.severity:.3f})"
        print(f"delay {m.fault:<28} {fall} seed {m.seed} outcome {m.points:.3f} {seen}{note}", flush=True)
        return
    seen = f"{m.requests:5} req {m.scored:5} {m.signal:<16}" if m.detected else f"{'missed':<33}"
    verdict = f"{m.certainty:<8} L{m.said or '?'} {'ok ' if m.top1 else 'BAD'} {'exact' if m.exact else '     '}"
    how = f"{m.severity:.2f} {m.reach}/{m.share:.2f} {m.onset[:5]} {'staged' if m.staged else 'instant'}"
    note = "" if m.counts else f" (breaks nothing: {m.harm:.3f})"
    print(f"L{m.layers[0]} {' + '.join(m.faults):<42} {how:<34} {seen} {verdict} {m.cause}{note}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every eighth type, short runs: about 20 s")
    parser.add_argument("--split", choices=("all", "held", "tuned"), default="all", help="which fault types (all)")
    parser.add_argument("--only", default="", help="types whose name holds this text, singly")
    parser.add_argument("--faults", default="", metavar="MODULE", help="a module or file with FAULTS of your own")
    parser.add_argument("--repeats", type=int, default=1, help="trials of each type and mode (1)")
    parser.add_argument(
        "--delays", type=int, default=1, help="rounds of trials up to the alarm: one of each type and fall (1)"
    )
    parser.add_argument(
        "--points", type=_points, default=[20.0, 10.0, 5.0], metavar="N,N", help="falls of those trials (20,10,5)"
    )
    parser.add_argument("--only-delays", action="store_true", help="those trials alone, and nothing is kept")
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help=f"how many pairs ({len(PAIRS)})")
    parser.add_argument("--healthy", type=int, default=140_000, help="healthy requests over all scenarios (140000)")
    parser.add_argument("--learning", type=int, default=LEARNING, help=f"requests before each run ({LEARNING})")
    parser.add_argument(
        "--judged", type=float, default=1.0, help="share the judge sees (1; 0 is the product's default)"
    )
    parser.add_argument("--past", default="", metavar="FILE", help="keep there what was learnt, and take it from there")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no trial after so many minutes (0: no limit)")
    parser.add_argument("--easy", action="store_true", help="no decoys, no benign change, every signal watched")
    parser.add_argument("--seed", type=int, default=1, help="chance starts from here (1)")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--show", action="store_true", help="a line for every trial")
    parser.add_argument("--list", action="store_true", help="list the fault types and end")
    parser.add_argument("--gateway", default="", metavar="NAMES", help="demo faults through the real gateway, by comma")
    parser.add_argument("--bars", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    return parser.parse_args()


def _points(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


if __name__ == "__main__":
    raise SystemExit(main())
