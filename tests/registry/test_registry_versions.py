"""Where versions come from, what they need, and how little of old ones is kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from trimtab.core import BadInput, NotFound
from trimtab.registry import Event, Lineage, Registry, Search
from trimtab.registry.contents import Contents
from trimtab.store import Metadata


async def test_parents_and_needs_are_kept_and_labels_are_pinned(registry: Registry, metadata: Metadata) -> None:
    for n in (1, 2):
        await registry.register("corpora", "docs", {"documents": n})
    await registry.move_label("corpora", "docs", "production", 2, actor="mara")
    await registry.register("prompts", "answer", {"n": 1})
    lineage = Lineage(
        parents=[1, 1],
        needs={"corpora": "docs", "models": "openai/gpt-4o-mini", "tools": ["search", "book"], "schema": "Answer"},
    )
    made = await registry.register("prompts", "answer", {"n": 2}, lineage=lineage)
    wanted = {"corpora": "docs/2", "models": "openai/gpt-4o-mini", "tools": ["search", "book"], "schema": "Answer"}
    assert (made.parents, made.needs) == ((1,), wanted)
    again = (await Registry.load(metadata)).version("prompts", "answer", 2)
    assert again == made
    # The same content is the same version, whatever is said about it.
    assert await registry.register("prompts", "answer", {"n": 2}) == made


@pytest.mark.parametrize(
    ("lineage", "field"),
    [
        (Lineage(parents=[7]), "parents"),
        (Lineage(parents=[True]), "parents"),
        (Lineage(parents=list(range(9))), "parents"),
        (Lineage(needs={"corpora": "nobody/1"}), "needs.corpora"),
        (Lineage(needs={"corpora": "docs/9"}), "needs.corpora"),
        (Lineage(needs={"corpora": "docs@canary"}), "needs.corpora"),
        (Lineage(needs={"corpora": "prompts:/answer/1"}), "needs.corpora"),
        (Lineage(needs={"weather": "fine"}), "needs.weather"),
        (Lineage(needs={"tools": [1]}), "needs.tools"),
        (Lineage(needs={"tools": []}), "needs.tools"),
        (Lineage(needs={"schema": " "}), "needs.schema"),
        (Lineage(needs={"models": "nobody/x"}), "needs.models"),
    ],
)
async def test_what_does_not_exist_is_refused_by_name(registry: Registry, lineage: Lineage, field: str) -> None:
    def known(model: str) -> None:
        if model != "openai/gpt-4o-mini":
            raise NotFound(f"there is no model {model!r}.", mend="Use another.")

    registry.know("models", known)
    await registry.register("corpora", "docs", {"documents": 1})
    await registry.register("prompts", "answer", {"n": 1})
    with pytest.raises(BadInput) as caught:
        await registry.register("prompts", "answer", {"n": 2}, lineage=lineage)
    assert caught.value.field == field
    assert caught.value.mend
    assert registry.count("prompts", "answer") == 1


async def test_contents_of_old_versions_are_read_when_they_are_asked_for(
    registry: Registry, open_metadata: Callable[[], Metadata]
) -> None:
    for n in range(1, 31):
        await registry.register("prompts", "answer", {"n": n, "text": "x" * 1000})
    await registry.move_label("prompts", "answer", "production", 30, actor="mara")
    metadata = open_metadata()
    loaded = await Registry.load(metadata)
    asked: list[str] = []
    for engine in (metadata._engines.hurried, metadata._engines.reading):
        sa.event.listen(engine, "before_cursor_execute", lambda _c, _k, said, *_: asked.append(said))
    listed = loaded.versions("prompts", "answer")
    assert [version.number for version in listed] == list(range(1, 31))
    assert [version.number for version in loaded.versions("prompts", "answer", newest=2)] == [29, 30]
    assert loaded.resolve("prompts:/answer").version.content["n"] == 30
    assert [said for said in asked if "content" in said] == []
    assert listed[4].content["n"] == 5
    assert loaded.version("prompts", "answer", 5).content == listed[4].content
    assert len([said for said in asked if "content" in said]) == 1
    await loaded.ready("prompts:/answer/6")
    assert len([said for said in asked if "content" in said]) == 2
    metadata.close()
    assert loaded.resolve("prompts:/answer/6").version.content["n"] == 6


def test_what_is_kept_of_contents_is_bounded() -> None:
    kept = Contents(limit=100)
    for n in range(10):
        kept.put(f"d{n}", {"n": n}, 30)
        kept.get("d0")
    assert (kept.get("d0"), kept.get("d9"), kept.get("d5")) == ({"n": 0}, {"n": 9}, None)
    assert kept.size <= 100
    kept.put("d0", {"n": 0}, 30)
    kept.put("huge", {}, 101)
    assert (kept.get("huge"), kept.size <= 100) == (None, True)


async def test_events_from_elsewhere(registry: Registry) -> None:
    deployed = await registry.record_event(
        Event(kind="application", name="api", before="1.4.1", after="1.4.2"), actor="ci", note="deployed api 1.4.2"
    )
    assert (deployed.layer, deployed.asset, deployed.label, deployed.undo) == (5, "application:/api", "", False)
    prompt = await registry.record_event(Event(kind="application", name="api", layer=3), actor="ci")
    assert prompt.layer == 3
    for event, field in (
        (Event(kind="weather", name="rain"), "kind"),
        (Event(kind="application", name=""), "name"),
        (Event(kind="application", name="api", layer=6), "layer"),
    ):
        with pytest.raises(BadInput) as caught:
            await registry.record_event(event, actor="ci")
        assert caught.value.field == field
    with pytest.raises(BadInput):
        registry.names("application")


@pytest.mark.parametrize(("actor", "note"), [("a\0", ""), ("a", "\ud800"), ("a" * 201, ""), ("a", "x" * 10_001)])
async def test_texts_that_no_database_keeps_are_refused(registry: Registry, actor: str, note: str) -> None:
    with pytest.raises(BadInput):
        await registry.record_external("models", "m", before="", after="", note=note, actor=actor)


async def test_the_whole_ledger_is_read_in_pages(registry: Registry, clock: Any) -> None:
    for name in ("a", "b"):
        for n in (1, 2, 3):
            await registry.register("prompts", name, {"n": n})
            await registry.move_label("prompts", name, "production" if n < 3 else "staging", n, actor="mara")
    everything, end = await registry.search(Search())
    assert (everything, end) == (registry.changes(), 0)
    first, cursor = await registry.search(Search(limit=4))
    rest, end = await registry.search(Search(limit=4, before=cursor))
    assert (first + rest, end) == (everything, 0)
    found, _ = await registry.search(Search(kind="prompts", name="a", label="staging"))
    assert [change.after for change in found] == ["a/3"]
    at = everything[2].time_ns
    assert (await registry.search(Search(since_ns=at, until_ns=at + 1)))[0] == [everything[2]]
