"""How rollouts decide: how often a healthy candidate is rolled back, and how soon a bad one is.

    python bench/rollouts.py                     # under a minute
    python bench/rollouts.py --runs 10000        # the figures of the documentation

The tests are the ones that the controller runs, with the guards and the error that a rollout has by default, looked at
after every block of answers. Beside them, on the same answers, the rule that many canary tools use: a z-test of two
proportions, looked at again and again until it is significant. Prints tables, writes bench/results/rollouts.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from trimtab.rollouts import Guard, Plan, default_guards, width
from trimtab.stats import PER_ARM, Block, Blocks, DifferenceBet

RESULTS = Path(__file__).parent / "results" / "rollouts.json"
PLAN = Plan(guards=default_guards("prompts", judged=True)).check()
QUALITY = next(guard for guard in PLAN.guards if guard.metric == "quality")
RATES = {
    "quality": 0.92, "answered": 0.999, "allowed": 0.99, "cites": 0.95, "grounded": 0.92, "latency": 0.96, "cost": 0.96,
}  # fmt: skip
#: Judged answers of the candidate after which a run is over.
HORIZON = 1_000
#: One-sided 1 %, not before 30 answers of each arm: what a dashboard calls significant.
Z, Z_LEAST = 2.326, 30
SESSION_LENGTH, SESSION_CORRELATION = 8, 0.2


def fails(rng: random.Random, n: int, rate: float) -> int:
    """How many of n answers fail, by the gaps between failures."""
    if rate >= 1.0:
        return 0
    found, at, scale = 0, 0, math.log(rate) if rate > 0.0 else -math.inf
    while True:
        at += 1 + int(math.log(1.0 - rng.random()) / scale)
        if at > n:
            return found
        found += 1


def blocks(
    rng: random.Random, base: float, candidate: float, share: float
) -> Iterator[tuple[Block, int, int, int, int]]:
    """Blocks as ``Blocks`` cuts them, at random exposure, with the numbers and failures of both arms."""
    n, total = 4.0, 3.6
    while True:
        n0 = n1 = 0
        while n0 < PER_ARM or n1 < PER_ARM:
            if rng.random() < share:
                n1 += 1
            else:
                n0 += 1
        f0, f1 = fails(rng, n0, base), fails(rng, n1, candidate)
        guess = min(0.99, max(0.01, total / n))
        n, total = n + n0, total + n0 - f0
        yield Block(((1.0, n0 - f0), (0.0, f0)), ((1.0, n1 - f1), (0.0, f1)), guess), n0, f0, n1, f1


class Peeked:
    """The z-test of two proportions with a pooled variance, looked at after every block."""

    def __init__(self) -> None:
        self.n0 = self.f0 = self.n1 = self.f1 = 0

    def update(self, n0: int, f0: int, n1: int, f1: int) -> bool:
        self.n0, self.f0, self.n1, self.f1 = self.n0 + n0, self.f0 + f0, self.n1 + n1, self.f1 + f1
        if min(self.n0, self.n1) < Z_LEAST:
            return False
        p = (self.f0 + self.f1) / (self.n0 + self.n1)
        spread = math.sqrt(p * (1.0 - p) * (1.0 / self.n0 + 1.0 / self.n1))
        return spread > 0.0 and (self.f1 / self.n1 - self.f0 / self.n0) / spread > Z


def crossed(seed: str, *, base: float, candidate: float, share: float, need: float, edge: float = 0.0,
            better: bool = False, horizon: int = HORIZON) -> tuple[int | None, int | None]:  # fmt: skip
    """After how many answers of the candidate the bet reaches ``need``, and the peeked z-test its own; None: never."""
    rng = random.Random(seed)
    bet, peeked, n = DifferenceBet(edge, better=better), Peeked(), 0
    told: int | None = None
    z_told: int | None = None
    for block, n0, f0, n1, f1 in blocks(rng, base, candidate, share):
        n += n1
        if z_told is None and peeked.update(n0, f0, n1, f1):
            z_told = n
        if told is None:
            bet.block(block)
            if bet.value >= need:
                told = n
        if n >= horizon or (told is not None and (z_told is not None or better)):
            return told, z_told
    raise AssertionError("blocks do not end")


def healthy(share: float, run: int) -> dict[str, bool]:
    """One healthy rollout: which guards would take it back, and whether the peeked z-test on quality would."""
    found: dict[str, bool] = {}
    for guard in PLAN.guards:
        rate = RATES[guard.metric]
        told, z_told = crossed(
            f"healthy/{share}/{run}/{guard.metric}", base=rate, candidate=rate, share=share,
            need=1.0 / PLAN.error_of(guard),
        )  # fmt: skip
        found[guard.metric] = told is not None
        if guard is QUALITY:
            found["peeked z-test"] = z_told is not None
    return found


def sessions(share: float, run: int) -> tuple[bool, bool]:
    """A healthy rollout, sticky by session, whose sessions share their luck: is it rolled back when the first answer of
    each session counts, as it does by default, and when every answer does?"""
    rng = random.Random(f"sessions/{share}/{run}")
    weight = 1.0 / SESSION_CORRELATION - 1.0

    def session() -> list[Any]:
        return [rng.random() < share, rng.betavariate(0.92 * weight, 0.08 * weight), True]

    first, every = (Blocks(), DifferenceBet(0.0, better=False)), (Blocks(), DifferenceBet(0.0, better=False))
    live, n = [session() for _ in range(40)], 0
    while n < HORIZON:
        at = rng.randrange(len(live))
        exposed, rate, new = live[at]
        n += exposed and new
        value = float(rng.random() < rate)
        for cut, bet in (first, every) if new else (every,):
            block = cut.add(exposed, value)
            if block is not None:
                bet.block(block)
        live[at][2] = False
        if rng.random() < 1.0 / SESSION_LENGTH:
            live[at] = session()
    need = 1.0 / PLAN.error_of(QUALITY)
    return first[1].peak >= need, every[1].peak >= need


def dropped(base: float, drop: float, share: float, run: int) -> tuple[int | None, int | None]:
    """One candidate whose quality is worse by ``drop``."""
    return crossed(
        f"drop/{base}/{drop}/{share}/{run}", base=base, candidate=base - drop, share=share,
        need=1.0 / PLAN.error_of(QUALITY), horizon=5_000,
    )  # fmt: skip


def passed(guard: Guard, share: float, following: float, worse: float, run: int) -> int | None:
    """After how many answers a guard lets a stage go on; ``worse`` is the candidate's true fall."""
    rate = RATES[guard.metric]
    return crossed(
        f"pass/{guard.metric}/{share}/{worse}/{run}", base=rate, candidate=rate - worse, share=share,
        need=1.0 / PLAN.beta, edge=-width(guard, following), better=True, horizon=5_000,
    )[0]  # fmt: skip


