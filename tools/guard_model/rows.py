"""Rows of features for training: the same features that ``trimtab.guard.model`` scores, as a sparse matrix."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sparse

from trimtab.guard.model.features import (
    CONCEPT,
    FIRST,
    HELD,
    NEAR,
    PAIR,
    REACH,
    SIZE,
    SKIP,
    TRIPLE,
    concept_pair,
    mix,
    token_of,
    words_of,
)
from trimtab.guard.model.linear import SMOOTH, sentences, windows

#: Tokens and characters of one training text that are looked at.
TOKENS = 1200
CHARACTERS = 6000
#: Rows of one text at most.
ROWS = 60

Spans = Callable[[str, int], Iterable[tuple[int, int]]]
_token = lru_cache(200_000)(token_of)


def places(text: str, limit: int = TOKENS, *, apart: bool = False) -> tuple[Any, int]:
    """One row for each token: the features that end there. Mirrors ``Linear.sums``."""
    row, column, value = [], [], []
    held: list[tuple[int, int]] = []
    before = last = count = 0
    seen: dict[int, int] = {}
    for place, (word, _start, _end, first) in enumerate(words_of(text, limit)):
        token = _token(word)
        if first:
            before = last = 0
            if apart:
                seen.clear()
                held.clear()
        pair = mix(last, token.hash)
        found = list(token.features) if seen.get(token.hash, -NEAR) + NEAR <= place else []
        if first:
            found.append((token.first, FIRST))
        if seen.get(~pair, -NEAR) + NEAR <= place:
            found += [
                (pair, PAIR),
                (mix(before, token.hash), SKIP),
                (mix(before * 31 + last, token.hash), TRIPLE),
            ]
        seen[token.hash] = seen[~pair] = place
        for concept in token.concepts:
            found += [(concept_pair(other, concept), CONCEPT) for where, other in held if place - where <= REACH]
            held.append((place, concept))
        del held[:-HELD]
        before, last, count = last, token.hash, place + 1
        for feature, weight in found:
            row.append(place)
            column.append(feature)
            value.append(weight)
    return sparse.csr_matrix((value, (row, column)), shape=(count, SIZE), dtype=np.float32), count


def by_window(text: str, limit: int) -> list[tuple[int, int]]:
    """The windows of a text in tokens."""
    return list(windows(sum(1 for _ in words_of(text, limit))))


def by_sentence(text: str, limit: int) -> list[tuple[int, int]]:
    """The sentences of a text in tokens."""
    return list(sentences(text, limit))


def chosen_spans(text: str, spans: Spans, most: int = ROWS) -> list[tuple[int, int]]:
    """The spans of a text that take part, at most ``most``."""
    chosen = list(spans(text, TOKENS))
    return random.Random(1).sample(chosen, most) if len(chosen) > most else chosen


def rows(text: str, spans: Spans, most: int = ROWS) -> Any | None:
    """One row for each span of the text, at most ``most``; None for a text without tokens."""
    tokens, count = places(text, apart=spans is by_sentence)
    chosen = chosen_spans(text, spans, most) if count else []
    if not chosen:
        return None
    row, column, value = [], [], []
    for number, (low, high) in enumerate(chosen):
        row += [number] * (high - low)
        column += range(low, high)
        value += [1 / math.sqrt(high - low + SMOOTH)] * (high - low)
    picked = sparse.csr_matrix((value, (row, column)), shape=(len(chosen), count), dtype=np.float32)
    return (picked @ tokens).tocsr()
