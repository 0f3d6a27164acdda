"""The registry against a real database: what is written is seen, kept, and refused when somebody was first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from trimtab.core import BadInput, Change, Conflict, NotFound, TooLarge, parse_address
from trimtab.registry import Event, Registry
from trimtab.store import Metadata


async def put(registry: Registry, *contents: str, kind: str = "prompts", name: str = "answer") -> None:
    """Register contents as versions 1, 2, ... and put production on the first."""
    for content in contents:
        await registry.register(kind, name, {"text": content}, author="mara")
    await registry.move_label(kind, name, "production", 1, actor="mara")


def facts(registry: Registry) -> dict[str, Any]:
    """Everything a reader can see."""
    names = {kind: registry.names(kind) for kind in ("prompts", "routes", "models")}
    return {
        "versions": {(k, n): registry.versions(k, n) for k, ns in names.items() for n in ns},
        "labels": {(k, n): registry.labels(k, n) for k, ns in names.items() for n in ns},
        "rollouts": registry.rollouts(),
        "running": registry.rollouts(running=True),
        "changes": registry.changes(),
    }


async def test_versions_count_from_one_and_the_same_content_is_the_same_version(registry: Registry) -> None:
    first = await registry.register("prompts", "answer", {"a": 1, "b": [1.5, None, "é"]}, author="mara", note="first")
    again = await registry.register("prompts", "answer", {"b": [1.5, None, "é"], "a": 1}, author="jonas")
    second = await registry.register("prompts", "answer", {"a": 2})
    assert (first.number, first.author, first.note) == (1, "mara", "first")
    assert again == first
    assert second.number == 2
    assert registry.labels("prompts", "answer") == {}
    assert registry.changes() == []


async def test_content_is_what_was_given_then_whatever_the_caller_does_to_it_later(registry: Registry) -> None:
    content = {"list": [1]}
    version = await registry.register("prompts", "answer", content)
    content["list"].append(2)
    assert registry.version("prompts", "answer", 1).content == {"list": [1]}
    assert version.digest == registry.version("prompts", "answer", 1).digest


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"x": float("nan")}, BadInput),
        ({"x": b"bytes"}, BadInput),
        ({"x": "\ud800"}, BadInput),
        ([], BadInput),
        ({"x": "y" * (16 * 1024 * 1024)}, TooLarge),
    ],
)
async def test_content_that_cannot_be_kept_is_refused(registry: Registry, content: Any, error: type[BadInput]) -> None:
    with pytest.raises(error) as caught:
        await registry.register("prompts", "answer", content)
    assert caught.value.field == "content"
    assert caught.value.mend
    assert registry.names("prompts") == []


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [
        ("poems", "a", "kind"),
        ("prompts", "a b", "name"),
        ("prompts", "", "name"),
        ("prompts", "x" * 101, "name"),
        ("prompts", "é", "name"),
        ("prompts", "a\n", "name"),
    ],
)
async def test_bad_kinds_and_names_are_refused(registry: Registry, kind: str, name: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        await registry.register(kind, name, {})
    assert caught.value.field == field


async def test_resolving_by_number_label_and_bare_name(registry: Registry) -> None:
    await put(registry, "one", "two")
    await registry.move_label("prompts", "answer", "staging", 2, actor="mara")
    assert registry.resolve("prompts:/answer@production").version.number == 1
    assert registry.resolve("prompts:/answer@staging").version.number == 2
    assert registry.resolve("prompts:/answer/2").version.number == 2
    assert registry.resolve("answer", kind="prompts").version.number == 1
    assert registry.resolve(parse_address("answer/2", "prompts")).version.content == {"text": "two"}
    assert registry.resolve("answer", kind="prompts", key="s1").arm == ""


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("prompts:/nobody@production", "answer"),
        ("prompts:/answer/9", "1 to 2"),
        ("prompts:/answer@canary", "@production"),
        ("routes:/answer@production", "none yet"),
    ],
)
async def test_what_is_not_there_is_answered_with_what_is(registry: Registry, address: str, says: str) -> None:
    await put(registry, "one", "two")
    with pytest.raises(NotFound) as caught:
        registry.resolve(address)
    assert says in caught.value.mend


async def test_two_moves_that_expect_the_same_number_give_one_success(registry: Registry) -> None:
    await put(registry, "one", "two", "three")
    outcomes = await asyncio.gather(
        *(registry.move_label("prompts", "answer", "production", number, actor="m", expect=1) for number in (2, 3)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    won = next(outcome for outcome in outcomes if isinstance(outcome, Change))
    assert won.after == f"answer/{registry.labels('prompts', 'answer')['production']}"
    assert len(registry.changes()) == 2


async def test_another_registry_on_the_same_database_cannot_overwrite_unseen(
    metadata: Metadata, registry: Registry
) -> None:
    await put(registry, "one", "two", "three")
    stale = await Registry.load(metadata)
    await registry.move_label("prompts", "answer", "production", 2, actor="mara")
    with pytest.raises(Conflict):
        await stale.move_label("prompts", "answer", "production", 3, actor="jonas")
    again = await Registry.load(metadata)
    assert facts(again) == facts(registry)
    # Whoever is told to look again finds what there is by now, and may go on from there.
    assert facts(stale) == facts(registry)
    assert (await stale.move_label("prompts", "answer", "production", 3, actor="jonas")).before == "answer/2"


async def test_moving_to_where_it_stands_writes_nothing(registry: Registry) -> None:
    await put(registry, "one", "two")
    moved = await registry.move_label("prompts", "answer", "production", 2, actor="mara")
    assert await registry.move_label("prompts", "answer", "production", 2, actor="jonas", expect=2) == moved
    assert len(registry.changes()) == 2
    with pytest.raises(Conflict):
        await registry.move_label("prompts", "answer", "production", 2, actor="jonas", expect=1)


async def test_a_rollout_splits_its_label_only_and_the_ledger_says_so(registry: Registry) -> None:
    await put(registry, "one", "two")
    await registry.move_label("prompts", "answer", "staging", 1, actor="mara")
    change = await registry.start_rollout("prompts", "answer", 2, share=0.5, actor="mara", stages=(0.5, 1))
    seen = {registry.resolve("prompts:/answer@production", key=f"s{i}").version.number for i in range(50)}
    assert seen == {1, 2}
    assert {registry.resolve("prompts:/answer@staging", key=f"s{i}").version.number for i in range(50)} == {1}
    one = registry.resolve("prompts:/answer@production", key="s1")
    assert one.rollout == change.rollout
    assert one.arm == {1: "base", 2: "candidate"}[one.version.number]
    assert registry.resolve("prompts:/answer@production").version.number == 1
    assert (change.before, change.after, change.share, change.sticky) == ("answer/1", "answer/2", 0.5, "session")
    assert registry.rollout(change.rollout).stages == (0.5, 1.0)


async def test_a_promoted_rollout_is_the_label_at_the_candidate(registry: Registry) -> None:
    await put(registry, "one", "two")
    started = await registry.start_rollout("prompts", "answer", 2, share=0.1, actor="mara")
    grown = await registry.set_share(started.rollout, 0.95, actor="mara")
    promoted = await registry.promote(started.rollout, actor="mara", note="no worse")
    assert grown.share == 0.95
    assert promoted.share == 1.0
    assert registry.labels("prompts", "answer") == {"production": 2}
    assert registry.rollout(started.rollout).state == "promoted"
    assert registry.running("prompts", "answer") is None
    back = await registry.rollback("prompts", "answer", actor="mara")
    assert (back.before, back.after) == ("answer/2", "answer/1")


async def test_one_rollout_at_a_time_and_an_ended_one_stays_ended(registry: Registry) -> None:
    await put(registry, "one", "two", "three")
    started = await registry.start_rollout("prompts", "answer", 2, share=0.5, actor="mara")
    with pytest.raises(Conflict, match="already has a running rollout"):
        await registry.start_rollout("prompts", "answer", 3, share=0.5, actor="jonas")
    with pytest.raises(Conflict, match="running rollout"):
        await registry.move_label("prompts", "answer", "production", 3, actor="jonas")
    await registry.abort(started.rollout, actor="mara", note="worse")
    for step in (registry.promote, registry.abort):
        with pytest.raises(Conflict, match="aborted already"):
            await step(started.rollout, actor="jonas")
    with pytest.raises(NotFound):
        await registry.set_share("rol_none", 0.5, actor="jonas")
    assert registry.labels("prompts", "answer") == {"production": 1}


async def test_rolling_back_a_running_rollout_aborts_it(registry: Registry) -> None:
    await put(registry, "one", "two")
    started = await registry.start_rollout("prompts", "answer", 2, share=0.5, actor="mara")
    back = await registry.rollback("prompts", "answer", actor="trimtab", note="proven")
    assert (back.action, back.before, back.after, back.rollout) == ("rollback", "answer/2", "answer/1", started.rollout)
    assert registry.rollout(started.rollout).state == "aborted"
    assert registry.resolve("prompts:/answer@production", key="s").version.number == 1


async def test_rolling_back_goes_further_back_until_there_is_nothing(registry: Registry) -> None:
    await put(registry, "one", "two", "three")
    await registry.move_label("prompts", "answer", "production", 2, actor="mara")
    await registry.move_label("prompts", "answer", "production", 3, actor="mara")
    assert (await registry.rollback("prompts", "answer", actor="m")).after == "answer/2"
    assert (await registry.rollback("prompts", "answer", actor="m")).after == "answer/1"
    with pytest.raises(Conflict, match="nothing to roll"):
        await registry.rollback("prompts", "answer", actor="m")
    assert registry.labels("prompts", "answer") == {"production": 1}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True, "0.5"])
async def test_a_share_is_a_number_from_0_to_1(registry: Registry, share: Any) -> None:
    await put(registry, "one", "two")
    with pytest.raises(BadInput) as caught:
        await registry.start_rollout("prompts", "answer", 2, share=share, actor="mara")
    assert caught.value.field == "share"
    assert registry.rollouts() == []


async def test_what_a_vendor_did_is_in_the_ledger(registry: Registry) -> None:
    change = await registry.record_external(
        "models", "scripted/steady", before="a=b@1", after="a=b@2", note="the fingerprint changed"
    )
    assert registry.changes() == [change]
    assert (change.action, change.undo, change.layer) == ("external", False, 1)


async def test_the_ledger_is_newest_first_and_bounded(registry: Registry, clock: Any) -> None:
    made = []
    for minute in range(5):
        clock.ns = minute * 1_000
        made.append(await registry.record_external("models", "v/m", before="", after=str(minute), note=""))
    assert registry.changes() == made[::-1]
    assert registry.changes(limit=2) == made[:2:-1]
    assert registry.changes(since_ns=made[1].time_ns, until_ns=made[3].time_ns) == [made[2], made[1]]


async def test_a_reopened_registry_is_the_same(open_metadata: Callable[[], Metadata], clock: Any) -> None:
    first = open_metadata()
    registry = await Registry.load(first, clock=clock)
    await put(registry, "one", "two", "three")
    await put(registry, "a", "b", kind="routes", name="support")
    await registry.move_label("prompts", "answer", "staging", 3, actor="mara", note="@production: odd note")
    ended = await registry.start_rollout("prompts", "answer", 2, share=0.25, sticky="request", actor="mara")
    await registry.promote(ended.rollout, actor="mara")
    await registry.rollback("prompts", "answer", actor="jonas")
    await registry.start_rollout("routes", "support", 2, share=1.0, actor="mara", stages=(0.5, 1.0))
    before = facts(registry)
    first.close()
    assert facts(await Registry.load(open_metadata())) == before


async def test_a_cancelled_writer_leaves_memory_and_database_equal(metadata: Metadata, registry: Registry) -> None:
    await put(registry, "one", "two")
    task = asyncio.create_task(registry.move_label("prompts", "answer", "production", 2, actor="mara"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The next write waits for the cancelled one: writes run one after another.
    await registry.register("prompts", "other", {})
    assert registry.labels("prompts", "answer") == {"production": 2}
    assert facts(await Registry.load(metadata)) == facts(registry)


async def test_listeners_hear_of_committed_changes_and_cannot_break_them(
    metadata: Metadata, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, int]] = []

    def broken(change: Change) -> None:
        raise ValueError(change.id)

    registry.on_change(broken)
    registry.on_change(
        lambda change: heard.append((change.action, registry.labels(change.kind, change.name)["production"]))
    )
    await put(registry, "one", "two")
    await registry.move_label("prompts", "answer", "production", 2, actor="mara")
    assert heard == [("label", 1), ("label", 2)]
    assert "a listener failed" in caplog.text


async def test_resolving_touches_no_database(metadata: Metadata, registry: Registry) -> None:
    await put(registry, "one", "two", "three")
    await registry.start_rollout("prompts", "answer", 2, share=0.5, actor="mara")
    loaded = await Registry.load(metadata)
    metadata.close()
    for one in (registry, loaded):
        texts = {one.resolve("prompts:/answer@production", key=f"s{i}").version.content["text"] for i in range(50)}
        assert texts == {"one", "two"}


async def test_the_ledger_tells_of_what_a_label_or_a_rollout_brought_out(registry: Registry) -> None:
    for number in range(4):
        await registry.register("prompts", "p", {"text": f"version {number}"})
    assert not any(registry.recorded("prompts", f"p/{number}") for number in (1, 2, 3, 4))
    await registry.move_label("prompts", "p", "production", 1, actor="mara")
    await registry.start_rollout("prompts", "p", 2, share=0.5, actor="mara")
    assert [registry.recorded("prompts", f"p/{number}") for number in (1, 2, 3)] == [True, True, False]
    await registry.record_event(Event(kind="prompts", name="p", before="p/2", after="p/3"), actor="ci")
    assert registry.recorded("prompts", "p/3"), "what others wrote down counts"
    assert not registry.recorded("prompts", "p/4")
    assert not registry.recorded("guards", "p/1")
    assert all(registry.recorded("models", pin) for pin in ("", "openai/mini=mini-1@fp", "bare"))


async def test_when_the_newest_version_was_registered(registry: Registry) -> None:
    assert registry.newest_ns("prompts", "p") == 0
    first = await registry.register("prompts", "p", {"text": "one"})
    await registry.move_label("prompts", "p", "production", 1, actor="mara")
    second = await registry.register("prompts", "p", {"text": "two"})
    assert first.created_ns < second.created_ns == registry.newest_ns("prompts", "p")
