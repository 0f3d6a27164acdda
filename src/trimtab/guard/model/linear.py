"""Scoring a text with a linear model: running sums over tokens, then the best window at each of a few widths."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from importlib import resources
from itertools import accumulate, islice, starmap
from operator import add, itemgetter, sub
from typing import Any

from .features import (
    CONCEPT_BITS,
    LETTER,
    LETTER_SHARE,
    SIZE,
    Row,
    concept_feature,
    concept_pairs,
    folded,
    grams,
    lane_of,
    repeated,
    row,
    spans_of,
    tokens_of,
    word_feature,
)

#: Widths of the windows in tokens, besides the whole text. A window moves by half its width.
WIDTHS = (16, 48, 144)
#: Added to the number of tokens before the root is taken: very short texts are judged with care.
SMOOTH = 4
#: Below so many tokens a text is short: ordinary ones score lower there, so less is asked of an attack.
SHORT = 48
#: Tokens of one text that are looked at.
TOKENS = 3000
#: Tokens of the longest sentence.
LONGEST = 48
#: Log-odds below which nobody asks where a window stands.
FAINT = -3.0
#: Weights are bytes; this one is a weight of nothing.
ZERO = 128
#: The most words whose sums are remembered.
_CACHE_SIZE = 20_000
#: Words that are learned at once: no step keeps other threads waiting for long.
_STEP = 512
#: What a token adds that says nothing: it makes up for the offset of the weights of its three neighbour features.
NOTHING = -3 * ZERO


def windows(count: int) -> Iterator[tuple[int, int]]:
    """First and last token (excluded) of every window over so many tokens; the last one covers them all."""
    for width in WIDTHS:
        step = width // 2
        for low in range(0, max(1, count - step), step):
            if low < count:
                yield low, min(count, low + width)
        if count <= width:
            return
    yield 0, count


def sentences(starts: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
    """First and last token (excluded) of every sentence, line or cell of at least two tokens, and of each two in a row.

    ``starts`` and ``stops`` are its first and last token (excluded). A long one is cut after ``LONGEST`` tokens.
    """
    spans = []
    before = -1
    for start, stop in zip(starts, stops, strict=True):
        for low in range(start, stop, LONGEST) if stop - start > LONGEST else (start,):
            high = min(stop, low + LONGEST)
            if high - low >= 2:
                spans.append((low, high))
            if before >= 0 and high - before > 2:
                spans.append((before, high))
            before = low
    return spans


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


@dataclass(slots=True)
class _Seen:
    """Tokens whose lanes are known. A full one is replaced, never emptied: another thread may be reading it."""

    lanes: dict[str, int] = field(default_factory=dict)


_SEEN = _Seen()


@lru_cache(maxsize=8)
def row_of(text: str, limit: int) -> Row:
    """The row of a text: several models look at the same one in a row."""
    words = tokens_of(text, limit)
    known = _SEEN.lanes
    try:
        lanes = _each(known, words)
    except KeyError:
        new = set(words).difference(known)
        if len(known) + len(new) > _CACHE_SIZE:
            known, new = {}, set(words)
            _SEEN.lanes = known
        known.update({word: lane_of(word) for word in new})
        lanes = _each(known, words)
    return row(words, lanes)


def _listed(each: Iterable[float]) -> list[float]:
    """All of them, in steps: a thread gives way to others only between two of them."""
    found: list[float] = []
    every = iter(each)
    while some := list(islice(every, _STEP)):
        found += some
    return found


def _each(table: Any, keys: Sequence[Any]) -> Sequence[Any]:
    """What a table holds for each key, at once."""
    if len(keys) > 1:
        found: Sequence[Any] = itemgetter(*keys)(table)
        return found
    return [table[key] for key in keys]


@dataclass(slots=True)
class Linear:
    """One model: a byte for each hashed feature, their scale, the bias, and what is added for a short text."""

    weights: bytes
    scale: float
    bias: float
    ease: float
    known: dict[str, float] = field(default_factory=dict)

    def sums(self, text: str, limit: int = TOKENS, *, apart: bool = False) -> list[float]:
        """Running sums of the features' weights over the tokens.

        ``apart``: every sentence counts as if it stood alone.
        """
        row = row_of(text, limit)
        if not row.words:
            return [0.0]
        weights = self.weights
        try:
            each: Iterable[float] = _each(self.known, row.words)
        except KeyError:
            each = _each(self._learn(row), row.words)
        each = _listed(each)
        for at in repeated(row.lanes, row.starts, apart=apart):
            each[at] = NOTHING
        for features in (row.pairs, row.skips, row.triples):
            each = map(add, each, _each(weights, features))
        pairs = concept_pairs(row.concepts, row.starts, apart=apart)
        if pairs:
            each = _listed(each)
            for at, feature in pairs:
                each[at] += weights[feature] - ZERO
        return _listed(accumulate(each, initial=0.0))

    def _learn(self, row: Row) -> dict[str, float]:
        """Remember what tokens add by themselves."""
        known = self.known
        new = set(row.words).difference(known)
        if len(known) + len(new) > _CACHE_SIZE:
            known, new = {}, set(row.words)
            self.known = known
        fresh = {word: lane for word, lane in zip(row.words, row.lanes, strict=True) if word in new}
        for at in range(0, len(fresh), _STEP):
            some = dict(islice(fresh.items(), at, at + _STEP))
            known.update(zip(some, self.alone(some), strict=True))
        return known

    def alone(self, lanes: Mapping[str, int]) -> list[float]:
        """What each token adds by itself, less what a weight of nothing counts for in its neighbours."""
        weights = self.weights
        found: list[float] = []
        rows, bounds = grams([folded(word) for word in lanes])
        sums = [list(accumulate(_each(weights, row), initial=0)) for row in rows]
        for lane, (start, end) in zip(lanes.values(), bounds, strict=True):
            total = count = 0
            for length, run in enumerate(sums, 2):
                last = end - length + 1
                if last <= start:
                    break
                total += run[last] - run[start]
                count += last - start
            value = float(weights[word_feature(lane)] - ZERO)
            if concept := lane >> CONCEPT_BITS & 0xFF:
                value += weights[concept_feature(concept)] - ZERO
            if lane & LETTER:
                value *= LETTER_SHARE
            else:
                value += (total - ZERO * count) / math.sqrt(count)
            found.append(value + NOTHING)
        return found

    def windows(self, text: str, limit: int = TOKENS) -> list[Scored]:
        """Every window's score, at every width, in the order of the widths."""
        running = self.sums(text, limit)
        return self._placed(text, running, windows(len(running) - 1))

    def sentences(self, text: str, limit: int = TOKENS, least: float = -40.0) -> list[Scored]:
        """The score of every sentence, line or cell, and of each two in a row, from ``least`` log-odds on."""
        running = self.sums(text, limit, apart=True)
        found = row_of(text, limit)
        spans = sentences(found.starts, found.stops)
        return self._placed(text, running, spans, least)

    def loudest_sentence(self, text: str, limit: int = TOKENS) -> float:
        """The log-odds of the sentence, or two in a row, that speaks loudest; -40 for a text without tokens."""
        running = self.sums(text, limit, apart=True)
        found = row_of(text, limit)
        spans = sentences(found.starts, found.stops)
        return max(starmap(partial(self._logit, running), spans), default=-40.0)

    def best(self, text: str, limit: int = TOKENS) -> Scored:
        """The window that speaks loudest; ``Scored(-40)`` for a text without tokens."""
        running = self.sums(text, limit)
        count = len(running) - 1
        if not count or text.isspace():
            return Scored(-40.0)
        logit, low, high = self._loudest(running, count)
        if logit < FAINT:
            return Scored(logit, 0, len(text))
        spans = spans_of(text, high)
        return Scored(logit, spans[low][0], spans[high - 1][1])

    def _loudest(self, running: Sequence[float], count: int) -> tuple[float, int, int]:
        """The log-odds of the loudest of ``windows(count)``, and its tokens. Of equals the first counts."""
        best, at, until = -math.inf, 0, 0
        for width in WIDTHS:
            step = width // 2
            full = list(map(sub, running[width::step], running[::step]))
            if full:
                gained = max(full)
                if (found := self._worth(gained, width)) > best:
                    best, at = found, full.index(gained) * step
                    until = at + width
            low = len(full) * step  # the last window is a part of one
            if low < max(1, count - step) and (found := self._worth(running[count] - running[low], count - low)) > best:
                best, at, until = found, low, count
            if count <= width:
                break
        else:
            if (found := self._worth(running[count], count)) > best:
                best, at, until = found, 0, count
        return best + self._eased(count), at, until

    def _worth(self, gained: float, size: int) -> float:
        return self.scale * gained / math.sqrt(size + SMOOTH) + self.bias

    def _eased(self, count: int) -> float:
        return self.ease * (1.0 - count / SHORT) if count < SHORT else 0.0

    def _placed(
        self, text: str, running: Sequence[float], spans: Iterable[tuple[int, int]], least: float = -40.0
    ) -> list[Scored]:
        scored = [(logit, low, high) for low, high in spans if (logit := self._logit(running, low, high)) >= least]
        if not scored:
            return []
        places = spans_of(text, max(high for _, _, high in scored))
        return [Scored(logit, places[low][0], places[high - 1][1]) for logit, low, high in scored]

    def _logit(self, running: Sequence[float], low: int, high: int) -> float:
        return self._worth(running[high] - running[low], high - low) + self._eased(len(running) - 1)


@cache
def model(name: str) -> Linear:
    """The model of this name that ships with the package (``injection``, ``instruction``, ``harm``).

    The file is one line of JSON (each model's scale, bias and ease, in order), then one byte for each feature.
    """
    raw = resources.files(__package__).joinpath("weights.bin").read_bytes()
    head, body = raw.split(b"\n", 1)
    described: Mapping[str, Mapping[str, float]] = json.loads(head)
    place = list(described).index(name)
    entry = described[name]
    return Linear(body[place * SIZE : (place + 1) * SIZE], entry["scale"], entry["bias"], entry["ease"])
