#!/usr/bin/env python3
"""What watching costs: processor time per request and per score, stage by stage, on one core, with many slices.

    python bench/watch.py                        # under a minute
    python bench/watch.py --requests 6000 --scores 200000

Requests as the gateway records them at full load: four passages, a session of four requests each, nine scores, 25
slices; a twentieth of the values lie below their best, and those of a session share their luck. They are read as the
server's loop reads them, some 180 at a time, by a watch that knows its references and has run for a second; whatever
is read is also bet on. What a stage costs is seen by leaving something out. Beside it: what the checks cost whose
scores are watched, and a million scores on 225 signal-slices by a watch that is still learning.
Garbage collection as in ``trimtab up``. The share is of what the gateway takes of the processor for a request at full
load, measured before and after in the same run (bench/gateway/floor.py, which needs nginx and wrk), since machines are
not always equally fast; ``--gateway-us`` gives it instead. Prints a table, writes bench/results/watch.json.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.core import Score, Span, Stamp, evolve
from trimtab.evals import outputs_of
from trimtab.evals.online import checked
from trimtab.stats import lower_bound
from trimtab.watch import MEASURES, SCORED, Watch, default_monitors
from trimtab.watch.clusters import Clustering
from trimtab.watch.reference import MOST, Reference
from trimtab.watch.watch import MEASURED_A_SECOND

RESULTS = Path(__file__).parent / "results" / "watch.json"
FLOOR = Path(__file__).parent / "gateway" / "floor.py"
#: Requests a second of a core that does nothing else, on a quiet machine.
FULL_LOAD = 4_760.0
SECOND, DAY = 10**9, 86_400 * 10**9
START = 1_800_000_000 * SECOND
STAMP = Stamp(model="p/large=large@fp", knowledge="docs/1", prompt="support/1", guard="default/1", route="support/1")
WORDS = [
    "refund", "invoice", "plan", "upgrade", "billing", "account", "tenant", "export", "webhook", "limit", "quota",
    "region", "seat", "trial", "month", "charge", "card", "email", "domain", "token", "secret", "login", "audit",
    "policy",
]  # fmt: skip
NAMES = [name for name, signal in SCORED.items() if signal.cost == "all"]
SLICES = 25
#: Requests that the loop reads at once at full load: its rows, by the rows of a request.
TOGETHER = 180
#: Requests before the ones that count: more than a second of full load, so that every detector has bet before.
WARM = 5_040
#: Two values of a session correlate by so much, as sessions are taken to until they say otherwise.
LUCK = 0.25
#: Verdicts that are 1 of answers with sound words, and of the others.
PASSES, PASSES_ALL_THE_SAME = 0.94, 0.2
#: The models whose answers are judged.
MODELS = tuple(evolve(STAMP, model=f"p/{name}={name}@fp") for name in ("large", "small"))


@dataclass(frozen=True, kw_only=True)
class Load:
    """A traffic. ``good`` is the share of the values that are 1, ``known`` whether the watch has its references, and
    ``judged`` how many of the answers have a verdict too. Where nothing names sessions they share no luck."""

    title: str
    rate: float = FULL_LOAD
    good: float = 0.95
    sessions: bool = True
    measured: int = MEASURED_A_SECOND
    known: bool = True
    judged: float = 0.0


LOADS = (
    Load(title="at full load"),
    Load(title="... nothing fails", good=1.0),
    Load(title="... one value in a hundred fails", good=0.99),
    Load(title="... nobody names a session", sessions=False),
    Load(title="... nothing is measured", measured=0),
    Load(title="... every answer of two models is judged", judged=1.0),
    Load(title="... references are still learnt", known=False),
    Load(title="at 100 requests a second", rate=100.0),
)


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def documents(rng: random.Random) -> list[dict[str, Any]]:
    return [{"title": text(rng, 4), "text": text(rng, 80), "updated_ns": START - 30 * DAY} for _ in range(400)]


def request(rng: random.Random, number: int, docs: Sequence[dict[str, Any]], slices: int, gap_ns: int) -> list[Span]:
    """A root with its passages and the call of the model."""
    trace, at = f"{number:032x}", START + number * gap_ns
    passages = [{**doc, "number": i + 1, "score": rng.uniform(2, 5)} for i, doc in enumerate(rng.sample(docs, 4))]
    root = Span(
        trace_id=trace, span_id=f"{number:016x}", name="support", kind="chain", start_ns=at, end_ns=at + SECOND,
        stamp=STAMP, input=text(rng, 12), output=text(rng, 60) + " [1]", input_tokens=rng.randint(900, 1100),
        output_tokens=rng.randint(90, 130), cost_usd=0.001 * rng.uniform(1, 1.1), ttft_ns=rng.randint(3, 4) * 10**8,
        tags={"topic": f"t{number % slices}"}, model="large", session=f"s{number // 4}",
        attributes={"gateway": True, "passages": passages, "finish": "stop"},
    )  # fmt: skip
    call = Span(
        trace_id=trace, span_id=f"{number:015x}a", parent_id=root.span_id, name="llm", kind="llm", start_ns=at,
        end_ns=root.end_ns, stamp=STAMP, input=text(rng, 200), output=root.output,
    )  # fmt: skip
    return [root, call]


def luck_of(rng: random.Random, good: float) -> list[float]:
    """How often each score of a session is 1, and a verdict on an answer with sound words."""
    weight = 1.0 / LUCK - 1.0
    means = [*[good] * len(NAMES), PASSES]
    return [rng.betavariate(mean * weight, (1.0 - mean) * weight) if mean < 1.0 else 1.0 for mean in means]


def scores_of(rng: random.Random, root: Span, rates: Sequence[float], judged: float = 0.0) -> list[Score]:
    found = [
        Score(
            id=f"{root.trace_id}:{name}", trace_id=root.trace_id, name=name, value=float(rng.random() < rate),
            by=f"check:{name}", time_ns=root.end_ns, slice=root.tags["topic"], stamp=root.stamp,
        )
        for name, rate in zip(NAMES, rates, strict=False)
    ]  # fmt: skip
    if judged and rng.random() < judged:
        passes = rates[-1] if found[NAMES.index("grounded")].value else PASSES_ALL_THE_SAME
        verdict = evolve(found[0], name="quality", by="judge:quality", by_version="quality/3")
        found.append(evolve(verdict, value=float(rng.random() < passes), label=f"drawn p={judged:g}"))
    return found


def known_slices(name: str, mean: float) -> dict[str, Any]:
    """Long references of every slice of a signal."""
    kept: dict[str, Any] = Reference.known(MOST, mean, lower_bound(mean * MOST, MOST, 1e-3, binary=True)).state()
    if name in MEASURES and MEASURES[name].worse is not None:
        kept["band"] = [-1e9, 1e9, mean, kept["low"]]
    return {f"t{at}": kept for at in range(SLICES)}


def watch_of(load: Load) -> Watch:
    """A watch, with long references of every slice if the load says so."""
    watch = Watch(default_monitors(lambda _: "bench"), measured_a_second=load.measured)
    if not load.known:
        return watch
    means = {**dict.fromkeys(MEASURES, 0.995), **dict.fromkeys(NAMES, load.good)}
    if load.judged:
        means |= {"quality": 0.9, "judge_firm": 0.75, "judged": 0.995, "fair_sample": 0.995}
    signals = {name: known_slices(name, mean) for name, mean in means.items()}
    known: dict[str, Any] = {"signals": signals}
    # What such sessions let learn: of four values each.
    learnt = {"shared": 1e3 * LUCK, "after": 1e3, "values": MOST, "squares": 4 * MOST}
    if load.sessions:
        known["sessions"] = dict.fromkeys(signals, learnt)
    if load.judged:
        sound = {"references": known_slices("quality", PASSES), "sessions": learnt, "clusters": Clustering().state()}
        names = (stamp.model.partition("=")[0] for stamp in MODELS)
        known["sound"] = {**sound, "models": dict.fromkeys(names, sound)}
    watch.restore({**watch.state(), **known})
    return watch


def watched(load: Load, requests: int, seed: int) -> tuple[float, float]:
    """Microseconds a request of ``Watch.measure`` and of ``Watch.observe``, after WARM others."""
    rng = random.Random(seed)
    docs, watch, gap_ns = documents(rng), watch_of(load), int(SECOND / load.rate)
    busy = load.rate > 1000.0
    warm = WARM if busy else WARM // 4
    size, spent, counted, rates = TOGETHER if busy else 10, [0.0, 0.0], 0, [load.good] * len(NAMES)
    for first in range(0, warm + requests, size):
        spans, scores = list[Span](), list[Score]()
        for number in range(first, first + size):
            root, call = request(rng, number, docs, SLICES, gap_ns)
            if not load.sessions:
                root = evolve(root, session="")
            elif number % 4 == 0:
                rates = luck_of(rng, load.good)
            if load.judged:
                root = evolve(root, stamp=MODELS[number % 3 == 0])
            spans += root, call
            scores += scores_of(rng, root, rates, load.judged)
        if first == warm:
            watch.due()
        started = time.process_time()
        watch.measure(spans, more=busy)
        between = time.process_time()
        watch.observe(scores, more=busy)
        ended = time.process_time()
        if first >= warm:
            spent[0] += between - started
            spent[1] += ended - between
            counted += size
    started = time.process_time()
    watch.due()  # what was read last
    spent[1] += time.process_time() - started
    return spent[0] / counted * 1e6, spent[1] / counted * 1e6


def checking(requests: int, seed: int) -> float:
    """Microseconds a request of the deterministic checks that all traffic gets."""
    rng = random.Random(seed)
    docs, spent, counted = documents(rng), 0.0, 0
    for first in range(0, requests, TOGETHER):
        spans = [span for n in range(first, first + TOGETHER) for span in request(rng, n, docs, SLICES, 10**6)]
        started = time.process_time()
        for output in outputs_of(spans):
            checked(output)
        if first >= requests / 3:
            spent += time.process_time() - started
            counted += TOGETHER
    return spent / counted * 1e6


def scored(scores: int, seed: int) -> dict[str, float]:
    """Seconds for so many scores, in batches, over SLICES slices of every scored signal; references are learnt."""
    rng = random.Random(seed)
    watch = watch_of(Load(title="", known=False))
    spent, done, number = 0.0, 0, 0
    while done < scores:
        batch: list[Score] = []
        for _ in range(500):
            number += 1
            root = Span(
                trace_id=f"{number:032x}", span_id="", name="", kind="chain", start_ns=0,
                end_ns=START + number * SECOND // 2500, tags={"topic": f"t{number % SLICES}"},
            )  # fmt: skip
            batch += scores_of(rng, root, [0.95] * len(NAMES))
        started = time.process_time()
        watch.observe(batch, more=True)
        spent += time.process_time() - started
        done += len(batch)
        print(f"\r{done:,} scores", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {"scores": done, "signal_slices": len(NAMES) * SLICES, "seconds": spent, "us": spent / done * 1e6}


def gateway_us() -> float:
    """Microseconds of processor time that the gateway takes for one request at full load, on this machine, now."""
    command = [sys.executable, str(FLOOR), "--only", "trimtab", "--seconds", "8"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    lines = [line.split() for line in said.stdout.splitlines() if line.startswith("trimtab")]
    if not lines:
        sys.exit(f"The gateway could not be measured; --gateway-us says what it takes.\n{said.stderr[-500:]}")
    return float(lines[0][1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=int, default=1_000_000, help="scored values (default a million)")
    parser.add_argument("--requests", type=int, default=9_000, help="requests of each stage (default 9,000)")
    parser.add_argument("--seed", type=int, default=1, help="chance starts from here (default 1)")
    parser.add_argument("--gateway-us", type=float, help="what the gateway takes a request (default: it is measured)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    args = parser.parse_args()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    before = args.gateway_us or gateway_us()
    print(f"{'us a request':<40} measured   scored  together", flush=True)
    costs: dict[str, tuple[float, float]] = {}
    for load in LOADS:
        measure, observe = costs[load.title] = watched(load, args.requests, args.seed)
        print(f"{load.title:<40} {measure:8.1f} {observe:8.1f} {measure + observe:9.1f}", flush=True)
    after = args.gateway_us or gateway_us()
    usual = (before + after) / 2
    stages = {
        title: {"measured_us": round(measure, 2), "scored_us": round(observe, 2), "us": round(measure + observe, 2),
                "share": round((measure + observe) / usual, 4)}
        for title, (measure, observe) in costs.items()
    }  # fmt: skip
    print(f"the gateway: {before:.0f} us before and {after:.0f} after; watching at full load is "
          f"{stages['at full load']['share']:.1%} of it")  # fmt: skip
    checks, found = checking(args.requests, args.seed), scored(args.scores, args.seed)
    print(f"{'the checks that make the scores':<40} {checks:27.1f}")
    print(f"{found['scores']:,} scores on {found['signal_slices']} signal-slices: {found['seconds']:.1f} s, "
          f"{found['us']:.2f} us each")  # fmt: skip
    result = {
        "command": " ".join(["python bench/watch.py", *sys.argv[1:]]), "requests": args.requests,
        "measures": len(MEASURES), "scores_a_request": len(NAMES), "measured_a_second": MEASURED_A_SECOND,
        "gateway_us": [round(before, 1), round(after, 1)], "stages": stages, "checks_us": round(checks, 2),
        "share_at_full_load": stages["at full load"]["share"],
        "scored": {name: round(value, 3) for name, value in found.items()},
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
