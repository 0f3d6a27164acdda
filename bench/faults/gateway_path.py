"""A check that the fast path tells the truth: the same faults through the real gateway, server and store.

The demo's house plays its faults over HTTP, with simulated models. Its verdict is put beside the fast path's for the
fault type that does the same to the application here.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from trimtab.demo import Options as DemoOptions
from trimtab.demo import Outcome
from trimtab.demo import run as play_demo

from .catalogue import BY_NAME
from .driver import Options, Runner
from .plans import singles
from .scoring import Marks
from .trial import Plan

#: The demo's fault and ours.
SAME = {
    "prompt": "instruction dropped", "model": "silent swap", "knowledge": "old snapshot", "guard": "over-blocking rule",
    "operations": "judge lenient",
}  # fmt: skip


def same_story(names: list[str]) -> int:
    """Play these faults both ways; 1 when a verdict on the layer differs, 2 for an unknown name."""
    unknown = [name for name in names if name not in SAME]
    if unknown:
        print(f"--gateway: {', '.join(unknown)} is no fault of the demo; use {', '.join(SAME)}", file=sys.stderr)
        return 2
    differ = 0
    with Runner(Options(hard=False)) as runner:
        for name in names:
            slow = asyncio.run(play_demo(DemoOptions(fault=name, once=True, json=True), {}))
            fast = runner.trial(_plan(name))
            assert fast is not None
            same = slow.layer == (fast.said if fast.detected else None)
            differ += not same
            print(f"{name:<12} gateway {_told(slow)} | fast path {_said(fast)} | {'same' if same else 'DIFFER'}")
    return int(differ > 0)


def _plan(name: str) -> Plan:
    fault = BY_NAME[SAME[name]]
    plan = singles([fault], 1, 1, hard=False)[-1]
    return replace(plan, severity=0.4, reach="all", share=1.0, slice="", onset="step")


def _told(outcome: Outcome) -> str:
    return f"layer {outcome.layer}, {outcome.change}, {outcome.certainty}, {outcome.requests_to_alarm} requests"


def _said(marks: Marks) -> str:
    return f"layer {marks.said}, {marks.cause}, {marks.certainty}, {marks.requests} requests"
