"""A program for ``test_incidents_killed``: the whole chain of an incident, killed after every commit in turn.

Alarm, incident, attribution by replay, action, cases, recovery, close. For each commit of the chain a fresh copy of the
same healthy application runs in a child process, which kills itself right after that commit; a second child opens the
folder again and finishes the chain. Prints what every second child found, as JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from incident_world import PROMPTS, ROUTE, Clock, Truth, World

from trimtab.incidents import Desk, Incident
from trimtab.incidents.joining import GRACE_NS
from trimtab.registry import Registry
from trimtab.store import Metadata, SpanStore

BAD = "support-answer/2"


async def opened(folder: Path, *, at: int) -> World:
    """The application of a folder; ``at`` keeps clock and trace ids of one process apart from the next."""
    clock = Clock(ns=(1_800_000_000 + 300 * at) * 10**9)
    metadata = Metadata.open(folder / "metadata.db")
    store = SpanStore.open(folder / "spans", clock=clock)
    world = World(metadata, store, await Registry.load(metadata, clock=clock), clock)
    world.asked, world.truth = 100_000 * at, Truth(bad={BAD: 0.1})
    if (kept := folder / "watch.json").exists():
        world.watch.restore(json.loads(kept.read_text()))
    return world


def desk_of(world: World) -> Desk:
    desk = world.desk(world.replay)
    assert desk.asking is not None
    desk.asking._waits = (0.0,) * 4
    return desk


async def healthy(folder: Path) -> None:
    """Traffic until the watch knows what is usual; then the prompt that breaks goes to everybody."""
    world = await opened(folder, at=0)
    for text in PROMPTS[:2]:
        await world.new_prompt(text)
    await world.registry.register("routes", "support", ROUTE, author="kim")
    for kind, name in (("prompts", "support-answer"), ("routes", "support")):
        await world.registry.move_label(kind, name, "production", 1, actor="kim")
    await world.serve(desk_of(world), 120)
    (folder / "watch.json").write_text(json.dumps(world.watch.state()))
    await world.registry.move_label("prompts", "support-answer", "production", 2, actor="mara")
    await world.store.flush()
    world.store.close()
    world.metadata.close()


async def chain(world: World) -> Incident:
    """From wherever the folder stands to the end."""
    desk = desk_of(world)
    await desk.load()
    if not await desk.list():
        await world.serve(desk, 400, until_alarm=True)
    (incident,) = await desk.list()
    for _ in range(8):
        if incident.state != "mitigated":
            break
        world.clock.ns += GRACE_NS
        await world.serve(desk, 80)
        await world.store.flush()
        await desk.review()
        incident = await desk.get(incident.id)
    if incident.state == "resolved":
        incident = await desk.close(incident.id, "jonas", "Keep the rule to cite.")
    return incident


async def killed(folder: Path, after: int) -> None:
    """The chain until its ``after``-th commit of metadata; comes back when it has fewer."""
    world = await opened(folder, at=1)
    commits, write = 0, world.metadata.write

    async def counted(step: Callable[..., Any]) -> Any:
        nonlocal commits
        done = await write(step)
        commits += 1
        if commits == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    world.metadata.write = counted  # type: ignore[method-assign, assignment]
    await chain(world)


async def finished(folder: Path, after: int) -> None:
    """The chain taken up again, and what the books say in the end."""
    world = await opened(folder, at=2)
    incident = await chain(world)
    moves = [c.action for c in world.registry.changes() if c.kind == "prompts"]
    number = world.registry.labels("datasets", incident.dataset).get("production", 0)
    cases = world.registry.version("datasets", incident.dataset, number).content["cases"] if number else []
    found = {
        "after": after,
        "state": incident.state,
        "events": dict(Counter(event.kind for event in incident.events)),
        "deeds": [[deed.action, deed.state, len(deed.changes)] for deed in incident.deeds],
        "moves": moves,
        "live": world.registry.labels("prompts", "support-answer")["production"],
        "cases": len(cases),
        "kept": incident.cases,
        "questions": len({case["input"] for case in cases}),
    }
    print(json.dumps(found), flush=True)


def forked(run: Coroutine[Any, Any, None]) -> int:
    """Run it in a child; how the child ended. Nothing is open in this process, so that nothing is shared."""
    child = os.fork()
    if child:
        run.close()
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        asyncio.run(run)
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


def main(folder: Path) -> None:
    template = folder / "healthy"
    template.mkdir()
    if status := forked(healthy(template)):
        raise SystemExit(f"the healthy application ended with {status}")
    after = 0
    while True:
        after += 1
        here = folder / str(after)
        shutil.copytree(template, here)
        status = forked(killed(here, after))
        if status and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            raise SystemExit(f"the chain ended with {status} after {after} commits")
        if forked(finished(here, after)):
            raise SystemExit(f"what was killed after {after} commits could not be taken up again")
        shutil.rmtree(here)
        if not status:
            break  # it was through before it could be killed: every commit had its turn


if __name__ == "__main__":
    main(Path(sys.argv[1]))
