"""Scoring a text with a linear model: running sums over tokens, then the best window at each of a few widths."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

from .features import (
    CONCEPT,
    FIRST,
    HELD,
    LEFT,
    MASK,
    NEAR,
    PAIR,
    REACH,
    RIGHT,
    SHIFT,
    SIZE,
    SKIP,
    TRIPLE,
    concept_pair,
    token_of,
    words_of,
)

#: Widths of the windows in tokens. A window moves by half its width.
WIDTHS = (16, 48, 144)
#: Added to the number of tokens before the root is taken: very short texts are judged with care.
SMOOTH = 4
#: Below so many tokens a text is short: ordinary ones score lower there, so less is asked of an attack.
SHORT = 48
#: Tokens of one text that are looked at; a longer text is sampled (its beginning, its end and pieces between).
TOKENS = 3000
#: Tokens of the longest sentence.
LONGEST = 48
_CACHE_SIZE = 50_000


def windows(count: int) -> Iterator[tuple[int, int]]:
    """First and last token (excluded) of every window over so many tokens; a width is the last that covers them all."""
    for width in WIDTHS:
        step = width // 2
        for low in range(0, max(1, count - step), step):
            if low < count:
                yield low, min(count, low + width)
        if count <= width:
            return


def sentences(text: str, limit: int = TOKENS) -> Iterator[tuple[int, int]]:
    """First and last token (excluded) of every sentence, line or cell of at least two tokens, and of each two in a row.

    A long sentence is cut after ``LONGEST`` tokens.
    """
    bounds: list[int] = []
    count = 0
    for count, (_word, _start, _end, first) in enumerate(_tokens(text, limit), 1):
        if first or count - 1 - bounds[-1] >= LONGEST:
            bounds.append(count - 1)
    bounds.append(count)
    for place in range(len(bounds) - 1):
        low, high = bounds[place], bounds[place + 1]
        if high - low >= 2:
            yield low, high
        if place and high - bounds[place - 1] > 2:
            yield bounds[place - 1], high


@dataclass(frozen=True, slots=True)
class Scored:
    """The best window of a text: its log-odds and its characters ``start`` to ``end`` (excluded)."""

    logit: float
    start: int = 0
    end: int = 0

    @property
    def probability(self) -> float:
        """The log-odds as a number from 0 to 1."""
        return 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, self.logit))))


class _Entry(NamedTuple):
    """What a model remembers of a token: its hash, the hash times each multiplier, what it adds by itself and at the
    beginning of a sentence, and its concepts."""

    hash: int
    left: int
    right: int
    alone: float
    first: float
    concepts: tuple[int, ...]


@lru_cache(maxsize=16)
def _tokens(text: str, limit: int) -> tuple[tuple[str, int, int, bool], ...]:
    """The tokens of a text: several models look at the same one in a row."""
    return tuple(words_of(text, limit))


@dataclass(slots=True)
class Linear:
    """One model: a signed byte for each hashed feature, their scale, the bias, and what is added for a short text."""

    weights: array[int]
    scale: float
    bias: float
    ease: float
    known: dict[str, _Entry]

    def sums(self, text: str, limit: int = TOKENS, *, apart: bool = False) -> tuple[list[float], list[int], list[int]]:
        """Running sums of the features' weights over the tokens, and where each token starts and ends.

        ``apart``: every sentence counts as if it stood alone. The pairs are those of ``features.mix``, written out
        because this loop is what a scan costs.
        """
        weights, known = self.weights, self.known
        total = 0.0
        running, starts, ends = [0.0], [], []
        held: list[tuple[int, int]] = []
        before = last = 0  # hashes of the two tokens before, each times the first multiplier
        seen: dict[int, int] = {}
        for place, (word, start, end, first) in enumerate(_tokens(text, limit)):
            token = known.get(word) or self._learn(word)
            here, right = token.hash, token.right
            if first:
                before = last = 0
                total += token.first
                if apart:
                    seen.clear()
                    held.clear()
            pair = ((last ^ right) >> SHIFT) & MASK
            since = place - NEAR
            if seen.get(here, since) <= since:
                total += token.alone
            if seen.get(~pair, since) <= since:
                skip = ((before ^ right) >> SHIFT) & MASK
                triple = (((before * 31 + last) ^ right) >> SHIFT) & MASK
                total += PAIR * weights[pair] + SKIP * weights[skip] + TRIPLE * weights[triple]
            seen[here] = seen[~pair] = place
            if token.concepts:
                for concept in token.concepts:
                    for where, other in held:
                        if place - where <= REACH:
                            total += CONCEPT * weights[concept_pair(other, concept)]
                    held.append((place, concept))
                del held[:-HELD]
            before, last = last, token.left
            running.append(total)
            starts.append(start)
            ends.append(end)
        return running, starts, ends

    def _learn(self, word: str) -> _Entry:
        token = token_of(word)
        alone = sum(self.weights[feature] * value for feature, value in token.features)
        entry = _Entry(
            token.hash, token.hash * LEFT, token.hash * RIGHT, alone, FIRST * self.weights[token.first], token.concepts
        )
        if len(self.known) >= _CACHE_SIZE:
            self.known.clear()
        self.known[word] = entry
        return entry

    def windows(self, text: str, limit: int = TOKENS) -> list[Scored]:
        """Every window's score, at every width, in the order of the widths."""
        running, starts, ends = self.sums(text, limit)
        return [self._scored(running, starts, ends, low, high) for low, high in windows(len(starts))]

    def sentences(self, text: str, limit: int = TOKENS) -> list[Scored]:
        """The score of every sentence, line or cell, and of each two in a row."""
        running, starts, ends = self.sums(text, limit, apart=True)
        return [self._scored(running, starts, ends, low, high) for low, high in sentences(text, limit)]

    def _scored(self, running: list[float], starts: list[int], ends: list[int], low: int, high: int) -> Scored:
        logit = self.scale * (running[high] - running[low]) / math.sqrt(high - low + SMOOTH) + self.bias
        if len(starts) < SHORT:
            logit += self.ease * (1.0 - len(starts) / SHORT)
        return Scored(logit, starts[low], ends[high - 1])

    def best(self, text: str, limit: int = TOKENS) -> Scored:
        """The window that speaks loudest; ``Scored(-40)`` for a text without tokens."""
        return max(self.windows(text, limit), key=lambda each: each.logit, default=Scored(-40.0))


@cache
def model(name: str) -> Linear:
    """The model of this name that ships with the package (``injection``, ``instruction``, ``harm``).

    The file is one line of JSON (each model's scale, bias and ease, in order), then one signed byte for each feature.
    """
    raw = resources.files(__package__).joinpath("weights.bin").read_bytes()
    head, body = raw.split(b"\n", 1)
    described: Mapping[str, Mapping[str, float]] = json.loads(head)
    place = list(described).index(name)
    weights = array("b", body[place * SIZE : (place + 1) * SIZE])
    entry = described[name]
    return Linear(weights, entry["scale"], entry["bias"], entry["ease"], {})
