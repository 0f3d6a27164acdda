"""How often the watch cries wolf on healthy traffic, and how soon it sees a real fall.

    python bench/false_alarms.py                 # some four minutes of one core
    python bench/false_alarms.py --scale 5       # three million healthy requests: tight enough to tell one in a million
    python bench/false_alarms.py --only "unnamed sessions" --scale 4   # one kind of traffic, printed and not kept

Simulated traffic over all default monitors: steady, with a shift of the traffic mix, and with sessions whose requests
share their luck (which the guarantee does not cover), with the sessions' names in the spans as the gateway writes them,
and without. "Together" is a busy server's traffic, whose values detectors take in batches. Beside it, on the same
scores, the rule that dashboards use: the
last 500 values three standard deviations below the reference. Alarms are counted per million values and per million
requests, each with its 95 % upper bound, for each kind of traffic and for all of them. Prints a table, writes
bench/results/false_alarms.json.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

from trimtab.core import Score, Span, Stamp
from trimtab.stats import TwoArmTest
from trimtab.watch import SIGNALS, Watch, default_monitors

RESULTS = Path(__file__).parent / "results" / "false_alarms.json"
#: Between two requests: ten come in a second; or 2,600, and detectors take values together.
GAP_NS, BUSY_GAP_NS = 10**8, 380_000
#: Requests that are read at once where many come.
TOGETHER = 180
STAMP = Stamp(model="scripted/steady=simulated@sim_a", knowledge="docs/1", prompt="support/1", route="support/1")
RATES = {
    "answered": 0.999, "complete": 0.995, "retrieved": 0.97, "fresh": 0.98, "cites": 0.95, "grounded": 0.92,
    "allowed": 0.99, "first_choice": 0.98, "judge_agreement": 0.93, "quality": 0.90, "thumb": 0.80,
}  # fmt: skip
SAMPLED = {"all": 1.0, "sample": 0.2, "probe": 0.05}
#: How much more often than usual each slice fails, and its share of the traffic before and after the shift.
SLICES = {"billing": 0.3, "setup": 0.6, "api": 1.0, "limits": 1.5, "legal": 3.0, "other": 5.0}
USUAL, SHIFTED = (30, 25, 20, 12, 8, 5), (15, 20, 20, 15, 15, 15)
SESSIONS_OPEN, SESSION_LENGTH, SESSION_CORRELATION = 40, 8, 0.2
REQUESTS_A_RUN, RUNS = 12_000, 5
DELAY_RUNS, DELAY_LIMIT, DELAY_BASE = 20, 6_000, 0.92


@dataclass
class Window:
    """The dashboard's rule: every 50 values, is the mean of the last 500 three sigma below the reference?"""

    reference: int
    size: int = 500
    seen: int = 0
    total: float = 0.0
    kept: deque[float] = field(default_factory=deque)

    def update(self, x: float) -> bool:
        self.seen += 1
        if self.seen <= self.reference:
            self.total += x
            return False
        self.kept.append(x)
        if len(self.kept) > self.size:
            self.kept.popleft()
        if len(self.kept) < self.size or self.seen % 50:
            return False
        p = self.total / self.reference
        low = p - 3.0 * math.sqrt(max(p * (1.0 - p), 1e-9) / self.size)
        if sum(self.kept) / self.size >= low:
            return False
        self.kept.clear()
        return True


class Progress:
    """One line on stderr, rewritten."""

    def __init__(self, steps: int) -> None:
        self.done, self.steps, self.started = 0, steps, time.perf_counter()

    def step(self, what: str) -> None:
        self.done += 1
        seconds = time.perf_counter() - self.started
        end = "\n" if self.done == self.steps else ""
        print(f"\r[{self.done:3}/{self.steps}] {seconds:5.1f} s  {what:<40}", end=end, file=sys.stderr, flush=True)


def score(i: int, name: str, slice: str, passed: bool, gap_ns: int = GAP_NS) -> Score:
    return Score(
        id=str(i), trace_id=str(i), name=name, value=float(passed), by="check", time_ns=i * gap_ns, slice=slice,
        stamp=STAMP,
    )  # fmt: skip


def luck(rng: random.Random, rate: float) -> float:
    """A session's own rate: beta with the given mean, whose requests correlate by SESSION_CORRELATION."""
    weight = 1.0 / SESSION_CORRELATION - 1.0
    return rng.betavariate(max(rate * weight, 1e-6), max((1.0 - rate) * weight, 1e-6))


def rate_of(name: str, slice: str) -> float:
    return 1.0 - min(0.9, (1.0 - RATES[name]) * SLICES[slice])


def root_of(i: int, session: str, gap_ns: int) -> Span:
    """What the gateway records of a request; only whose it was matters here."""
    return Span(
        trace_id=str(i), span_id=str(i), name="support", kind="chain", session=session, start_ns=i * gap_ns,
        end_ns=i * gap_ns, stamp=STAMP, attributes={"gateway": True},
    )  # fmt: skip


