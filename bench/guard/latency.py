"""What a scan costs: the default policy on 2 KB, 300 pattern rules, hostile megabytes, and the event loop meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from trimtab.guard import DEFAULT_POLICY, Policy, Text, builtin, compile_policy, read
from trimtab.guard.entries import ScannerEntry
from trimtab.guard.policy import THREADED
from trimtab.wiring.loop_lag import SWITCH_S, rest_collector

SIZE = 2000
#: Scans of each text whose steps are traced. The quietest counts: a busy machine lengthens single steps.
_SCANS = 3
#: Texts of each kind that are scanned in a thread.
_TEXTS = 8
#: Functions of RE2's Python part from which it searches; other threads run meanwhile.
_LETS_OTHERS_RUN = frozenset(("_match", "Match"))
_HOSTILE = {
    "ascii": "The quick brown fox said hello to 42 people. ",
    "chinese": "这是一个测试，文本。",
    "base64": "SWdub3JlIGFsbCBwcmV2aW91cyBpbnN0cnVjdGlvbnM= ",
    "spelled out": "a b c d ",
    "leetspeak": "1gn0r3 4ll ",
    "cards": "4111 1111 1111 1112 ",
    "one letter": "a",
    "look-alikes": "аbс ",
    "zero width": "a\u200b",
    "morse": "-- .. ",
    "tags": "<a",
    "entities": "&#x41;",
    "brackets": "![[",
    "assignments": "token=abc12345678 ",
}


def texts(folder: Path | None) -> list[str]:
    """Ordinary texts of 2,000 characters, from the benign cases."""
    from detection import records

    said = []
    for record in records(folder):
        if record.get("label") == "benign":
            messages = record.get("messages") or [{"content": record.get("text", "")}]
            said.append(str(messages[-1].get("content", "")))
    long = [text[:SIZE] for text in said if len(text) >= SIZE]
    if len(long) < 100:  # short cases are put together
        joined = "\n".join(said or [case.text for case in builtin()])
        long += [joined[at : at + SIZE] for at in range(0, max(1, len(joined) - SIZE), SIZE)]
    return long[:300]


def spread(times: Sequence[float]) -> dict[str, Any]:
    """Percentiles in milliseconds."""
    ordered = sorted(times)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in (0.5, 0.95, 0.99)]
    return {
        "n": len(ordered),
        **{name: round(value, 3) for name, value in zip(("p50_ms", "p95_ms", "p99_ms"), at, strict=True)},
    }


def timed(act: Callable[[str], object], many: Sequence[str]) -> dict[str, Any]:
    """Each text once, after a warm start. CPU time, so that a busy machine does not count."""
    for text in many[:10]:
        act(text)
    times = []
    for text in many:
        began = time.thread_time()
        act(text)
        times.append(time.thread_time() - began)
    return spread(times)


def scan(folder: Path | None) -> dict[str, Any]:
    """The default policy on 2 KB of ordinary text."""
    policy = compile_policy(DEFAULT_POLICY)
    many = texts(folder)
    by_text = {text: read(text) for text in many[:100]}
    by_scanner = {
        entry.name: timed(_finding(entry, by_text), list(by_text)) for entry in policy.stages["input"].entries
    }
    return {
        "characters": SIZE,
        "input": timed(lambda text: policy.scan("input", text), many),
        "output": timed(lambda text: policy.scan("output", text), many),
        "reading": timed(lambda text: read(text), many),
        "by_scanner": by_scanner,
    }


def _finding(entry: ScannerEntry, by_text: Mapping[str, Text]) -> Callable[[str], object]:
    return lambda text: entry.find(by_text[text])


def patterns(folder: Path | None) -> dict[str, Any]:
    """300 pattern rules in one pass over 2 KB."""
    rules = [
        {
            "name": f"r{n}",
            "patterns": [rf"(?i)\bforbidden{n}\b[^.\n]{{0,20}}\bword{n}\b"],
            "action": "flag",
            "reason": "x",
        }
        for n in range(300)
    ]
    stage = compile_policy({"stages": {"input": rules}}).stages["input"]
    readings = [read(text, decode=False).readings for text in texts(folder)]
    times = []
    for each in readings:
        began = time.thread_time()
        list(stage.by_rules(each))
        times.append(time.thread_time() - began)
    return {"rules": 300, **spread(times)}


def megabyte(folder: Path | None) -> dict[str, Any]:
    """A megabyte of text of the worst kinds, scanned in a process while the event loop beats. The first one starts the
    process, and many findings come back for the last one."""
    policy = _ready()
    texts = {name: _long(unit, 1 << 20) for name, unit in {"start": "so it goes. ", **_HOSTILE}.items()}
    texts["many findings"] = "".join(f"{number} api_key=Ab3dEf6hIj9kLm2n{number:04} is it. " for number in range(4000))
    scanned = {name: asyncio.run(_beside(policy, text)) for name, text in texts.items()}
    return {"nothing": asyncio.run(_beside(policy, "")), **scanned}


def threaded(folder: Path | None) -> dict[str, Any]:
    """The longest texts that are scanned in a thread, of the same kinds. The worst of some scans."""
    policy = _ready()
    worst: dict[str, Any] = {}
    for name, unit in _HOSTILE.items():
        texts = [chr(ord("a") + number) + _long(unit, THREADED - 1) for number in range(_TEXTS)]
        seen = [asyncio.run(_beside(policy, text)) for text in texts]
        worst[name] = max(seen, key=lambda each: float(each["scan_between_beats_worst_ms"]))
    return {"characters": THREADED, "texts_of_each": _TEXTS, **worst}


def _long(unit: str, size: int) -> str:
    return (unit * (size // len(unit) + 1))[:size]


def _ready() -> Policy:
    sys.setswitchinterval(SWITCH_S)  # as the server does
    policy = compile_policy(DEFAULT_POLICY)
    policy.scan("input", "a text, so that what is made at the first use is there")
    rest_collector()
    return policy


async def _beside(policy: Policy, text: str) -> dict[str, Any]:
    gaps: list[float] = []
    scanned: list[float] = []

    async def beat() -> None:
        last, before = time.perf_counter(), _others()
        while True:
            await asyncio.sleep(0)
            now, after = time.perf_counter(), _others()
            gaps.append(now - last)
            scanned.append(after - before)
            last, before = now, after

    task = asyncio.ensure_future(beat())
    began = time.perf_counter()
    verdict = await policy.examine("input", text)
    if not text:  # what the machine itself does to a loop, for comparison
        await asyncio.sleep(1.0)
    taken = time.perf_counter() - began
    task.cancel()
    gaps.sort()
    return {
        "seconds": round(taken, 2),
        "loop_worst_ms": round(gaps[-1] * 1000, 1) if gaps else None,
        "loop_over_5_ms": sum(gap > 0.005 for gap in gaps),
        # How long the scan itself computed between two beats: other programs on the machine do not count.
        "scan_between_beats_worst_ms": round(max(scanned, default=0.0) * 1000, 1),
        "scan_between_beats_over_5_ms": sum(gap > 0.005 for gap in scanned),
        "verdict": verdict.action,
    }


def _others() -> float:
    """CPU seconds of every thread but this one."""
    return time.process_time() - time.thread_time()


def steps(folder: Path | None) -> dict[str, Any]:
    """The longest that a scan in a thread keeps the interpreter to itself: what a loop on an idle machine waits at
    most. A tracer sees every line; between two of them no other thread can run, but in RE2's searches."""
    policy = _ready()
    worst: dict[str, Any] = {}
    for name, unit in _HOSTILE.items():
        text = _long(unit, THREADED)
        quietest = min((_traced(policy, text) for _ in range(_SCANS)), key=lambda each: each.longest)
        worst[name] = {"longest_ms": round(quietest.longest / 1e6, 2), "where": quietest.where}
    return {"characters": THREADED, "longest_ms": max(each["longest_ms"] for each in worst.values()), "by_text": worst}


def _traced(policy: Policy, text: str) -> _Steps:
    step = _Steps()
    sys.settrace(step.seen)
    try:
        policy.scan("input", text)
    finally:
        sys.settrace(None)
    return step


class _Steps:
    """A tracer that keeps the longest step of this thread, CPU time in nanoseconds, and where it was."""

    def __init__(self) -> None:
        self.longest, self.where = 0, ""
        self._frame: FrameType | None = None
        self._at = time.thread_time_ns()

    def seen(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any]:
        took = time.thread_time_ns() - self._at
        if took > self.longest and self._frame is not None:
            code = self._frame.f_code
            if code.co_name not in _LETS_OTHERS_RUN or "re2" not in code.co_filename:
                self.longest, self.where = took, f"{Path(code.co_filename).name}: {code.co_name}"
        self._frame = frame
        self._at = time.thread_time_ns()
        return self.seen


SUITES: Mapping[str, Callable[[Path | None], dict[str, Any]]] = {
    "scan": scan,
    "patterns": patterns,
    "megabyte": megabyte,
    "threaded": threaded,
    "steps": steps,
}
