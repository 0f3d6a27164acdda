"""Corpora over the real store and registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trimtab.core import BadInput, NotFound, Version
from trimtab.knowledge import Corpora, Document, Passage, render
from trimtab.registry import Registry
from trimtab.store import Blobs, Metadata

DAY_NS = 86_400 * 10**9
NOW_NS = int(datetime(2026, 11, 25, tzinfo=UTC).timestamp()) * 10**9


def document(name: str, text: str, **changes: Any) -> Document:
    fields = {"id": name, "title": name.title(), "source": f"{name}.md", "text": text, "updated_ns": NOW_NS}
    return Document(**{**fields, **changes})


PAGES = [
    document("gateway", "# Ports\nThe gateway listens on port 4100.\n# Streams\nA stream ends with a marker."),
    document("incidents", "Every incident has an owner. It opens when an alarm fires.", updated_ns=NOW_NS - 9 * DAY_NS),
]


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[Metadata]:
    door = Metadata.open(tmp_path / "metadata.db")
    yield door
    door.close()


@pytest.fixture
async def corpora(metadata: Metadata) -> Corpora:
    return Corpora(await Registry.load(metadata), Blobs(metadata))


async def test_a_snapshot_is_a_version_and_moves_no_label(metadata: Metadata) -> None:
    registry = await Registry.load(metadata)
    corpora = Corpora(registry, Blobs(metadata))
    version = await corpora.build("docs", PAGES, author="mara", note="first")
    assert (version.kind, version.pin, version.author, version.note) == ("corpora", "docs/1", "mara", "first")
    assert registry.labels("corpora", "docs") == {}
    assert [entry["words"] for entry in version.content["documents"]] == [16, 11]
    assert await corpora.build("docs", PAGES, author="jonas") == version
    assert (await corpora.build("docs", PAGES[:1], author="jonas")).number == 2


async def test_a_passage_says_where_it_is_from_and_how_old_it_is(corpora: Corpora) -> None:
    version = await corpora.build("docs", PAGES, author="mara")
    best = (await corpora.search(version, "Who owns an incident?", 4))[0]
    assert best == Passage(
        number=1,
        document="incidents",
        title="Incidents",
        source="incidents.md",
        text="Every incident has an owner. It opens when an alarm fires.",
        score=best.score,
        updated_ns=NOW_NS - 9 * DAY_NS,
        corpus="docs/1",
    )
    assert best.score > 0


async def test_title_and_heading_count_for_a_passage_but_are_not_its_text(corpora: Corpora) -> None:
    version = await corpora.build("docs", PAGES, author="mara")
    [passage] = await corpora.search(version, "ports", 1)
    assert passage.text == "The gateway listens on port 4100."
    assert {found.document for found in await corpora.search(version, "gateway", 4)} == {"gateway"}
    assert len(await corpora.search(version, "gateway", 4)) == 2


async def test_limit_order_and_numbers(corpora: Corpora) -> None:
    version = await corpora.build("docs", [document(f"d{i}", "the alarm " * (i + 1)) for i in range(9)], author="m")
    found = await corpora.search(version, "alarm", 5)
    assert [passage.number for passage in found] == [1, 2, 3, 4, 5]
    assert [passage.score for passage in found] == sorted((passage.score for passage in found), reverse=True)


async def test_question_words_do_not_decide(corpora: Corpora) -> None:
    pages = [document("what", "What does who do, and how, when and why?"), document("alarm", "An alarm fires.")]
    version = await corpora.build("docs", pages, author="m")
    assert (await corpora.search(version, "What does an alarm do and how and why?", 1))[0].document == "alarm"
    assert (await corpora.search(version, "what who why", 1))[0].document == "what"


@pytest.mark.parametrize("text", ["", "  ", "zzz", '" OR * NEAR(', "\0", "\ud800", "?" * 10_000])
async def test_odd_questions_find_nothing_and_do_no_harm(corpora: Corpora, text: str) -> None:
    version = await corpora.build("docs", PAGES, author="mara")
    assert await corpora.search(version, text, 4) == []


async def test_a_snapshot_outlives_the_process(metadata: Metadata) -> None:
    first = Corpora(await Registry.load(metadata), Blobs(metadata))
    version = await first.build("docs", PAGES, author="mara")
    registry = await Registry.load(metadata)
    again = Corpora(registry, Blobs(metadata))
    stored = registry.version("corpora", "docs", 1)
    assert await again.search(stored, "port", 4) == await first.search(version, "port", 4) != []


async def test_many_snapshots_and_many_readers(corpora: Corpora) -> None:
    versions = [await corpora.build("docs", [document("d", f"word{i} here")], author="m") for i in range(12)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(corpora.search(version, "here", 1)) for version in versions * 3]
    assert [task.result()[0].text for task in tasks] == [f"word{i} here" for i in range(12)] * 3


async def test_load_then_search(corpora: Corpora) -> None:
    version = await corpora.build("docs", PAGES, author="mara")
    await corpora.load(version)
    assert await corpora.search(version, "owner", 1)


@pytest.mark.parametrize(
    ("documents", "chunk_words", "field"),
    [
        ([], 90, "documents"),
        (PAGES, 5, "chunk_words"),
        ([PAGES[0], PAGES[0]], 90, "documents[1].id"),
        ([document("", "x")], 90, "documents[0].id"),
        ([document("a", " \n")], 90, "documents[0].text"),
        ([document("a", "x\ud800")], 90, "documents[0].text"),
    ],
)
async def test_a_bad_corpus_is_refused(
    corpora: Corpora, documents: list[Document], chunk_words: int, field: str
) -> None:
    with pytest.raises(BadInput) as caught:
        await corpora.build("docs", documents, author="mara", chunk_words=chunk_words)
    assert caught.value.field == field


async def test_a_version_of_another_kind_or_without_its_texts(corpora: Corpora) -> None:
    with pytest.raises(BadInput, match="no corpus"):
        await corpora.search(Version(kind="prompts", name="p", number=1, digest="d", content={}), "x", 1)
    listed = {"id": "a", "title": "A", "source": "a.md", "updated_ns": 0, "blob": "0" * 64, "words": 1}
    lost = Version(kind="corpora", name="c", number=1, digest="e", content={"documents": [listed], "chunk_words": 90})
    with pytest.raises(NotFound):
        await corpora.load(lost)


def test_render_numbers_and_dates() -> None:
    passage = Passage(
        number=2, document="a", title="A", source="a.md", text="Text.", score=1.0, updated_ns=NOW_NS, corpus="docs/1"
    )
    assert render([passage, passage]).split("\n\n")[1] == "[2] A (a.md, updated 2026-11-25)\nText."
    assert render([]) == ""
