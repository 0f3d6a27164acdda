"""How many one-token answers it takes to see that another model answers, and how often a healthy endpoint is accused.

    python bench/probes.py                                   # about a minute
    python bench/probes.py --years 300 --swaps 2000          # tighter figures
    python bench/probes.py --recording FOLDER                # also the recorded endpoint in FOLDER/phase_2.json

The endpoints are simulated: a model is a row of logits for each input, an answer the largest of them after noise of
serving, and every day each input's logits drift a little, so that a healthy day lies up to 0.15 from the reference in
total variation, as recorded endpoints do. A change of size sigma adds normal noise to all logits; sigma 2 is another
model. Border inputs are the inputs with the smallest gap between their two best tokens among those that are tried.

A recording is a file ``phase_2.json`` of the published demonstration of border inputs (Chauvin et al. 2026): input ->
day -> [[time, token], ...]. It is not part of this repository. Healthy years are then drawn from its days before
``--swap-day``, the swap from that day.

Beside the probe stands the rule that people write first: every day, a permutation test of that day's answers against
the reference at 1 %. Prints a table, writes bench/results/probes.json.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path
from statistics import mean, median
from typing import Any

from trimtab.probes import Answer, Declaration, Drift, Input, frozen
from trimtab.stats import normal_cdf

RESULTS = Path(__file__).parent / "results" / "probes.json"
#: Tokens with a chance, inputs that a search tries, noise of one answer, and what a day adds to each logit.
VOCABULARY, TRIED, SERVING, WOBBLE = 200, 120, 0.03, 0.006
#: Tokens that a healthy day may bring to the top.
NEAR = 8
SIGMAS = {"tiny, 0.05": 0.05, "small, 0.15": 0.15, "medium, 0.4": 0.4, "another model, 2": 2.0}
#: Answers after which a change counts as missed, days of a year, answers of the daily test and its permutations.
MOST, DAYS, DAILY, PERMUTATIONS = 2000, 365, 50, 99
SWAP_DAY = "2026-01-30"
PROBE = Declaration(name="bench", kind="vendor", target="vendor/model", every_s=3600.0)

#: What an endpoint answers to the input at a place.
Say = Callable[[int], str]


@dataclass
class Endpoint:
    """A simulated endpoint: the logits of its inputs, and what it answers today."""

    rng: random.Random
    logits: list[list[float]] = field(default_factory=list)
    today: list[tuple[str, str, float]] = field(default_factory=list)

    @classmethod
    def made(cls, rng: random.Random, inputs: int) -> Endpoint:
        """Border inputs: of TRIED inputs those with the smallest gap, as a search among real ones finds them."""
        rows = [[_gumbel(rng) * 2.2 for _ in range(VOCABULARY)] for _ in range(TRIED)]
        found = cls(rng, sorted(rows, key=_gap)[:inputs])
        found.wake(0.0)
        return found

    def wake(self, wobble: float = WOBBLE) -> None:
        """Another day: every logit a little elsewhere."""
        self.today = [self._tie([z + self.rng.gauss(0.0, wobble) for z in row]) for row in self.logits]

    def changed(self, sigma: float) -> Endpoint:
        """The endpoint after a change of this size."""
        found = Endpoint(self.rng, [[z + self.rng.gauss(0.0, sigma) for z in row] for row in self.logits])
        found.wake(0.0)
        return found

    def say(self, at: int) -> str:
        """One answer."""
        first, second, share = self.today[at]
        return first if self.rng.random() < share else second

    def distance(self, other: Endpoint) -> float:
        """The mean total variation between today's answers and another's."""
        total = 0.0
        for mine, theirs in zip(self.today, other.today, strict=True):
            one, two = ({a: p, b: 1 - p} for a, b, p in (mine, theirs))
            total += sum(abs(one.get(t, 0.0) - two.get(t, 0.0)) for t in one.keys() | two.keys()) / 2
        return total / len(self.today)

    @staticmethod
    def _tie(row: Sequence[float]) -> tuple[str, str, float]:
        first, second = nlargest(2, range(len(row)), key=row.__getitem__)
        return str(first), str(second), normal_cdf((row[first] - row[second]) / (SERVING * math.sqrt(2)))


def _gumbel(rng: random.Random) -> float:
    return -math.log(-math.log(max(1e-12, rng.random())))


def _gap(row: Sequence[float]) -> float:
    first, second = nlargest(2, row)
    return first - second


class Progress:
    """A line on the screen while it runs."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def step(self, what: str) -> None:
        self._done += 1
        if sys.stderr.isatty() or self._done == self._total:
            print(f"\r{self._done}/{self._total} {what:<50}", end="", file=sys.stderr, flush=True)
        if self._done == self._total:
            print(file=sys.stderr)


def reference(say: Say, inputs: int, samples: int) -> list[Input]:
    """The frozen reference, as the probe makes it."""
    return [frozen(f"input {at}", [say(at) for _ in range(samples)], []) for at in range(inputs)]


def detector(inputs: Sequence[Input]) -> Drift:
    """The probe's own detector with its own threshold."""
    return Drift(inputs, tolerance=PROBE.option("tolerance"), threshold=2.0 * PROBE.a_year)


