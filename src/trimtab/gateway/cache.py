"""Answers that were given before: exact ones, and those to a question that means the same. In memory and bounded."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import Any

import msgspec

from trimtab.core import Call, Chunk, Message, TrimtabError, Usage

from .rules import LARGEST_ENTRY, CacheRules, SemanticRules

#: Texts to vectors, one each. Any error of it is a miss.
Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]

#: What an entry costs beside its content, in bytes.
OVERHEAD = 600
#: Groups of questions that share everything but the question itself.
GROUPS = 256
#: Entries that are compared exactly, the nearest by the signs of their vectors.
COMPARED = 32
#: Dialects whose answers are computed, not sampled.
COMPUTED = frozenset({"openai-embeddings"})

_TOOLS = ("tools", "functions", "tool_choice", "function_call")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer that was given whole: its pieces, who gave it and what it used."""

    chunks: tuple[Chunk, ...]
    ref: str
    model: str
    fingerprint: str
    usage: Usage | None
    size: int
    until: float = math.inf


def cacheable(call: Call, rules: CacheRules, *, asked: bool) -> bool:
    """Whether the answer to a call may be kept. ``asked``: its client wants it whatever the route's rules say."""
    if asked or (call.native is not None and call.native.dialect in COMPUTED):
        return True
    if not rules.tools and any(call.params.get(name) for name in _TOOLS):
        return False
    return rules.sampled or call.params.get("temperature") == 0


def answer_key(call: Call, scope: str, route: str) -> bytes:
    """The name of an answer: equal for two calls only when scope, route version and everything sent are equal."""
    native = call.native
    said = [native.dialect, native.body, native.headers] if native else []
    return _digest([scope, route, call.stream, call.messages, call.params, said])


def question_of(call: Call) -> str:
    """What the last message of the user asks, if it is plain text and the last message; else nothing."""
    last = call.messages[-1] if call.messages else {}
    content = last.get("content")
    return content if last.get("role") == "user" and isinstance(content, str) else ""


def group_key(call: Call, scope: str, route: str) -> bytes:
    """The name of everything in a call but its question."""
    rest: tuple[Message, ...] = (*call.messages[:-1], {**call.messages[-1], "content": ""})
    native = call.native
    said: list[Any] = [native.dialect, {name: native.body.get(name) for name in native.only}] if native else []
    return _digest([scope, route, call.stream, rest, call.params, said])


def kept(chunks: Sequence[Chunk], ref: str, usage: Usage | None) -> Kept | None:
    """An answer worth keeping: whole, ended by the model itself, and not too large."""
    if not chunks or not any(chunk.finish in ("stop", "tool_calls") for chunk in chunks):
        return None
    size = sum(len(msgspec.json.encode([c.text, c.body, c.native])) + OVERHEAD for c in chunks)
    if size > LARGEST_ENTRY:
        return None
    return Kept(
        chunks=tuple(chunks),
        ref=ref,
        model=next((chunk.model for chunk in chunks if chunk.model), ""),
        fingerprint=next((chunk.fingerprint for chunk in chunks if chunk.fingerprint), ""),
        usage=usage,
        size=size,
    )


class Answers:
    """The exact cache of one route: at most ``rules.max_mb``, what was used longest ago out first."""

    def __init__(self, rules: CacheRules) -> None:
        self.rules = rules
        self.size = self.hits = self.misses = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def get(self, key: bytes, now: float) -> Kept | None:
        """The answer of that name, if it is still good."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found.until <= now:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, answer: Kept, now: float) -> Kept:
        """Keep an answer; it may push others out. Returns it as kept."""
        if key in self._kept:
            self._drop(key)
        answer = replace(answer, until=now + self.rules.ttl)
        self._kept[key] = answer
        self.size += answer.size
        while self.size > self.rules.max_mb * 1_000_000 and self._kept:
            self._drop(next(iter(self._kept)))
        return answer

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, key: bytes) -> None:
        self.size -= self._kept.pop(key).size


@dataclass(slots=True)
class _Entry:
    vector: tuple[float, ...]  # of length 1
    signs: int
    key: bytes  # of its answer in the exact cache


class Meanings:
    """The semantic cache of one route: questions by what they mean, beside the answers of the exact cache.

    Only questions that share everything else (the messages before, the parameters, the scope) are compared. The
    nearest few by the signs of their vectors are compared exactly, so a hit is always at least ``threshold`` near, and
    a near one may be missed among very many.
    """

    def __init__(self, rules: SemanticRules, embed: Embed) -> None:
        self.rules = rules
        self.embed = embed
        self._groups: OrderedDict[bytes, OrderedDict[bytes, _Entry]] = OrderedDict()
        self._entries = 0

    async def vector(self, text: str) -> tuple[float, ...]:
        """What a text means, as a vector of length 1; empty where that cannot be had in time."""
        try:
            async with asyncio.timeout(self.rules.timeout):
                vectors = await self.embed([text])
        except (TrimtabError, TimeoutError):
            return ()
        return unit(vectors[0]) if vectors else ()

    def find(self, group: bytes, vector: Sequence[float]) -> tuple[bytes, float] | None:
        """The name of the answer to the nearest question, and how near it is; None below the threshold."""
        entries = self._groups.get(group)
        if not entries or not vector:
            return None
        signs = signs_of(vector)
        near = sorted(entries.values(), key=lambda entry: (entry.signs ^ signs).bit_count())[:COMPARED]
        same = [(sum(map(mul, vector, entry.vector)), entry) for entry in near if len(entry.vector) == len(vector)]
        if not same:
            return None
        cosine, best = max(same, key=lambda pair: pair[0])
        if cosine < self.rules.threshold:
            return None
        entries.move_to_end(best.key)
        return best.key, cosine

    def put(self, group: bytes, vector: tuple[float, ...], key: bytes) -> None:
        """Remember what the question of an answer means."""
        if not vector:
            return
        entries = self._groups.setdefault(group, OrderedDict())
        self._groups.move_to_end(group)
        self._entries += key not in entries
        entries[key] = _Entry(vector, signs_of(vector), key)
        entries.move_to_end(key)
        while self._entries > self.rules.entries or len(self._groups) > GROUPS:
            oldest = next(iter(self._groups))
            self._groups[oldest].popitem(last=False)
            self._entries -= 1
            if not self._groups[oldest]:
                del self._groups[oldest]

    def forget(self, group: bytes, key: bytes) -> None:
        """The answer is gone."""
        entries = self._groups.get(group, OrderedDict())
        if entries.pop(key, None) is not None:
            self._entries -= 1
        if not entries:
            self._groups.pop(group, None)

    def __len__(self) -> int:
        return self._entries


def unit(vector: Sequence[float]) -> tuple[float, ...]:
    """The vector with length 1; empty when it has no direction."""
    length = math.sqrt(sum(map(mul, vector, vector)))
    return tuple(value / length for value in vector) if length > 0 and math.isfinite(length) else ()


def signs_of(vector: Sequence[float]) -> int:
    """The signs of a vector as the bits of a number: near vectors differ in few of them."""
    return int("".join("1" if value > 0 else "0" for value in vector) or "0", 2)


def _digest(parts: Sequence[Any]) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(parts, order="sorted", enc_hook=_plain), digest_size=16).digest()


def _plain(value: Any) -> Any:
    """Any mapping as a dict."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot be part of a request: {type(value).__name__}")
