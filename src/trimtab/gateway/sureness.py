"""How sure a model was of its answer, from the log-probabilities that the client asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.core import Chunk

#: Tokens of an answer that are read.
_MOST = 4096


class Sureness:
    """The mean log-probability of the likeliest token at each place of an answer, added up piece by piece."""

    __slots__ = ("_n", "_total")

    def __init__(self) -> None:
        self._n, self._total = 0, 0.0

    @property
    def mean(self) -> float | None:
        """The mean so far; None where the vendor gave nothing."""
        return self._total / self._n if self._n else None

    def read(self, chunk: Chunk) -> None:
        """Take a piece of the answer as the vendor gave it."""
        for token in _tokens(chunk):
            value = _likeliest(token)
            if value is not None and self._n < _MOST:
                self._n += 1
                self._total += value


def _tokens(chunk: Chunk) -> Iterator[Any]:
    """The tokens of the first choice, or of an event of the Responses API."""
    if chunk.native is not None:
        found = chunk.native.get("logprobs")
    else:
        choices = (chunk.body or {}).get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        told = first.get("logprobs") if isinstance(first, Mapping) and not first.get("index") else None
        found = told.get("content") if isinstance(told, Mapping) else None
    yield from found if isinstance(found, list) else ()


def _likeliest(token: Any) -> float | None:
    if not isinstance(token, Mapping):
        return None
    others = token.get("top_logprobs")
    given = [token, *(others if isinstance(others, list) else ())]
    values = [each.get("logprob") for each in given if isinstance(each, Mapping)]
    known = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return max(known, default=None)