def until_found(drift: Drift, rng: random.Random, say: Say) -> tuple[int | None, int | None]:
    """Answers until the alarm and until the warning, None where they do not come within MOST."""
    alarm = warning = None
    for number in range(1, MOST + 1):
        at = drift.draw(rng)
        drift.take(Answer(at=at, token=say(at)))
        warning = number if warning is None and drift.moved else warning
        if drift.swapped:
            return number, warning
    return alarm, warning


def row(found: Sequence[int | None]) -> dict[str, Any]:
    """Median, 95th percentile and share of what was found; a miss counts as more than all that were found."""
    order = sorted(MOST + 1 if one is None else one for one in found)
    at = order[min(len(order) - 1, math.ceil(0.95 * len(order)) - 1)]
    return {
        "n": len(order), "median": _or_none(median(order)), "p95": _or_none(at),
        "found": sum(one is not None for one in found) / len(found),
        "within_50": sum(one is not None and one <= 50 for one in found) / len(found),
    }  # fmt: skip


def _or_none(value: float) -> float | None:
    return None if value > MOST else value


def swaps(count: int, seed: int, progress: Progress) -> dict[str, Any]:
    """A change of each size right after the reference."""
    inputs, samples = PROBE.count("inputs"), PROBE.count("samples")
    result = {}
    for name, sigma in SIGMAS.items():
        alarms, warnings, far = [], [], []
        for number in range(count):
            rng = random.Random(f"{seed} {name} {number}")
            endpoint = Endpoint.made(rng, inputs)
            other = endpoint.changed(sigma)
            far.append(endpoint.distance(other))
            alarm, warning = until_found(detector(reference(endpoint.say, inputs, samples)), rng, other.say)
            alarms.append(alarm)
            warnings.append(warning)
        result[name] = {"distance": round(mean(far), 3), "alarm": row(alarms), "warning": row(warnings)}
        progress.step(f"a change: {name}")
    return result


def healthy(years: int, seed: int, progress: Progress) -> dict[str, Any]:
    """Whole years without a change; the daily permutation test on the first sixty days of each."""
    inputs, samples = PROBE.count("inputs"), PROBE.count("samples")
    tally = Counter[str]()
    worst: list[float] = []
    for number in range(years):
        rng = random.Random(f"{seed} healthy {number}")
        endpoint = Endpoint.made(rng, inputs)
        endpoint.logits = [sorted(row, reverse=True)[:NEAR] for row in endpoint.logits]
        endpoint.wake(0.0)
        still = Endpoint(rng, endpoint.logits)
        still.wake(0.0)
        kept = reference(endpoint.say, inputs, samples)
        drift = detector(kept)
        far = []
        for day in range(DAYS):
            endpoint.wake()
            far.append(endpoint.distance(still))
            drift = live(drift, rng, endpoint.say, tally)
            if day < 60:
                tally["days"] += 1
                tally["rejected"] += rejected(kept, endpoint.say, rng)
        worst.append(max(far))
        tally["distance"] += round(1000 * mean(far))
        progress.step(f"healthy year {number + 1}")
    return {**told(tally, years), "mean_distance": round(tally["distance"] / 1000 / years, 3),
            "worst_day": round(mean(worst), 3)}  # fmt: skip


def live(drift: Drift, rng: random.Random, say: Say, tally: Counter[str]) -> Drift:
    """One day of the schedule; after an alarm or a warning everything begins anew, so that each is counted once."""
    for _ in range(round(86_400 / PROBE.every_s) * PROBE.count("queries")):
        at = drift.draw(rng)
        drift.take(Answer(at=at, token=say(at)))
        tally["answers"] += 1
        if drift.swapped:
            tally["alarms"] += 1
            drift = detector(drift.inputs)
    if drift.moved:
        tally["warnings"] += 1
        drift = detector(drift.inputs)
    return drift


def told(tally: Counter[str], years: float) -> dict[str, Any]:
    """Rates per endpoint and year; with no alarm the upper end of the 95 % interval is three in what was watched."""
    most = 3.0 / years if not tally["alarms"] else (tally["alarms"] + 2 * math.sqrt(tally["alarms"]) + 2) / years
    return {
        "endpoint_years": round(years, 2), "answers": tally["answers"], "alarms": tally["alarms"],
        "alarms_per_year": tally["alarms"] / years, "alarms_per_year_at_most": round(most, 3),
        "warnings_per_year": tally["warnings"] / years,
        "daily_test_rejects": tally["rejected"] / tally["days"] if tally["days"] else None, "days": tally["days"],
    }  # fmt: skip


