"""Taking back one change, a group of changes, or everything to a moment in time."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core import BadInput, Conflict, Forbidden, NotFound
from trimtab.registry import May, Registry

ADMIN, MEMBER = May(role="admin"), May(role="member")


async def put(registry: Registry, count: int, *, kind: str = "prompts", name: str = "answer") -> None:
    for n in range(1, count + 1):
        await registry.register(kind, name, {"text": f"{n}"}, author="mara")
    await move(registry, 1, kind=kind, name=name)


async def move(registry: Registry, number: int, *, kind: str = "prompts", name: str = "answer", **more: Any) -> Any:
    return await registry.move_label(kind, name, more.pop("label", "production"), number, actor="mara", **more)


def stands(registry: Registry) -> dict[str, int]:
    return {
        f"{kind}:/{name}@{label}": number
        for kind in ("prompts", "guards", "routes")
        for name in registry.names(kind)
        for label, number in registry.labels(kind, name).items()
    }


@pytest.fixture
async def busy(registry: Registry, clock: Any) -> tuple[Registry, int]:
    """A registry with a moment, and everything that happened after it."""
    await put(registry, 4)
    await put(registry, 3, kind="guards", name="strict")
    await put(registry, 2, kind="routes", name="support")
    await move(registry, 2)
    await move(registry, 2, label="staging")
    running = await registry.start_rollout("guards", "strict", 2, share=0.1, actor="mara")
    clock.ns += 1_000_000
    at = clock.ns
    await registry.set_share(running.rollout, 0.5, actor="mara")
    await move(registry, 3)
    await move(registry, 4)
    await move(registry, 3, label="staging")
    await move(registry, 1, label="canary")
    await registry.start_rollout("routes", "support", 2, share=0.5, actor="mara")
    return registry, at


async def test_everything_as_it_was_at_a_moment(busy: tuple[Registry, int]) -> None:
    registry, at = busy
    before = registry.changes()
    done = await registry.rewind(at, actor="jonas", note="worse since five past two")
    assert stands(registry) == {
        "prompts:/answer@production": 2, "prompts:/answer@staging": 2, "prompts:/answer@canary": 1,
        "guards:/strict@production": 1, "routes:/support@production": 1,
    }  # fmt: skip
    guard = registry.running("guards", "strict")
    assert guard is not None
    assert guard.share == 0.1
    assert registry.running("routes", "support") is None
    assert done.left == ("prompts:/answer@canary did not exist then; it stays.",)
    assert registry.changes()[: len(done.changes)] == list(reversed(done.changes))
    assert registry.changes()[len(done.changes) :] == before
    assert {change.group for change in done.changes} == {done.group}
    assert {(change.actor, change.note) for change in done.changes} == {("jonas", "worse since five past two")}
    assert sorted(change.action for change in done.changes) == ["abort", "rollback", "rollback", "share"]
    with pytest.raises(Conflict, match="Nothing has moved"):
        await registry.rewind(registry.changes()[0].time_ns, actor="jonas")


async def test_a_dry_run_says_the_same_and_does_nothing(busy: tuple[Registry, int]) -> None:
    registry, at = busy
    before, ledger = stands(registry), registry.changes()
    dry = await registry.rewind(at, actor="jonas", dry_run=True)
    assert (stands(registry), registry.changes()) == (before, ledger)
    real = await registry.rewind(at, actor="jonas")
    assert [(c.action, c.asset, c.before, c.after) for c in dry.changes] == [
        (c.action, c.asset, c.before, c.after) for c in real.changes
    ]


async def test_a_rewind_is_undone_as_a_group(busy: tuple[Registry, int]) -> None:
    registry, at = busy
    before = stands(registry)
    done = await registry.rewind(at, actor="jonas")
    back = await registry.undo(done.group, actor="mara")
    assert stands(registry) == before
    guard = registry.running("guards", "strict")
    assert guard is not None
    assert guard.share == 0.5
    # The aborted rollout is not started again, and that is said.
    assert [text for text in back.left if "has ended" in text]
    assert len({change.group for change in back.changes}) == 1


async def test_forth_again_leaves_a_way_back(registry: Registry, clock: Any) -> None:
    """Rewinding over a rollback goes forth; the next rollback leads back from there."""
    await put(registry, 3)
    await move(registry, 2)
    await move(registry, 3)
    clock.ns += 1_000
    at = clock.ns
    await registry.rollback("prompts", "answer", actor="mara")
    done = await registry.rewind(at, actor="mara")
    assert [change.action for change in done.changes] == ["label"]
    assert registry.labels("prompts", "answer") == {"production": 3}
    assert (await registry.rollback("prompts", "answer", actor="mara")).after == "answer/2"


async def test_a_rollout_that_ended_since_is_named_and_not_restarted(registry: Registry, clock: Any) -> None:
    await put(registry, 2)
    started = await registry.start_rollout("prompts", "answer", 2, share=0.1, actor="mara")
    clock.ns += 1_000
    at = clock.ns
    await registry.promote(started.rollout, actor="mara")
    done = await registry.rewind(at, actor="mara")
    assert registry.labels("prompts", "answer") == {"production": 1}
    assert started.rollout in done.left[0]


async def test_a_moment_to_come_is_refused(registry: Registry) -> None:
    await put(registry, 1)
    with pytest.raises(BadInput, match="still to come"):
        await registry.rewind(10**18, actor="mara")


async def test_undo_of_a_move_a_rollback_and_a_share(registry: Registry) -> None:
    await put(registry, 3)
    first = registry.changes()[0]
    moved = await move(registry, 2)
    undone = await registry.undo(moved.id, actor="mara")
    assert (undone.changes[0].action, undone.changes[0].after) == ("rollback", "answer/1")
    assert moved.id in undone.changes[0].note
    forth = await registry.undo(undone.changes[0].id, actor="mara", note="it was right")
    assert (forth.changes[0].action, forth.changes[0].after, forth.changes[0].note) == (
        "label", "answer/2", "it was right",
    )  # fmt: skip
    with pytest.raises(Conflict, match="moved on"):
        await registry.undo(first.id, actor="mara")
    started = await registry.start_rollout("prompts", "answer", 3, share=0.1, actor="mara")
    grown = await registry.set_share(started.rollout, 0.5, actor="mara")
    assert (await registry.undo(grown.id, actor="mara")).changes[0].share == 0.1
    with pytest.raises(Conflict, match="running rollout"):
        await registry.undo(forth.changes[0].id, actor="mara")
    assert (await registry.undo(started.id, actor="mara")).changes[0].action == "abort"
    with pytest.raises(Conflict, match="has ended"):
        await registry.undo(started.id, actor="mara")


async def test_what_cannot_be_undone_says_why(registry: Registry) -> None:
    await put(registry, 1)
    with pytest.raises(Conflict, match="there was no"):
        await registry.undo(registry.changes()[0].id, actor="mara")
    seen = await registry.record_external("models", "v/m", before="1", after="2", note="")
    with pytest.raises(Conflict, match="outside of Trimtab"):
        await registry.undo(seen.id, actor="mara")
    for nothing in ("chg_none", "grp_none"):
        with pytest.raises(NotFound):
            await registry.undo(nothing, actor="mara")


async def test_a_protected_label_is_rewound_by_an_admin_only(busy: tuple[Registry, int]) -> None:
    registry, at = busy
    await registry.protect(("prompts", "answer"), "production", role="admin", gate="eval", actor="mara")
    before = stands(registry)
    with pytest.raises(Forbidden, match="role admin"):
        await registry.rewind(at, actor="jonas", may=MEMBER)
    with pytest.raises(Forbidden, match="role admin"):
        await registry.rollback("prompts", "answer", actor="jonas", may=MEMBER)
    assert stands(registry) == before
    # Going back needs no gate: what served before has served before.
    done = await registry.rewind(at, actor="mara", may=ADMIN)
    assert registry.labels("prompts", "answer")["production"] == 2
    forward = next(change for change in done.changes if change.label == "production" and change.kind == "prompts")
    with pytest.raises(Forbidden, match="gate"):
        await registry.undo(forward.id, actor="mara", may=ADMIN)