def open_session(rng: random.Random, mix: tuple[int, ...], number: int) -> tuple[str, str, dict[str, float]]:
    slice_ = rng.choices(list(SLICES), mix)[0]
    return f"s{number}", slice_, {name: luck(rng, rate_of(name, slice_)) for name in RATES}


def traffic(rng: random.Random, kind: str, requests: int) -> Iterator[Score | Span]:
    """Healthy scores. ``kind`` is steady, mix shift, sessions (each request's span comes before its scores) or unnamed
    sessions; with "together" it is a busy server's."""
    gap_ns = BUSY_GAP_NS if "together" in kind else GAP_NS
    opened = count()
    sessions = [open_session(rng, USUAL, next(opened)) for _ in range(SESSIONS_OPEN)] if "sessions" in kind else []
    rates = {s: {name: rate_of(name, s) for name in RATES} for s in SLICES}
    for i in range(requests):
        if sessions:
            at = rng.randrange(SESSIONS_OPEN)
            name, slice_, own = sessions[at]
            if rng.random() < 1.0 / SESSION_LENGTH:
                sessions[at] = open_session(rng, USUAL, next(opened))
            if "unnamed" not in kind:
                yield root_of(i, name, gap_ns)
        else:
            mix = SHIFTED if "mix shift" in kind and i > requests // 2 else USUAL
            slice_ = rng.choices(list(SLICES), mix)[0]
            own = rates[slice_]
        for name in RATES:
            share = SAMPLED[SIGNALS[name].cost]
            if share == 1.0 or rng.random() < share:
                yield score(i, name, slice_, rng.random() < own[name], gap_ns)


def healthy(kind: str, reference: int, seed: int, runs: int, progress: Progress) -> dict[str, Any]:
    """Alarms of the watch and of the windows on the same scores; ``reference`` per slice, six times that per window."""
    scores = alarms = window_alarms = 0
    for run in range(runs):
        rng = random.Random(f"{seed}/{kind}/{run}")
        watch = Watch(default_monitors(lambda _: "bench"), reference=reference)
        windows = {name: Window(reference=reference * len(SLICES)) for name in SIGNALS}
        size = TOGETHER * len(RATES) if "together" in kind else 1
        for seen in batched(traffic(rng, kind, REQUESTS_A_RUN), size):
            spans, values = [s for s in seen if isinstance(s, Span)], [s for s in seen if isinstance(s, Score)]
            scores += len(values)
            raised = watch.measure(spans, more=size > 1) if spans else []
            for alarm in [*raised, *watch.observe(values, more=size > 1)]:
                alarms += 1
                watch.rearm(alarm.signal)
            window_alarms += sum(windows[value.name].update(value.value) for value in values)
        progress.step(f"healthy: {kind}, reference {reference}")
    return rates(runs * REQUESTS_A_RUN, scores, alarms, window_alarms)


def rates(requests: int, scores: int, alarms: int, window_alarms: int) -> dict[str, Any]:
    """Counts, and what they are in a million."""
    most = poisson_upper(alarms)
    return {
        "requests": requests, "scores": scores, "alarms": alarms,
        "alarms_per_million": alarms / scores * 1e6, "alarms_per_million_at_most": most / scores * 1e6,
        "alarms_per_million_requests": alarms / requests * 1e6,
        "alarms_per_million_requests_at_most": most / requests * 1e6,
        "window_alarms": window_alarms, "window_alarms_per_million": window_alarms / scores * 1e6,
    }  # fmt: skip