def rejected(kept: Sequence[Input], say: Say, rng: random.Random) -> bool:
    """Whether a permutation test within inputs rejects at 1 % that today answers as the reference did."""
    today = [[say(at) for _ in range(DAILY // len(kept))] for at in range(len(kept))]
    past = [[token for token, n in one.counts.items() for _ in range(n)] for one in kept]
    seen = _tv(past, today)
    more = 1
    for number in range(PERMUTATIONS):
        pairs = [_split(rng, a, b) for a, b in zip(past, today, strict=True)]
        more += _tv([a for a, _ in pairs], [b for _, b in pairs]) >= seen
        if more > 1 and number > 5:
            return False
    return more / (PERMUTATIONS + 1) <= 0.01


def _split(rng: random.Random, a: Sequence[str], b: Sequence[str]) -> tuple[list[str], list[str]]:
    mixed = [*a, *b]
    rng.shuffle(mixed)
    return mixed[: len(a)], mixed[len(a) :]


def _tv(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> float:
    total = 0.0
    for a, b in zip(one, other, strict=True):
        here, there = Counter(a), Counter(b)
        total += sum(abs(here[t] / len(a) - there[t] / len(b)) for t in here.keys() | there.keys()) / 2
    return total / len(one)


def recorded(folder: Path, swap_day: str, years: int, seed: int, progress: Progress) -> dict[str, Any]:
    """The recorded endpoint: its first day is the reference, healthy years are drawn from the days before the swap."""
    rows: dict[str, dict[str, list[list[str]]]] = json.loads((folder / "phase_2.json").read_text())
    days = sorted({day for one in rows.values() for day in one})
    texts = [text for text, one in rows.items() if len(one.get(days[0], ())) >= 50]
    before = [day for day in days[1:] if day[:10] < swap_day]
    after = next(day for day in days if day[:10] >= swap_day)
    inputs, samples = PROBE.count("inputs"), PROBE.count("samples")
    tally, alarms = Counter[str](), []
    for number in range(years):
        rng = random.Random(f"{seed} recorded {number}")
        chosen = rng.sample(texts, min(inputs, len(texts)))
        kept = [frozen(text, [t for _, t in rng.sample(rows[text][days[0]], samples)], []) for text in chosen]
        drift = detector(kept)
        for _ in range(DAYS):
            day = rng.choice([d for d in before if all(rows[text].get(d) for text in chosen)])
            drift = live(drift, rng, _saying(rows, chosen, day, rng), tally)
        alarms.append(until_found(detector(kept), rng, _saying(rows, chosen, after, rng))[0])
        progress.step(f"recorded year {number + 1}")
    return {"inputs": len(texts), "healthy_days": len(before), "swap": row(alarms), **told(tally, years)}


def _saying(rows: Any, chosen: Sequence[str], day: str, rng: random.Random) -> Say:
    return lambda at: str(rng.choice(rows[chosen[at]][day])[1])


def report(result: dict[str, Any]) -> None:
    print("\na change right after the reference     distance   alarm: median    p95   within 50   warning: median")
    for name, one in result["changes"].items():
        alarm, warning = one["alarm"], one["warning"]
        print(
            f"  {name:<36} {one['distance']:>8.3f} {_said(alarm['median']):>15} {_said(alarm['p95']):>6}"
            f" {alarm['within_50']:>11.0%} {_said(warning['median']):>17}"
        )
    for name in ("healthy", "recorded"):
        if (one := result.get(name)) is not None:
            watched = f"{one['endpoint_years']} endpoint-years and {one['answers']:,} answers"
            print(
                f"\n{name}: {one['alarms']} alarms in {watched} (at most {one['alarms_per_year_at_most']} a year),"
                f" {one['warnings_per_year']:.2f} warnings a year"
            )
    one = result["healthy"]
    print(f"the daily test at 1 % rejects {one['daily_test_rejects']:.0%} of healthy days")
    if (one := result.get("recorded")) is not None:
        print(f"the recorded swap: {_said(one['swap']['median'])} answers, p95 {_said(one['swap']['p95'])}")
    print(f"{result['seconds']:.1f} s")


def _said(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=300, help="changes of each size (default 300)")
    parser.add_argument("--years", type=int, default=40, help="healthy endpoint-years (default 40)")
    parser.add_argument("--recording", type=Path, help="a folder with phase_2.json of a recorded endpoint")
    parser.add_argument("--swap-day", default=SWAP_DAY, help=f"the day of the recorded swap (default {SWAP_DAY})")
    parser.add_argument("--seed", type=int, default=1, help="chance starts from here (default 1)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    args = parser.parse_args()
    started = time.perf_counter()
    progress = Progress(len(SIGMAS) + args.years * (2 if args.recording else 1))
    command = f"python bench/probes.py --swaps {args.swaps} --years {args.years} --seed {args.seed}"
    result: dict[str, Any] = {
        "command": command + (" --recording FOLDER" if args.recording else ""),
        "probe": {name: PROBE.option(name) for name in ("queries", "inputs", "samples", "tolerance")},
        "every_s": PROBE.every_s, "threshold": 2.0 * PROBE.a_year,
        "changes": swaps(args.swaps, args.seed, progress),
        "healthy": healthy(args.years, args.seed, progress),
    }  # fmt: skip
    if args.recording:
        result["recorded"] = recorded(args.recording, args.swap_day, args.years, args.seed, progress)
    result["seconds"] = round(time.perf_counter() - started, 1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    report(result)


if __name__ == "__main__":
    main()
