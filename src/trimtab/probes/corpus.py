"""The corpus scan: documents that speak to the model, and near-duplicate sentences that disagree."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trimtab.core import Version
from trimtab.guard import DEFAULT_POLICY, Content, compile_policy, screen
from trimtab.knowledge import chunks_of, disagreements

from .fall import named
from .found import Found, Job
from .retrieval import live

#: Findings that are kept to tell new ones from known ones, and characters of the texts that are compared.
MOST_KNOWN, MOST_CHARACTERS = 2000, 20_000_000
#: Pairs of sentences that are kept of one snapshot.
MOST_PAIRS = 200
#: Words of a sentence at least, and the score from which it surely speaks to a model.
SENTENCE, CERTAIN = 5, 0.9
#: What a finding is: an order, or a sentence that may be one.
ORDER, PERHAPS = "instruction", "possible instruction"
#: Rules of the default policy that tell an order by its wording, and quotes of one document at most.
PLAIN_ORDERS, MOST_QUOTES = ("prompt-injection", "prompt-extraction"), 20
_WORDS, _SHORT = 120, 16
_WORD = re.compile(r"[^\W\d_]{2,}")


async def corpus(job: Job) -> Found:
    """One run over every live corpus. What the first run finds is taken as known; what is new later is an alarm.

    A document is read once for each of its contents, and a snapshot that did not change is not compared again.
    """
    corpora = live(job)
    if not corpora:
        return Found(verdict="ok", text="No corpus is live: there is nothing to scan.", state={})
    scan = _Scan(job)
    findings: dict[str, dict[str, str]] = {}
    for version in corpora:
        findings |= await scan.read(version)
    known = set(job.state.get("known", ()))
    fresh = [key for key in findings if key not in known]
    learning = "known" not in job.state or bool(job.state.get("waiting"))
    state = {
        **scan.state, "known": [key for key in findings if learning or key in known][-MOST_KNOWN:],
        "waiting": scan.waiting if learning else 0,
    }  # fmt: skip
    blamed = next((version for version in corpora if any(key.startswith(f"{version.name}: ") for key in fresh)), None)
    return _outcome(findings, [] if learning else fresh, state, blamed or corpora[0], scan.waiting)


class _Scan:
    """What is known of texts by their digests, and what one run adds to it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._quotes: dict[str, list[list[str]]] = dict(job.state.get("quotes", {}))
        self._clean = set(job.state.get("clean", ()))
        self._pairs: dict[str, Any] = dict(job.state.get("pairs", {}))
        self._seen: set[str] = set()
        self._left = job.declared.count("documents")
        self.waiting = 0
        self._read: dict[str, Any] = {}

    @property
    def state(self) -> dict[str, Any]:
        """What the next run begins with: only what is still in a live corpus."""
        return {
            "quotes": {digest: quotes for digest, quotes in self._quotes.items() if digest in self._seen},
            "clean": sorted(self._clean & self._seen), "pairs": self._read,
        }  # fmt: skip

    async def read(self, version: Version) -> dict[str, dict[str, str]]:
        """The findings in one snapshot, by a key that stays the same."""
        digests = {str(d["id"]): str(d["blob"]) for d in version.content["documents"]}
        short = {name: digest[:_SHORT] for name, digest in digests.items()}
        self._seen.update(short.values())
        unread = [name for name, digest in short.items() if digest not in self._clean and digest not in self._quotes]
        threshold = self._job.declared.option("threshold")
        for name in unread[: self._left]:
            text = (await self._job.blobs.get(digests[name])).decode()
            if quotes := await asyncio.to_thread(_instructions, text, threshold):
                self._quotes[short[name]] = quotes
            else:
                self._clean.add(short[name])
        self.waiting += max(0, len(unread) - self._left)
        self._left = max(0, self._left - len(unread))
        found = {
            f"{version.name}: {name}: {quote}": _instruction(name, what, quote)
            for name, digest in short.items() for what, quote in self._quotes.get(digest, ())
        }  # fmt: skip
        for pair in await self._disagreeing(version, digests):
            found[f"{version.name}: {pair['one']} | {pair['other']}"] = pair
        return found

    async def _disagreeing(self, version: Version, digests: Mapping[str, str]) -> list[dict[str, str]]:
        known = self._pairs.get(version.name)
        if known is None or known["digest"] != version.digest:
            texts, size = {}, 0
            for name, digest in digests.items():
                texts[name] = (await self._job.blobs.get(digest)).decode()
                size += len(texts[name])
                if size > MOST_CHARACTERS:
                    break
            found = await asyncio.to_thread(disagreements, texts, MOST_PAIRS)
            known = {"digest": version.digest, "found": [asdict(pair) for pair in found]}
        self._read[version.name] = known
        return list(known["found"])


