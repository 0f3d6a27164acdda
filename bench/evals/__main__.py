#!/usr/bin/env python3
"""Whether evaluation's numbers hold: simulated worlds with a known truth, and recorded votes of real judges.

    python bench/evals                        # a few minutes on one core
    python bench/evals --scale 0.2            # a quick look
    python bench/evals --only gate,votes --data DIR
    python bench/evals --only drawn,estimates # coverage of PPI++ and Rogan-Gladen

Kappa's interval, false certification when the best of ten rubrics is chosen, power; coverage of corrected pass rates;
labels that are drawn by the judge's verdict; false alarms and power of the gate, also when looked at every 25 cases;
variance components; and the recorded votes that votes.py describes, whose figures must equal those of scipy,
scikit-learn and statsmodels. Prints what holds and what does not, writes bench/results/evals.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import calibration
import estimates
import gates
import numpy as np
import repeats
import strata
import votes

RESULT = Path(__file__).parents[1] / "results" / "evals.json"
PARTS = ("calibration", "drawn", "estimates", "gate", "stability", "votes")
#: Chance of a part starts from its place here: a new one goes to the end, so that the others draw what they drew.
ORDER = ("calibration", "estimates", "gate", "stability", "votes", "drawn")
#: Draws at scale 1.
RUNS = {"coverage": 2_000, "certification": 400, "power": 1_000, "drawn": 300, "estimates": 1_000, "gate": 800,
        "anytime": 500, "stability": 200}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts to run, of {', '.join(PARTS)} (default all)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of draws (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="chance starts from here (default 1)")
    parser.add_argument(
        "--data", type=Path, default=votes.EXCERPT, help="folder with recorded votes (default: the excerpt in the tree)"
    )
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    args = parser.parse_args()
    parts = args.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    runs = {name: max(20, round(n * args.scale)) for name, n in RUNS.items()}
    started = time.perf_counter()

    def say(what: str) -> None:
        print(f"\r\033[K{time.perf_counter() - started:6.0f} s  {what}", end="", file=sys.stderr, flush=True)

    before = json.loads(args.out.read_text()) if args.out.exists() else {}
    result: dict[str, Any] = {"command": "python bench/evals [--data DIR]", "draws at scale 1": RUNS}
    result |= {name: before[name] for name in (*PARTS, "runs") if name in before}
    for part in parts:
        result[part] = _part(part, np.random.default_rng([args.seed, ORDER.index(part)]), runs, say, args.data)
        draws = {"scale": args.scale, "seed": args.seed, "seconds": round(time.perf_counter() - started, 1)}
        result["runs"] = {**result.get("runs", {}), part: draws}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(file=sys.stderr)
    lines = [line for part in parts for line in BARS[part](result[part])]
    for good, text in lines:
        print(f"{'holds ' if good else 'FAILS '} {text}")
    return 0 if all(good for good, _ in lines) else 1


def _part(part: str, rng: np.random.Generator, runs: dict[str, int], say: Callable[[str], None], data: Any) -> Any:
    if part == "calibration":
        return {
            "coverage": calibration.coverage(rng, runs["coverage"], say),
            "false certification": calibration.certification(rng, runs["certification"], say),
            "power": calibration.power(rng, runs["power"], say),
        }
    if part == "drawn":
        return {"kappa": strata.kappas(rng, runs["power"]), "rates": strata.rates(rng, runs["drawn"], say)}
    if part == "estimates":
        return estimates.coverage(rng, runs["estimates"], say)
    if part == "gate":
        return {"one look": gates.fixed(rng, runs["gate"], say), "any time": gates.anytime(rng, runs["anytime"], say)}
    if part == "stability":
        return {
            "components": repeats.components(rng, runs["stability"], say),
            "flips": repeats.flips(rng, runs["stability"], say),
        }
    say("recorded votes")
    return votes.report(data)


Line = tuple[bool, str]


def _between(low: float, figure: dict[str, float], high: float) -> bool:
    """Within the bar, three standard errors of the simulation allowed."""
    slack = 3.0 * figure["error"]
    return low - slack <= figure["share"] <= high + slack


def _calibration(found: Any) -> list[Line]:
    covers = [row["covers"] for row in found["coverage"]]
    shares = [figure["share"] for figure in covers]
    lines = [
        (all(_between(0.93, figure, 0.97) for figure in covers),
         f"95 % interval of kappa covers {min(shares):.1%} to {max(shares):.1%} (bar 93 to 97 %)"),
    ]  # fmt: skip
    for name, row in found["false certification"].items():
        for how in list(row)[1:]:
            text = f"{name}: {how}: falsely certified {row[how]['share']:.1%} (bar 5 %; "
            text += f"point estimate {row['best point estimate of ten']['share']:.0%})"
            lines.append((_between(0.0, row[how], 0.05), text))
    for row in found["power"]:
        if row["labels"] == 300 and row["kappa"] == 0.9:
            text = f"true kappa .90, 300 test labels, {row['failures']:.0%} failures: certified "
            text += f"{row['certified']['share']:.1%}"
            barred = row["failures"] >= 0.2
            lines.append((not barred or _between(0.75, row["certified"], 1.0), text + (" (bar 75 %)" * barred)))
    return lines


def _drawn(found: Any) -> list[Line]:
    lines = []
    for row in found["kappa"]:
        text = (
            f"labels drawn by the judge's verdict, {row['labels']} of {row['pool']}, {row['failures']:.0%} failures, "
        )
        text += f"true kappa {row['kappa']:g}: interval covers {row['covers']['share']:.1%}, certified "
        lines.append((_between(0.93, row["covers"], 0.97), text + f"{row['certified']['share']:.1%}"))
    for row in found["rates"]:
        names = [name for name in ("agreement", "tpr", "tnr", "ppi++", "rogan-gladen") if name in row]
        figures = ", ".join(f"{name} {row[name]['covers']['share']:.1%} ({row[name]['width']:.3f})" for name in names)
        text = f"drawn by verdict, {row['failures']:.0%} failures, TPR {row['tpr_true']}, TNR {row['tnr_true']}, "
        good = all(_between(0.93, row[name]["covers"], 0.97) for name in names)
        lines.append((good, text + f"{row['labels']} labels: {figures} (bar 93 to 97 %)"))
    return lines


def _estimates(found: Any) -> list[Line]:
    lines = []
    for row in found:
        figures = ", ".join(
            f"{name} {row[name]['covers']['share']:.1%} ({row[name]['width']:.3f})"
            for name in ("judge only", "labels only", "ppi++", "rogan-gladen")
        )
        good = all(_between(0.93, row[name]["covers"], 0.97) for name in ("ppi++", "rogan-gladen"))
        lines.append(
            (good, f"rate {row['rate']}, TPR {row['tpr']}, TNR {row['tnr']}, {row['labels']} labels: {figures}")
        )
    return lines


def _gate(found: Any) -> list[Line]:
    lines = []
    for i, row in enumerate(found["one look"]):
        name = f"{row['suite']} {row['cases']} x {row['repeats']}"
        alarms, power = row["drop 0"]["fail"], row["drop 0.05"]["fail"]
        lines.append((_between(0.03, alarms, 0.07), f"{name}: false alarms {alarms['share']:.1%} (bar 3 to 7 %)"))
        text = f"{name}: 80 to 75 % found {power['share']:.1%}, promised {row['promised']:.1%}"
        lines.append((i > 1 or _between(0.80, power, 1.0), text + " (bar 80 %)" * (i < 2)))
    for row in found["any time"]:
        text = f"looked at every 25 cases, drop {row['drop']:g}: fails {row['fails']['share']:.1%}, median stop "
        text += f"{row['median stop']}; ordinary test {row['ordinary z test fails']['share']:.1%}"
        good = _between(0.0, row["fails"], 0.05) if row["drop"] == 0.0 else row["median stop"] <= 300
        lines.append((good, text))
    return lines


def _stability(found: Any) -> list[Line]:
    lines = []
    for world, parts in found["components"].items():
        for part, row in parts.items():
            text = f"{world}: {part} variance {row['mean over planted']:.2f} of planted, median error "
            text += f"{row['median error']:.1%}, within 20 % in {row['within 20 %']['share']:.0%} of reports, interval "
            text += f"covers {row['covers']['share']:.1%}"
            if "known rates" in row:
                text += f"; within 20 % of the drawn cases' own in {row['within 20 % of the cases drawn']['share']:.0%}"
                text += f" (known rates: {row['known rates']['share']:.0%} of the planted)"
            lines.append((abs(row["mean over planted"] - 1.0) <= 0.2 and row["median error"] <= 0.2, text))
    covers = found["flips"]["covers"]
    lines.append((_between(0.93, covers, 0.97), f"flip rate's interval covers {covers['share']:.1%} (bar 93 to 97 %)"))
    return lines


def _votes(found: Any) -> list[Line]:
    reference = found["reference"]
    text = f"{reference['figures']} figures on {found['votes']} recorded votes differ from scipy, scikit-learn and "
    lines = [(reference["largest"] <= 1e-9, text + f"statsmodels by at most {reference['largest']:.1e} (bar 1e-9)")]
    for row in found["judges"]:
        key = row["set"], row["judge"], row["strategy"]
        seen = set(row["biases found"])
        text = f"{row['set']}, {row['judge']} {row['strategy']}: right {row['right, one order']:.1%}, flips "
        text += f"{row['flips']:.1%}, first {row['first wins']:.1%}, found: {', '.join(sorted(seen)) or 'nothing'}"
        if known := votes.KNOWN.get(key):
            text += f" (known: {', '.join(sorted(known))})"
        lines.append((votes.KNOWN.get(key, set()) <= seen and not votes.STEADY.get(key, set()) & seen, text))
    return lines


BARS: dict[str, Callable[[Any], list[Line]]] = {
    "calibration": _calibration, "drawn": _drawn, "estimates": _estimates, "gate": _gate, "stability": _stability,
    "votes": _votes,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
