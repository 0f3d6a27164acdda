#!/usr/bin/env python3
"""CPU time of what follows a request once its spans are handed over, by thread.

Gives the recorder the spans of gateway requests (a root, the model's call, the guard's score) at a steady rate, as a
busy gateway does, and reads the CPU time of three threads: handing over, the store's writer and the thread that writes
down words. ``--spans FILE`` takes recorded ones: a pickled list of (spans, scores), one entry a request.

    python bench/recorder.py [--requests 40000] [--rate 4000] [--spans FILE] [--result FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import pickle
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.core import Layer, Score, Span, Stamp, new_span_id, new_trace_id, now_ns
from trimtab.core.swift import evolve
from trimtab.store import SpanStore
from trimtab.traces.recorder import Recorder

RESULT = Path(__file__).parent / "results" / "recorder.json"
WARM, EACH_S = 3000, 0.01
WORDS = [f"{a}{b}{c}" for a in ("re", "de", "con", "pre", "un", "ex") for b in ("fund", "port", "tract", "view")
         for c in ("", "s", "ed", "ing", "er", "able", "ment", "ion")]  # fmt: skip
THREADS = {"writer": "trimtab-span-writer", "words": "trimtab-span-indexer"}
Request = tuple[Sequence[Span], Sequence[Score]]


def make(count: int, rng: random.Random) -> list[Request]:
    """Requests of some 100 words that are answered with some 120."""
    stamp = Stamp(model="up/bench-1=bench-1", guard="open/1", route="bench/1")
    found: list[Request] = []
    for _ in range(count):
        trace_id, root_id, start = new_trace_id(), new_span_id(), now_ns()
        question, answer = (" ".join(rng.choices(WORDS, k=n)) for n in (100, 120))
        messages = [{"role": "user", "content": question}]
        shared: dict[str, Any] = {
            "trace_id": trace_id, "stamp": stamp, "model": "bench-1", "provider": "up", "input_tokens": 120,
            "output_tokens": rng.randrange(20, 300), "cached_tokens": 0, "reasoning_tokens": 0, "cost_usd": 0.001,
            "output": answer, "start_ns": start, "end_ns": start + rng.randrange(10**6, 10**8), "ttft_ns": 10**6,
        }  # fmt: skip
        ask = {"model": "bench", "messages": messages, "params": {}, "stream": False, "prompt": "", "variables": {}}
        root = Span(
            span_id=root_id, name="bench", kind="chain", input=question,
            attributes={"gateway": True, "ask": ask, "finish": "stop", "attempts": 1, "passages": [], "arms": {}},
            **shared,
        )  # fmt: skip
        call = Span(
            span_id=new_span_id(), parent_id=root_id, name="up/bench-1", kind="llm", layer=Layer.MODEL,
            input=json.dumps(messages), attributes={"ref": "up/bench-1", "finish": "stop"}, **shared,
        )  # fmt: skip
        score = Score(
            id=f"{trace_id}:allowed", trace_id=trace_id, span_id=root_id, name="allowed", value=1.0, by="guard:open",
            by_version="open/1", time_ns=start, stamp=stamp,
        )  # fmt: skip
        found.append(([root, call], [score]))
    return found


def recorded(path: Path, count: int) -> list[Request]:
    """The requests of a file, as often as is asked for, each time with ids and times of their own."""
    kept: list[Request] = pickle.loads(path.read_bytes())
    found: list[Request] = []
    for n in range(count):
        spans, scores = kept[n % len(kept)]
        trace_id, start = new_trace_id(), now_ns()
        ids = {"": "", **{span.span_id: new_span_id() for span in spans}}
        later = start - min(span.start_ns for span in spans)
        fresh = [
            evolve(span, trace_id=trace_id, span_id=ids[span.span_id], parent_id=ids.get(span.parent_id, ""),
                   start_ns=span.start_ns + later, end_ns=span.end_ns + later)
            for span in spans
        ]  # fmt: skip
        judged = [
            evolve(score, id=f"{trace_id}:{score.name}", trace_id=trace_id, span_id=ids.get(score.span_id, ""),
                   time_ns=start)
            for score in scores
        ]  # fmt: skip
        found.append((fresh, judged))
    return found


def cpu_us(name: str) -> float:
    """CPU time so far of a thread of this process."""
    (thread,) = [one for one in threading.enumerate() if one.name == name]
    return int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()[0]) / 1e3


def feed(recorder: Recorder, requests: Sequence[Request], rate: float) -> float:
    """Hand them over at a steady rate; returns the CPU microseconds that took."""
    each, spent = max(1, round(rate * EACH_S)), 0.0
    due = time.monotonic()
    for at in range(0, len(requests), each):
        before = time.thread_time()
        for spans, scores in requests[at : at + each]:
            recorder.record(spans, scores)
        spent += time.thread_time() - before
        due += EACH_S
        time.sleep(max(0.0, due - time.monotonic()))
    return spent * 1e6


def settle() -> None:
    """Wait until the words of what came last are begun, and nothing is left to be done."""
    before, until = -1.0, time.monotonic() + 120
    while (now := cpu_us(THREADS["words"])) - before > 20_000 and time.monotonic() < until:
        before = now
        time.sleep(6.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of what follows a request, by thread")
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--rate", type=float, default=4000.0, help="requests a second")
    parser.add_argument("--spans", type=Path, help="recorded spans instead of made ones")
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    print(f"making {options.requests} requests ...", flush=True)
    count = WARM + options.requests
    requests = recorded(options.spans, count) if options.spans else make(count, random.Random(5))
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as the server does
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as folder:
        store = SpanStore.open(Path(folder))
        recorder = Recorder(store)
        feed(recorder, requests[:WARM], options.rate)
        time.sleep(1.0)
        before = {name: cpu_us(thread) for name, thread in THREADS.items()}
        print(f"recording them at {options.rate:g} a second ...", flush=True)
        spent = {"handing over": feed(recorder, requests[WARM:], options.rate)}
        settle()
        spent |= {name: cpu_us(thread) - before[name] for name, thread in THREADS.items()}
        dropped = store.dropped
        store.close()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    spans = sum(len(spans) for spans, _ in requests)
    result = {
        "command": f"python bench/recorder.py --requests {options.requests} --rate {options.rate:g}"
        + (" --spans FILE" if options.spans else ""),
        "requests": options.requests,
        "spans_a_request": round(spans / count, 2),
        "dropped": dropped,
        "cpu_us_a_request": {name: round(us / options.requests, 2) for name, us in spent.items()},
        "cpu_us_a_request_in_all": round(sum(spent.values()) / options.requests, 2),
        "disk_bytes_per_span": round(size / spans),
    }
    print(json.dumps(result, indent=1))
    options.result.parent.mkdir(exist_ok=True)
    options.result.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
