"""The hop budget: how many functions of ours one warm request enters, how deep, and over how many files.

Few hops keep the path readable and cheap. The limits are what is reached today; ``docs/decisions/0006`` says why they
are above the sixty functions, twelve levels and fifteen files that were aimed at. They may go down and not up.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

from gateway_house import House

import trimtab

HOUSE = str(Path(trimtab.__file__).parent)
FUNCTIONS, DEPTH, FILES = 114, 11, 33
ASK = {"model": "bare", "messages": [{"role": "user", "content": "How do I reset the pump?"}]}


class Hops:
    """Functions of ours that are entered, by file, while the profiler is set; parts of a function are not hops."""

    def __init__(self) -> None:
        self.by_file: dict[str, set[str]] = defaultdict(set)
        self.depth = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(HOUSE) or code.co_name.startswith("<"):
            return
        self.by_file[code.co_filename.removeprefix(HOUSE)].add(code.co_qualname)
        depth, above = 0, frame
        while above is not None:
            depth += above.f_code.co_filename.startswith(HOUSE) and not above.f_code.co_name.startswith("<")
            above = above.f_back  # type: ignore[assignment]  # None ends the loop
        self.depth = max(self.depth, depth)

    @property
    def functions(self) -> int:
        return sum(map(len, self.by_file.values()))

    def __str__(self) -> str:
        return "\n".join(f"{file}: {', '.join(sorted(names))}" for file, names in sorted(self.by_file.items()))


async def hops_of_one(house: House) -> Hops:
    hops = Hops()
    sys.setprofile(hops)
    try:
        answer = await house.ask(ASK)
    finally:
        sys.setprofile(None)
    assert answer.status == 200
    return hops


async def test_a_warm_request_stays_within_its_hops(house: House) -> None:
    await house.publish("guards", "open", {"stages": {}})
    await house.publish("routes", "bare", {"targets": [{"model": "scripted/echo"}], "guard": "guards:/open@production"})
    for _ in range(5):
        assert (await house.ask(ASK)).status == 200
    await asyncio.sleep(0.05)  # what the warm-up left to do is no part of the request
    # What comes once in many requests (drawing the next identifiers) may fall into one of them and not into two.
    hops = min([await hops_of_one(house), await hops_of_one(house)], key=lambda hops: hops.functions)
    seen = f"{hops.functions} functions, {hops.depth} deep, in {len(hops.by_file)} files\n{hops}"
    assert hops.functions <= FUNCTIONS, seen
    assert hops.depth <= DEPTH, seen
    assert len(hops.by_file) <= FILES, seen
