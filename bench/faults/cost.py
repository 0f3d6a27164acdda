"""What watching costs: observations a second on one core, and CPU a request beside the gateway's own."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from pathlib import Path

from trimtab.core import Score, Span, Stamp
from trimtab.evals import Output
from trimtab.watch import SCORED, Vendors, Watch, default_monitors

from .record import checks_of
from .stage import Learnt, stage

#: Where ``bench/gateway`` keeps what it measured.
GATEWAY = Path(__file__).parents[1] / "results" / "gateway.json"
SLICES = tuple(f"slice {i:02}" for i in range(17))


def throughput(observations: int) -> Mapping[str, float]:
    """Scores a second through a watch of at least 200 armed signal-slices; CPU time of this process."""
    watch = Watch(default_monitors(lambda _: "bench"), reference=60)
    rng, stamp = random.Random(1), Stamp(prompt="p/1", model="a/b=c@d", route="r/1")
    names = list(SCORED)

    def made(i: int) -> Score:
        name, part = names[i % len(names)], SLICES[i // len(names) % len(SLICES)]
        return Score(
            id=str(i), trace_id=str(i), name=name, value=float(rng.random() < 0.95), by="check", time_ns=i,
            slice=part, stamp=stamp,
        )  # fmt: skip

    warm = 80 * len(names) * len(SLICES)
    watch.observe([made(i) for i in range(warm)])
    scores = [made(warm + i) for i in range(observations)]
    started = time.process_time()
    alarms = watch.observe(scores)
    spent = time.process_time() - started
    armed = sum(len(watch.baselines(name)) for name in names)
    return {
        "observations": observations, "signal_slices": armed, "observations_per_second": round(observations / spent),
        "seconds_per_million": round(spent / observations * 1e6, 2), "alarms": len(alarms),
    }  # fmt: skip


def gateway_us() -> float:
    """CPU microseconds of the gateway for one short request at full load, as ``bench/gateway`` measured it last."""
    measured = json.loads(GATEWAY.read_text(encoding="utf-8"))
    return float(measured["peers"]["trimtab"]["cpu_us_short"])


async def per_request(template: Path, learnt: Learnt, requests: int) -> Mapping[str, float]:
    """CPU microseconds a request for the detectors (measures and scores) and for the checks that feed them, where
    requests come one by one. A busy server's come together and cost far less each: ``bench/watch.py``."""
    traces: list[tuple[list[Span], list[Score]]] = []
    async with stage(template, 77, learnt=learnt) as run:
        for _ in range(requests):
            spans, scores, _ = run.world.serve()
            traces.append((spans, scores))
        watch, vendors = run.watch, Vendors()
        started = time.process_time()
        for spans, _ in traces:
            output = Output.from_trace(spans)
            assert output is not None
            checks_of(output)
        checked = time.process_time()
        for spans, scores in traces:
            vendors.observe(spans)
            watch.measure(spans)
            watch.observe(scores)
        watched = time.process_time()
    checks_us, watch_us = ((b - a) / requests * 1e6 for a, b in ((started, checked), (checked, watched)))
    usual_us = gateway_us()
    return {
        "requests": requests, "checks_us": round(checks_us, 1), "watch_us": round(watch_us, 1),
        "gateway_us": round(usual_us, 1), "watch_share_of_gateway": round(watch_us / usual_us, 3),
    }  # fmt: skip