def together(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All kinds of traffic as one."""
    return rates(*(sum(row[key] for row in rows) for key in ("requests", "scores", "alarms", "window_alarms")))


def batched(items: Iterator[Score | Span], size: int) -> Iterator[list[Score | Span]]:
    while batch := list(islice(items, size)):
        yield batch


def poisson_upper(seen: int) -> float:
    """The 95 % upper bound of a count (one-sided, exact): the mean at which at most ``seen`` has a chance of 5 %."""
    low, high = float(seen), seen + 10.0 + 6.0 * math.sqrt(seen + 1.0)
    for _ in range(60):
        mean = (low + high) / 2.0
        chance = sum(math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(seen + 1))
        low, high = (mean, high) if chance > 0.05 else (low, mean)
    return high


def delays(drop: float, reference: int, seed: int, runs: int) -> dict[str, Any]:
    """Scores from the fall to the alarm, of the watch (one signal) and of the window, on the same scores."""
    found: dict[str, list[int]] = {"watch": [], "window": []}
    early = {"watch": 0, "window": 0}
    monitors = [m for m in default_monitors(lambda _: "bench") if m.signal == "quality"]
    for run in range(runs):
        rng = random.Random(f"{seed}/{drop}/{reference}/{run}")
        watch, window = Watch(monitors, reference=reference), Window(reference=reference)
        waiting = {"watch", "window"}
        before = reference + 1000
        for i in count():
            if not waiting or i >= before + DELAY_LIMIT:
                break
            seen = score(i, "quality", "", rng.random() < DELAY_BASE - (drop if i >= before else 0.0))
            fired = {"watch": bool(watch.observe([seen])), "window": window.update(seen.value)}
            for name in [n for n in waiting if fired[n]]:
                if i < before:
                    early[name] += 1
                else:
                    found[name].append(i - before + 1)
                waiting.discard(name)
    return {
        name: {
            "median": median(values) if values else None,
            "missed": (runs - len(values) - early[name]) / runs,
            "early": early[name] / runs,
        }
        for name, values in found.items()
    }


def equals(kind: str, seed: int, runs: int) -> float:
    """The share of healthy half-and-half rollouts, sticky by session, whose e-value ever reaches 500."""
    proven = 0
    for run in range(runs):
        rng = random.Random(f"{seed}/{kind}/two arms/{run}")
        test = TwoArmTest()
        sessions = [(rng.random() < 0.5, luck(rng, 0.9)) for _ in range(SESSIONS_OPEN)]
        for _ in range(2_000):
            at = rng.randrange(SESSIONS_OPEN)
            exposed, own = sessions[at]
            if rng.random() < 1.0 / SESSION_LENGTH:
                sessions[at] = (rng.random() < 0.5, luck(rng, 0.9))
            if test.update(exposed, float(rng.random() < (own if kind == "sessions" else 0.9))) >= 500:
                proven += 1
                break
    return proven / runs


def said(delay: float | None) -> str:
    return "never" if delay is None else f"{delay:.0f}"


def report(result: dict[str, Any]) -> None:
    print(f"\n{'healthy traffic, all default monitors':<40} {'requests':>10} {'alarms':>6}", end="")
    print(f" {'a million requests (at most)':>29} {'a million values (at most)':>27} {'3-sigma window':>15}")
    for kind, row in (*result["healthy"].items(), ("all", result["together"])):
        by_request, by_value = (
            f"{row[key]:.2f} ({row[f'{key}_at_most']:.2f})"
            for key in ("alarms_per_million_requests", "alarms_per_million")
        )
        print(
            f"  {kind:<38} {row['requests']:>10,} {row['alarms']:>6} {by_request:>29} {by_value:>27}"
            f" {row['window_alarms_per_million']:>15.1f}"
        )
    print("\nscores from the fall to the alarm (median)      watch   missed    window   missed   false before the fall")
    for name, row in result["delays"].items():
        watch, window = row["watch"], row["window"]
        cells = (
            f"{said(watch['median']):>11} {watch['missed']:>8.0%} {said(window['median']):>9} {window['missed']:>8.0%}"
        )
        print(f"  {name:<38} {cells}   watch {watch['early']:.0%}, window {window['early']:.0%}")
    arms = result["equal_arms_proven"]
    print(f"\nequal halves that reach e = 500: independent {arms['steady']:.1%}, sessions {arms['sessions']:.1%}")
    print(f"{result['seconds']:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of runs (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="chance starts from here (default 1)")
    parser.add_argument("--only", default="", help="only the healthy traffic of this kind, e.g. 'unnamed sessions'")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    args = parser.parse_args()
    started = time.perf_counter()
    runs, delay_runs = max(1, round(RUNS * args.scale)), max(5, round(DELAY_RUNS * args.scale))
    worlds = [
        ("steady", 60), ("mix shift", 60), ("sessions", 60), ("unnamed sessions", 60), ("steady", 400),
        ("sessions", 400), ("steady together", 60), ("mix shift together", 60), ("sessions together", 60),
        ("unnamed sessions together", 60),
    ]  # fmt: skip
    if args.only:
        worlds = [world for world in worlds if world[0] == args.only]
        progress = Progress(len(worlds) * runs)
        for kind, reference in worlds:
            row = healthy(kind, reference, args.seed, runs, progress)
            print(f"{kind}, reference {reference}: {json.dumps(row)}")
        return
    plans = [(drop, reference) for reference in (5_000, 60) for drop in (0.05, 0.10, 0.20)]
    progress = Progress(len(worlds) * runs + len(plans) + 2)
    command = "python bench/false_alarms.py " + " ".join(sys.argv[1:])
    result: dict[str, Any] = {"command": command.strip(), "scale": args.scale, "seed": args.seed}
    result["healthy"] = {
        f"{kind}, reference {reference}": healthy(kind, reference, args.seed, runs, progress)
        for kind, reference in worlds
    }
    result["together"] = together(list(result["healthy"].values()))
    result["delays"] = {}
    for drop, reference in plans:
        name = f"{drop * 100:.0f} points below .92, reference {reference:,}"
        result["delays"][name] = delays(drop, reference, args.seed, delay_runs)
        progress.step(f"delay: {name}")
    result["equal_arms_proven"] = {}
    for kind in ("steady", "sessions"):
        result["equal_arms_proven"][kind] = equals(kind, args.seed, 5 * delay_runs)
        progress.step(f"equal arms: {kind}")
    result["seconds"] = round(time.perf_counter() - started, 1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    report(result)


if __name__ == "__main__":
    main()
