"""Several processes on one database: nothing is overwritten unseen, news arrives, and only news is read."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trimtab.core import Change, Conflict
from trimtab.registry import Registry, following
from trimtab.store import Metadata, tables

CHILD = Path(__file__).with_name("moving_child.py")


async def put(registry: Registry, *contents: str, name: str = "answer") -> None:
    for content in contents:
        await registry.register("prompts", name, {"text": content}, author="mara")
    await registry.move_label("prompts", name, "production", 1, actor="mara")


def facts(registry: Registry) -> dict[str, Any]:
    names = registry.names("prompts")
    return {
        "versions": {name: registry.versions("prompts", name) for name in names},
        "labels": {name: registry.labels("prompts", name) for name in names},
        "protections": {name: registry.protections("prompts", name) for name in names},
        "rollouts": registry.rollouts(),
        "changes": registry.changes(),
    }


async def test_what_another_process_wrote_is_taken_over(
    registry: Registry, open_metadata: Callable[[], Metadata]
) -> None:
    other = await Registry.load(open_metadata())
    heard: list[Change] = []
    other.on_change(heard.append)
    await put(registry, "one", "two", "three")
    started = await registry.start_rollout("prompts", "answer", 2, share=0.5, actor="mara")
    await registry.protect(("prompts", "answer"), "staging", role="admin", gate="", actor="mara")
    assert await other.refresh()
    assert facts(other) == facts(registry)
    assert [change.action for change in heard] == ["label", "rollout"]
    await registry.abort(started.rollout, actor="mara")
    await registry.register("prompts", "answer", {"text": "four"})
    assert await other.refresh()
    assert not await other.refresh()
    assert facts(other) == facts(registry)
    assert other.resolve("prompts:/answer@production", key="s").version.content == {"text": "one"}


async def test_only_what_is_new_is_read(registry: Registry, open_metadata: Callable[[], Metadata]) -> None:
    await put(registry, "one", "two", "three")
    metadata = open_metadata()
    other = await Registry.load(metadata)
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append(statement)

    sa.event.listen(metadata._engines.reading, "before_cursor_execute", note)
    assert not await other.refresh()
    assert len(asked) == 1
    assert "generations" in asked[0]
    asked.clear()
    await registry.move_label("prompts", "answer", "production", 3, actor="mara")
    assert await other.refresh()
    # The counter, five tables above the last look, and the one content that is live now and was not.
    assert len(asked) == 7
    assert all("generation >" in statement for statement in asked[1:6])
    assert other.resolve("prompts:/answer").version.content == {"text": "three"}


async def test_an_asset_that_somebody_else_moved_is_a_conflict_and_then_is_not(
    registry: Registry, open_metadata: Callable[[], Metadata]
) -> None:
    await put(registry, "one", "two", "three")
    other = await Registry.load(open_metadata())
    started = await registry.start_rollout("prompts", "answer", 2, share=0.5, actor="mara")
    with pytest.raises(Conflict, match="Somebody else"):
        await other.start_rollout("prompts", "answer", 3, share=0.5, actor="jonas")
    with pytest.raises(Conflict, match="already has a running rollout"):
        await other.start_rollout("prompts", "answer", 3, share=0.5, actor="jonas")
    await registry.abort(started.rollout, actor="mara")
    with pytest.raises(Conflict, match="Somebody else"):
        await other.rollback("prompts", "answer", actor="jonas")


async def test_versions_of_two_processes_get_numbers_of_their_own(
    registry: Registry, open_metadata: Callable[[], Metadata]
) -> None:
    other = await Registry.load(open_metadata())
    made = await asyncio.gather(
        *(one.register("prompts", "answer", {"n": n, "by": who}) for n in range(5) for who, one in
          (("a", registry), ("b", other))),
        *(one.register("prompts", "answer", {"same": True}) for one in (registry, other)),
    )  # fmt: skip
    assert sorted({version.number for version in made}) == list(range(1, 12))
    await registry.refresh()
    await other.refresh()
    assert facts(registry) == facts(other)


async def test_the_follower_looks_now_and_then_and_when_it_is_told(
    registry: Registry, open_metadata: Callable[[], Metadata]
) -> None:
    other = await Registry.load(open_metadata())
    seen = asyncio.Event()
    other.on_change(lambda _change: seen.set())
    other.follow()
    try:
        await put(registry, "one", "two")
        await asyncio.wait_for(seen.wait(), 10)
        seen.clear()
        await registry.move_label("prompts", "answer", "production", 2, actor="mara")
        other.nudge()
        await asyncio.wait_for(seen.wait(), 10)
        assert other.labels("prompts", "answer") == {"production": 2}
    finally:
        await other.stop()


async def test_a_database_that_is_away_is_said_once_and_followed_again(caplog: pytest.LogCaptureFixture) -> None:
    looks = 0
    back = asyncio.Event()

    async def refresh() -> None:
        nonlocal looks
        looks += 1
        if looks < 4:
            raise OSError("no route")
        back.set()

    follower = following.Follower(refresh, interval_s=0.001)
    follower.start()
    await asyncio.wait_for(back.wait(), 10)
    await asyncio.sleep(0)
    await follower.stop()
    assert [record.message for record in caplog.records] == [
        "the registry cannot see what other processes write: OSError: no route",
        "the registry sees what other processes write again",
    ]


class Child:
    """``moving_child.py`` as a process."""

    def __init__(self, target: Path | str, what: str, number: int) -> None:
        command = [sys.executable, str(CHILD), str(target), what, str(number)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def kill(self, after: int) -> int:
        """Kill it once it has said so many lines. Returns how many it did say."""
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline() for _ in range(after)]
        self._process.kill()
        with self._process:
            lines += self._process.stdout.readlines()
        return len([line for line in lines if line.endswith("\n")])


def race(target: Path | str, moves: int) -> list[list[str]]:
    """Two processes are told the same move at the same time, each to a version of its own, again and again."""
    pair = [Child(target, "race", n) for n in range(2)]
    outcomes: list[list[str]] = []
    try:
        assert [child.hear() for child in pair] == ["ready", "ready"]
        stands = 1
        for move in range(moves):
            numbers = [2 + (move * 2 + n) % 6 for n in range(2)]
            for child, number in zip(pair, numbers, strict=True):
                child.tell([number, stands])
            outcomes.append([child.hear() for child in pair])
            stands = numbers[outcomes[-1].index("moved")]
    finally:
        for child in pair:
            child.kill(0)
    return outcomes


async def test_two_processes_that_move_one_label_get_one_success_and_one_conflict_each_time(
    registry: Registry, target: Path | str, metadata: Metadata
) -> None:
    await put(registry, *(f"version {n}" for n in range(1, 8)))
    outcomes = await asyncio.to_thread(race, target, 20)
    assert all(sorted(pair) == ["conflict", "moved"] for pair in outcomes)
    again = await Registry.load(metadata)
    moves = [change for change in reversed(again.changes()) if change.actor.startswith("child")]
    assert len(moves) == 20
    assert all(one.after == other.before for one, other in pairwise(moves))


async def test_killed_at_any_moment_the_registry_is_whole(
    registry: Registry, target: Path | str, open_metadata: Callable[[], Metadata]
) -> None:
    await put(registry, "one", "two")
    acknowledged = 0
    for round_ in range(10):
        acknowledged += await asyncio.to_thread(Child(target, "write", round_).kill, 1 + round_ * 3)
        await whole(await Registry.load(open_metadata()), acknowledged)
    await registry.refresh()
    assert facts(registry) == facts(await Registry.load(open_metadata()))


async def whole(registry: Registry, acknowledged: int) -> None:
    """Every label stands where its last change put it, on a version that is there, and no number is missing."""
    changes = [change for change in reversed(registry.changes(limit=10_000)) if change.name == "answer"]
    stands, running = "", ""
    for change in changes:
        if change.action in ("label", "promote"):
            assert change.before == stands
            stands = change.after
        running = change.rollout if change.action in ("rollout", "share") else ""
    assert registry.resolve("prompts:/answer").version.pin == stands
    rollout = registry.running("prompts", "answer")
    assert (rollout.id if rollout else "") == running
    numbers = [version.number for version in registry.versions("prompts", "answer")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len({version.digest for version in registry.versions("prompts", "answer")}) == len(numbers)
    assert len(changes) + len(numbers) >= acknowledged


def test_the_counter_is_what_the_tables_hold() -> None:
    watched = ("versions", "labels", "rollouts", "changes", "protections")
    assert all("generation" in getattr(tables, name).c for name in watched)