def _outcome(
    findings: Mapping[str, Mapping[str, str]], fresh: list[str], state: Mapping[str, Any], asset: Version, waiting: int
) -> Found:
    orders = sum(found["what"] in (ORDER, PERHAPS) for found in findings.values())
    sure = [key for key in fresh if findings[key]["what"] != PERHAPS]
    text = f"Instructions to a model: {orders}; near-duplicate sentences that disagree: {len(findings) - orders}"
    if fresh:
        text += f"; {len(fresh)} are new: {named([_short(findings[key]) for key in fresh])}"
    elif findings:
        text += "; all of them are known"
    if waiting:
        text += f"; {waiting} documents wait for the next run"
    return Found(
        verdict="alarm" if sure else "moved" if fresh else "ok", text=f"{text}.", state=state,
        value=float(len(findings)), usual=float(len(findings) - len(fresh)), asset=asset.name, pin=asset.pin,
        detail={"new": [dict(findings[key]) for key in fresh[:50]],
                "known": [dict(found) for key, found in findings.items() if key not in set(fresh)][:50]},
    )  # fmt: skip


def _short(found: Mapping[str, str]) -> str:
    if found["what"] in (ORDER, PERHAPS):
        return f'"{found["one"][:80]}" in {found["one_document"]}'
    return f"{found['what']} in {found['one_document']} and {found['other_document']}"


def _instructions(text: str, threshold: float) -> list[list[str]]:
    """What speaks to the model in a document: what it is and the quote; a passage at a time, as a model reads it."""
    plain = compile_policy(DEFAULT_POLICY)
    found: dict[str, str] = {}
    for chunk in chunks_of(text, _WORDS):
        screened = screen(Content(text=chunk.text, source="document"), threshold=threshold, then="keep")
        for match, quote in zip(screened.matches, screened.quotes, strict=True):
            # A line of code or a crumb of a list often looks like an order; a whole sentence seldom does.
            if len(_WORD.findall(quote)) >= SENTENCE:
                found[quote] = ORDER if match.score >= CERTAIN else PERHAPS
        # The plainest orders of all are known by their wording, whoever writes them.
        for finding in plain.scan("input", chunk.text).findings:
            if finding.rule in PLAIN_ORDERS and finding.action == "block":
                quote = _sentence_at(chunk.text, finding.start)
                around = next((known for known in found if quote in known), quote)
                found[around] = ORDER
    return [[what, " ".join(quote.split())[:300]] for quote, what in found.items()][:MOST_QUOTES]


def _sentence_at(text: str, position: int) -> str:
    start = max(text.rfind(mark, 0, position) for mark in (". ", "! ", "? ", "\n")) + 1
    ends = [at for mark in (". ", "! ", "? ", "\n") if (at := text.find(mark, position)) >= 0]
    return text[start : min(ends, default=len(text) - 1) + 1].strip()


def _instruction(document: str, what: str, quote: str) -> dict[str, str]:
    return {"what": what, "one": quote, "other": "", "one_document": document, "other_document": ""}
