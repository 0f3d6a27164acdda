"""A process of its own that writes to a registry: ``TARGET race N`` or ``TARGET write N``.

``race`` moves one label as each line of its input says, ``[number, expect]``, and says ``moved`` or ``conflict``.
``write`` does everything without end and says a line for each write that was answered.
"""

from __future__ import annotations

import asyncio
import json
import sys

from trimtab.core import Conflict
from trimtab.registry import Registry
from trimtab.store import Metadata


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def race(registry: Registry, me: int) -> None:
    say("ready")
    for line in sys.stdin:
        number, expect = json.loads(line)
        try:
            await registry.move_label("prompts", "answer", "production", number, actor=f"child {me}", expect=expect)
            say("moved")
        except Conflict:
            say("conflict")


async def write(registry: Registry, round_: int) -> None:
    n = 0
    while True:
        n += 1
        version = await registry.register("prompts", "answer", {"text": f"{round_} {n}"}, author="child")
        say("version")
        if (running := registry.running("prompts", "answer")) is not None:
            await registry.promote(running.id, actor="child")
        else:
            await registry.move_label("prompts", "answer", "production", version.number, actor="child")
            say("label")
            other = await registry.register("prompts", "answer", {"text": f"{round_} {n} other"}, author="child")
            say("version")
            started = await registry.start_rollout("prompts", "answer", other.number, share=0.1, actor="child")
            say("rollout")
            await registry.set_share(started.rollout, 0.5, actor="child")
        say("change")


async def main(target: str, what: str, *numbers: int) -> None:
    metadata = Metadata.open(target)
    registry = await Registry.load(metadata)
    await (race(registry, *numbers) if what == "race" else write(registry, *numbers))
    metadata.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *(int(text) for text in sys.argv[3:])))
