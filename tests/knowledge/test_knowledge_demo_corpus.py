"""The demo's corpus is Trimtab's documentation: it must hold the answers, and its stale state must not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trimtab.demo.questions import ANSWERABLE, ATTACK, OTHER, QUESTIONS, Question
from trimtab.demo.stale import AGE_DAYS, STALE, make_stale
from trimtab.guard import DEFAULT_POLICY, compile_policy
from trimtab.knowledge import Corpora, Document, Passage, load_markdown
from trimtab.registry import Registry
from trimtab.store import Blobs, Metadata

DOCS = Path(__file__).parents[2] / "docs"
TOPICS = ("gateway", "registry", "traces", "guard", "incidents", "operations")


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return load_markdown(DOCS)


@pytest.fixture
async def corpora(tmp_path: Path) -> AsyncIterator[Corpora]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    yield Corpora(await Registry.load(metadata), Blobs(metadata))
    metadata.close()


def has_answer(question: Question, passages: list[Passage]) -> bool:
    return any(fact in passage.text.lower() for passage in passages for fact in question.answer_contains)


async def answered(corpora: Corpora, documents: list[Document]) -> list[Question]:
    """The questions whose answer is in the first four passages."""
    version = await corpora.build("docs", documents, author="test")
    return [q for q in ANSWERABLE if has_answer(q, await corpora.search(version, q.text, 4))]


async def test_nine_in_ten_questions_find_their_answer(corpora: Corpora, documents: list[Document]) -> None:
    found = await answered(corpora, documents)
    missed = [question.text for question in ANSWERABLE if question not in found]
    assert len(missed) <= len(ANSWERABLE) * 0.1, missed


async def test_stale_documents_answer_few_of_them(corpora: Corpora, documents: list[Document]) -> None:
    still = await answered(corpora, make_stale(documents))
    assert len(still) < len(ANSWERABLE) * 0.4, [question.text for question in still]


def test_every_stale_fact_is_in_the_documentation_today(documents: list[Document]) -> None:
    for current, outdated in STALE:
        assert any(current in document.text for document in documents), current
        assert current not in outdated


def test_stale_documents_differ_in_text_and_age_only(documents: list[Document]) -> None:
    stale = make_stale(documents)
    assert [(d.id, d.title, d.source) for d in stale] == [(d.id, d.title, d.source) for d in documents]
    assert {d.updated_ns - s.updated_ns for d, s in zip(documents, stale, strict=True)} == {AGE_DAYS * 86_400 * 10**9}


def test_the_answer_of_each_question_is_on_its_page(documents: list[Document]) -> None:
    pages = {document.id: document.text.lower() for document in documents}
    for question in ANSWERABLE:
        assert any(fact in pages[question.good_page] for fact in question.answer_contains), question.text
        assert all(fact == fact.lower() for fact in question.answer_contains), question.text


def test_there_are_enough_questions_of_each_topic() -> None:
    assert {q.topic for q in ANSWERABLE} == set(TOPICS)
    assert min(sum(q.topic == topic for q in ANSWERABLE) for topic in TOPICS) >= 8
    assert (len(OTHER), len(ATTACK)) == (6, 6)
    assert len({q.text for q in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.text[:40])
def test_the_default_policy_stops_the_attacks_and_nothing_else(question: Question) -> None:
    verdict = compile_policy(DEFAULT_POLICY).scan("input", question.text)
    assert verdict.action == ("block" if question.topic == "attack" else "allow")


def test_every_page_has_front_matter_and_a_fair_length(documents: list[Document]) -> None:
    pages = [document for document in documents if "/" not in document.id]
    assert len(pages) >= 12
    for page in pages:
        assert (DOCS / page.source).read_text(encoding="utf-8").startswith("---\ntitle: "), page.id
        assert 400 <= len(page.text.split()) <= 1500, page.id