def paired(drop: float, run: int) -> int | None:
    """A shadow: after how many pairs harm is shown. Half of what decides an answer is the request itself."""
    rng = random.Random(f"pairs/{drop}/{run}")
    bet = DifferenceBet(0.0, better=False)
    for n in range(1, 5_000):
        served = rng.random() < 0.92
        second = (served if rng.random() < 0.5 else rng.random() < 0.92) and rng.random() >= drop / 0.92
        bet.pair(float(second) - float(served))
        if bet.value >= 1.0 / PLAN.error_of(QUALITY):
            return n
    return None


def many(pool: ProcessPoolExecutor, one: Callable[[int], Any], runs: int) -> list[Any]:
    """The results of ``runs`` runs, in order."""
    return list(pool.map(one, range(runs), chunksize=max(1, runs // 64)))


def summary(found: list[int | None]) -> dict[str, Any]:
    """Median over all runs (None where half never get there) and the share of runs that do."""
    reached = sorted(math.inf if n is None else n for n in found)
    middle = median(reached)
    late = reached[min(len(reached) - 1, int(0.95 * len(reached)))]
    return {
        "median": None if math.isinf(middle) else middle,
        "p95": None if math.isinf(late) else late,
        "reached": sum(n is not None for n in found) / len(found),
    }


def simulate(pool: ProcessPoolExecutor, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything that is reported."""
    result: dict[str, Any] = {"runs": runs, "alpha": PLAN.alpha, "needed_for_quality": 1.0 / PLAN.error_of(QUALITY)}
    result["healthy"] = {}
    for share in (0.1, 0.5):
        rows = many(pool, partial(healthy, share), runs)
        guards = [guard.metric for guard in PLAN.guards]
        result["healthy"][f"{share:.0%}"] = {
            "rolled_back": sum(any(row[metric] for metric in guards) for row in rows) / runs,
            "by_guard": {metric: sum(row[metric] for row in rows) / runs for metric in guards},
            "peeked_z_on_quality_alone": sum(row["peeked z-test"] for row in rows) / runs,
        }
        say(f"healthy at {share:.0%}")
    some = max(50, runs // 5)
    rows = many(pool, partial(sessions, 0.5), some)
    result["sessions_share_luck"] = {
        "first_answer_counts": sum(first for first, _ in rows) / some,
        "every_answer_counts": sum(every for _, every in rows) / some,
    }
    say("sessions that share their luck")
    result["drops"] = {}
    for base, drop, share in (
        (0.92, 0.05, 0.1), (0.92, 0.10, 0.1), (0.92, 0.20, 0.1), (0.92, 0.10, 0.05), (0.92, 0.10, 0.5),
        (0.80, 0.10, 0.1), (0.97, 0.10, 0.1),
    ):  # fmt: skip
        rows = many(pool, partial(dropped, base, drop, share), runs)
        result["drops"][f"{drop * 100:.0f} points below {base} at {share:.0%}"] = {
            "test": summary([told for told, _ in rows]), "peeked_z": summary([z for _, z in rows]),
        }  # fmt: skip
        say(f"{drop * 100:.0f} points below {base} at {share:.0%}")
    result["shadow"] = {
        f"{drop * 100:.0f} points": summary(many(pool, partial(paired, drop), runs)) for drop in (0.05, 0.1, 0.2)
    }
    say("shadow pairs")
    result["passes"] = {}
    for share, following in ((0.05, 0.25), (0.25, 0.5), (0.5, 1.0)):
        demanded = width(QUALITY, following)
        result["passes"][f"{share:.0%} to {following:.0%}"] = {
            "width": demanded,
            "healthy": summary(many(pool, partial(passed, QUALITY, share, following, 0.0), some)),
            "worse_by_width": summary(many(pool, partial(passed, QUALITY, share, following, demanded), some)),
        }
        say(f"going on from {share:.0%}")
    return result


def report(result: dict[str, Any]) -> None:
    print(f"\nhealthy candidates, {len(PLAN.guards)} guards      rolled back    peeked z-test on quality alone")
    for share, row in result["healthy"].items():
        print(f"  {share + ' of the traffic':<36} {row['rolled_back']:>9.2%} {row['peeked_z_on_quality_alone']:>33.1%}")
    luck = result["sessions_share_luck"]
    print(f"  {'sessions share luck, quality alone':<36} {luck['first_answer_counts']:>9.2%}", end="")
    print(f"     ({luck['every_answer_counts']:.1%} if every answer counted)")
    print(f"\n{'answers of the candidate until rolled back':<44}   median    95 %   caught   peeked z: median")
    for name, row in result["drops"].items():
        print(f"  {name:<42} {cells(row['test'])} {said(row['peeked_z']['median']):>18}")
    for name, row in result["shadow"].items():
        print(f"  {name + ' in a shadow, pairs':<42} {cells(row)}")
    print(f"\n{'answers until a stage may go on, quality':<44}   median    95 %   passes   when worse by that much")
    for name, row in result["passes"].items():
        text = f"{name}: no worse than {row['width'] * 100:.0f} points"
        print(f"  {text:<42} {cells(row['healthy'])} {row['worse_by_width']['reached']:>24.1%}")
    print(f"{result['runs']:,} runs, {result['seconds']:.1f} s")


def cells(row: dict[str, Any]) -> str:
    return f"{said(row['median']):>8} {said(row['p95']):>7} {row['reached']:>8.1%}"


def said(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="runs of each scenario (default 200)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    args = parser.parse_args()
    started = time.perf_counter()

    def say(what: str) -> None:
        print(f"{time.perf_counter() - started:6.1f} s  {what}", file=sys.stderr, flush=True)

    with ProcessPoolExecutor(args.processes) as pool:
        result = simulate(pool, max(1, args.runs), say)
    result["seconds"] = round(time.perf_counter() - started, 1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    report(result)


if __name__ == "__main__":
    main()
