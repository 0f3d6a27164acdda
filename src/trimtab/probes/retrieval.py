"""Known-item retrieval: a question whose document is known; is it among the first passages of the live corpus?"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput, Version
from trimtab.evals import cases_of
from trimtab.knowledge import chunks_of

from .fall import Flips, flips, named
from .found import Found, Job, standing

#: Words of a made-up question, and the least that a sentence needs to make one.
QUESTION_WORDS, LEAST_WORDS = 8, 5
#: Documents that questions are made from at most: the first by a hash of their ids, so that they stay the same.
MOST_DOCUMENTS = 2000
_WORD = re.compile(r"[^\W_]{3,}")
_SENTENCE = re.compile(r"[^.!?\n]+")


def live(job: Job, kind: str = "corpora") -> list[Version]:
    """The corpora that the probe looks at: the one that is named, else each that has a label ``production``."""
    registry, target = job.registry, job.declared.target
    if target:
        return [standing(registry, target, kind)]
    numbers = {name: registry.labels(kind, name).get("production", 0) for name in registry.names(kind)}
    return [registry.version(kind, name, number) for name, number in numbers.items() if number]


async def retrieval(job: Job) -> Found:
    """One run: every known question once. Searching costs no model."""
    corpora = live(job)
    if not corpora:
        return Found(verdict="ok", text="No corpus is live: there is nothing to find.", state={})
    state: dict[str, Any] = {"items": dict(job.state.get("items", {})), "reference": {}}
    kept: Mapping[str, Mapping[str, bool]] = job.state.get("reference", {})
    tolerance, k = job.declared.option("tolerance"), job.declared.count("k")
    found: dict[str, tuple[Version, Flips]] = {}
    for version in corpora:
        items = state["items"].get(version.name) or await _items(job, version)
        state["items"][version.name] = items
        now: dict[str, bool] = {}
        for question, document in items:
            passages = await job.corpora.search(version, question, k)
            now[f"{document}: {question}"[:300]] = any(p.document == document for p in passages)
        known = kept.get(version.name, {})
        reference = {name: bool(known.get(name, right)) for name, right in now.items()}
        state["reference"][version.name] = reference
        if now:
            found[version.name] = version, flips(reference, now)
    if not found:
        return Found(verdict="ok", text="The corpora hold no sentence to make a question of.", state=state)
    return _outcome(list(found.values()), state, tolerance, k)


def _outcome(found: Sequence[tuple[Version, Flips]], state: Mapping[str, Any], tolerance: float, k: int) -> Found:
    """Each corpus is judged by itself: a small one must not drown in a large one."""
    n, passed = sum(one.n for _, one in found), sum(one.passed for _, one in found)
    usual = sum(one.usual * one.n for _, one in found) / n
    lost = [(version, name) for version, one in found for name in one.lost]
    text = f"{passed} of {n} known documents are among the first {k} passages"
    if lost:
        text += f"; no longer {named(sorted({name.partition(': ')[0] for _, name in lost}))}"
    worst, _ = max(found, key=lambda each: len(each[1].lost) / each[1].n)
    return Found(
        verdict="alarm" if any(one.fell(tolerance) for _, one in found) else "ok", text=f"{text}.", state=state,
        value=passed / n, usual=usual, limit=max(0.0, usual - tolerance), asset=worst.name, pin=worst.pin,
        detail={"lost": [f"{version.name}: {name}" for version, name in lost][:50],
                "won": [f"{version.name}: {name}" for version, one in found for name in one.won][:50]},
    )  # fmt: skip


async def _items(job: Job, version: Version) -> list[list[str]]:
    """Questions with their document: the team's own where the dataset has any, else made from the documents."""
    most = job.declared.count("items")
    if job.declared.dataset:
        content = standing(job.registry, job.declared.dataset, "datasets").content
        named_ = [[case.input, _relevant(case.expects)] for case in cases_of(content) if case.input]
        own = [item for item in named_ if item[1]]
        if not own:
            raise BadInput(
                "names no document to be found.", field=f"probes.{job.declared.name}.dataset",
                mend='Give its cases {"expects": {"relevant": ["document-id"]}}.',
            )  # fmt: skip
        return own[:most]
    listed: Sequence[Mapping[str, Any]] = version.content["documents"]
    chosen = sorted(listed, key=lambda document: hashlib.sha256(str(document["id"]).encode()).digest())
    texts = {str(d["id"]): (await job.blobs.get(d["blob"])).decode() for d in chosen[:MOST_DOCUMENTS]}
    return await asyncio.to_thread(questions, texts, most)


def _relevant(expects: Mapping[str, Any]) -> str:
    relevant = expects.get("relevant")
    first = relevant[0] if isinstance(relevant, list | tuple) and relevant else relevant
    return first if isinstance(first, str) else ""


def questions(texts: Mapping[str, str], most: int) -> list[list[str]]:
    """A question each, made of the rarest words of the sentence that tells its document best from the others. Pure."""
    words = {name: [_WORD.findall(s.lower()) for s in _sentences(text)] for name, text in texts.items()}
    spread = Counter(word for sentences in words.values() for word in {w for s in sentences for w in s})
    found: list[list[str]] = []
    for name, sentences in words.items():
        usable = [s for s in sentences if len(set(s)) >= LEAST_WORDS]
        if not usable or len(found) >= most:
            continue
        best = max(usable[:200], key=lambda s: (-sum(sorted(spread[w] for w in set(s))[:QUESTION_WORDS]), s))
        rare = sorted(dict.fromkeys(best), key=lambda word: spread[word])[:QUESTION_WORDS]
        found.append([" ".join(word for word in dict.fromkeys(best) if word in rare), name])
    return found


def _sentences(text: str) -> list[str]:
    return [s for chunk in chunks_of(text, 90) for s in _SENTENCE.findall(chunk.text)]
