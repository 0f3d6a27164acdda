"""Rows of features for training: the same features that ``trimtab.guard.model`` scores, as a sparse matrix."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sparse

from trimtab.guard.model.features import (
    CONCEPT_BITS,
    GRAMS,
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
    word_feature,
)
from trimtab.guard.model.linear import SMOOTH, row_of, sentences, windows

#: Tokens and characters of one training text that are looked at.
TOKENS = 1200
CHARACTERS = 6000
#: Rows of one text at most.
ROWS = 20

Spans = Callable[[Row], Sequence[tuple[int, int]]]


@lru_cache(200_000)
def own(word: str) -> tuple[Any, Any]:
    """The features of a token by itself and their values. Mirrors ``Linear.alone``."""
    lane = lane_of(word)
    share = LETTER_SHARE if lane & LETTER else 1.0
    columns, values = [word_feature(lane)], [share]
    if concept := lane >> CONCEPT_BITS & 0xFF:
        columns.append(concept_feature(concept))
        values.append(share)
    if not lane & LETTER:
        found, ((start, end),) = grams([folded(word)])
        ngrams = [
            feature
            for length, features in zip(GRAMS, found, strict=True)
            for feature in features[start : max(start, end - length + 1)]
        ]
        columns += ngrams
        values += [1 / math.sqrt(len(ngrams))] * len(ngrams)
    return np.array(columns, np.int32), np.array(values, np.float32)


def places(row: Row, *, apart: bool = False) -> Any:
    """One row for each token: the features that end there. Mirrors ``Linear.sums``."""
    count = len(row.words)
    columns, values, owners = [], [], []
    again = set(repeated(row.lanes, row.starts, apart=apart))
    for at, word in enumerate(row.words):
        if at in again:
            continue
        column, value = own(word)
        columns.append(column)
        values.append(value)
        owners.append(np.full(len(column), at, np.int32))
    every = np.arange(count, dtype=np.int32)
    for features in (row.pairs, row.skips, row.triples):
        columns.append(np.array(features, np.int32))
        values.append(np.ones(count, np.float32))
        owners.append(every)
    pairs = concept_pairs(row.concepts, row.starts, apart=apart)
    columns.append(np.array([feature for _, feature in pairs], np.int32))
    values.append(np.ones(len(pairs), np.float32))
    owners.append(np.array([at for at, _ in pairs], np.int32))
    found = (np.concatenate(values), (np.concatenate(owners), np.concatenate(columns)))
    return sparse.csr_matrix(found, shape=(count, SIZE), dtype=np.float32)


def by_window(row: Row) -> list[tuple[int, int]]:
    """The windows of a text."""
    return list(windows(len(row.words)))


def by_sentence(row: Row) -> list[tuple[int, int]]:
    """The sentences of a text, and each two in a row."""
    return sentences(row.starts, row.stops)


def rows(text: str, spans: Spans, most: int = ROWS) -> Any | None:
    """One row for each span of the text, at most ``most``; None for a text without tokens."""
    row = row_of(text, TOKENS)
    chosen = list(spans(row)) if row.words else []
    if not chosen:
        return None
    if len(chosen) > most:
        chosen = [*random.Random(1).sample(chosen[:-1], most - 1), chosen[-1]]  # the last may be the whole text
    tokens = places(row, apart=spans is by_sentence)
    lows, highs = np.array(chosen).T
    sizes = highs - lows
    column = np.concatenate([np.arange(low, high) for low, high in chosen])
    value = np.repeat(1 / np.sqrt(sizes + SMOOTH), sizes).astype(np.float32)
    pointer = np.concatenate([[0], np.cumsum(sizes)])
    picked = sparse.csr_matrix((value, column, pointer), shape=(len(chosen), len(row.words)), dtype=np.float32)
    return (picked @ tokens).tocsr()
