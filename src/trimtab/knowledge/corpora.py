"""Corpora: a snapshot is a version in the registry, its texts are blobs, its index lives in memory."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput, Version
from trimtab.registry import Registry
from trimtab.store import Blobs, TextIndex

from .chunking import Chunk, chunks_of
from .documents import Document, Passage

KIND = "corpora"
#: What finds sentences that speak to a model in a document: each with ``start``, ``end``, ``score`` and ``quote``.
Screen = Callable[[str], list[dict[str, Any]]]
#: How many snapshots keep their index in memory.
LOADED = 8
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
#: Words that questions have and answers have not: rare in a corpus, so BM25 would take them for telling ones.
_QUESTION_WORDS = """
a about am an and any are as at be been but by can could did do does doing for from get had has have he her him his how
i if in into is it its let me my no not of on or our please should so some tell than that the their them then there
these they this those to us want was we were what what's when where whether which who whom whose why will with would you
your i'm i've can't don't doesn't
"""
_NOT_TELLING = frozenset(_QUESTION_WORDS.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    index: TextIndex
    chunks: tuple[tuple[Mapping[str, Any], Chunk], ...]


class Corpora:
    """Builds snapshots and searches them."""

    def __init__(self, registry: Registry, blobs: Blobs, screen: Screen | None = None) -> None:
        self._registry = registry
        self._screen = screen
        self._blobs = blobs
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._lock = asyncio.Lock()

    async def build(
        self, name: str, documents: Sequence[Document], *, author: str, note: str = "", chunk_words: int = 90
    ) -> Version:
        """Keep the documents as a new version of the corpus; no label moves. Raises BadInput.

        The same documents with the same ``chunk_words`` are the same version. Sentences of a document that speak to a
        model are found now and kept with it: a policy may keep such a document from being retrieved.
        """
        _check(documents, chunk_words)
        found = await asyncio.to_thread(_screened, documents, self._screen)
        listed = [
            {
                "id": document.id,
                "title": document.title,
                "source": document.source,
                "updated_ns": document.updated_ns,
                "blob": await self._blobs.put(document.text.encode()),
                "words": len(document.text.split()),
                **({"findings": found[document.id]} if found[document.id] else {}),
            }
            for document in documents
        ]
        content = {"documents": listed, "chunk_words": chunk_words}
        return await self._registry.register(KIND, name, content, author=author, note=note)

    async def load(self, version: Version) -> None:
        """Make the snapshot's index unless it is in memory. Raises NotFound if a text is missing from the store."""
        await self._get(version)

    async def search(
        self, version: Version, text: str, limit: int, *, quarantine: float | None = None
    ) -> list[Passage]:
        """The best ``limit`` passages of a snapshot for a question, best first; none if no word occurs in it.

        Documents with a finding whose score is at least ``quarantine`` are left out.
        """
        loaded = await self._get(version)
        kept_out = set(quarantined(version, quarantine))
        more = sum(document["id"] in kept_out for document, _ in loaded.chunks) if kept_out else 0
        passages: list[Passage] = []
        for position, score in loaded.index.search(_telling(text), limit + more):
            document, chunk = loaded.chunks[position]
            if document["id"] in kept_out:
                continue
            if len(passages) == limit:
                break
            passages.append(
                Passage(
                    number=len(passages) + 1,
                    document=document["id"],
                    title=document["title"],
                    source=document["source"],
                    text=chunk.text,
                    score=score,
                    updated_ns=document["updated_ns"],
                    corpus=version.pin,
                )
            )
        return passages

    async def _get(self, version: Version) -> _Loaded:
        if version.kind != KIND:
            raise BadInput(f"{version.address} is no corpus", field="corpus", mend="Give a version of kind corpora.")
        if version.digest not in self._loaded:
            async with self._lock:  # two requests for a new snapshot must not both index it
                if version.digest not in self._loaded:
                    self._loaded[version.digest] = await self._index(version)
                    while len(self._loaded) > LOADED:
                        self._loaded.popitem(last=False)
        self._loaded.move_to_end(version.digest)
        return self._loaded[version.digest]

    async def _index(self, version: Version) -> _Loaded:
        documents: list[Mapping[str, Any]] = version.content["documents"]
        texts = [(await self._blobs.get(document["blob"])).decode() for document in documents]
        return await asyncio.to_thread(_build, documents, texts, version.content["chunk_words"])


def quarantined(version: Version, threshold: float | None) -> list[str]:
    """The ids of a snapshot's documents that have a finding with at least this score; none without a threshold."""
    if threshold is None:
        return []
    return [
        document["id"]
        for document in version.content["documents"]
        if any(finding["score"] >= threshold for finding in document.get("findings", ()))
    ]


def _screened(documents: Sequence[Document], screen: Screen | None) -> dict[str, list[dict[str, Any]]]:
    return {document.id: screen(document.text) if screen is not None else [] for document in documents}


def _build(documents: Sequence[Mapping[str, Any]], texts: Sequence[str], chunk_words: int) -> _Loaded:
    chunks = tuple(
        (document, chunk)
        for document, text in zip(documents, texts, strict=True)
        for chunk in chunks_of(text, chunk_words)
    )
    # Title and heading say what a passage is about where its own sentences say "it".
    index = TextIndex([f"{document['title']}\n{chunk.heading}\n{chunk.text}" for document, chunk in chunks])
    return _Loaded(index=index, chunks=chunks)


def _telling(text: str) -> str:
    """The question without the words that only make it a question; all of it if nothing would be left."""
    words = [word for word in _WORD.findall(text) if word.lower() not in _NOT_TELLING]
    return " ".join(words) or text


def _check(documents: Sequence[Document], chunk_words: int) -> None:
    if not documents:
        raise BadInput("a corpus needs a document", field="documents", mend="Give at least one.")
    if not 20 <= chunk_words <= 1000:
        raise BadInput("must be from 20 to 1000", field="chunk_words", mend="90 suits most documents.")
    seen: set[str] = set()
    for position, document in enumerate(documents):
        field = f"documents[{position}]"
        if not document.id or document.id in seen:
            raise BadInput(
                f"{document.id!r} is empty or was used before", field=f"{field}.id", mend="Give each its own id."
            )
        seen.add(document.id)
        if not document.text.strip():
            raise BadInput(f"{document.id!r} has no text", field=f"{field}.text", mend="Leave it out or write it.")
        try:
            document.text.encode()
        except UnicodeEncodeError:
            raise BadInput(
                f"{document.id!r} holds half a character", field=f"{field}.text", mend="Remove lone surrogates."
            ) from None
