"""Whether questions are still embedded as they were when the index was made; and what searches of applications tell of
the index that they ask. Pure.

An index holds the vectors of one model. When another one embeds the questions, they point elsewhere, and nothing fails.
The span of an embedding may hold a sketch of the vector of its one text: the gateway and OpenInference's spans bring
one. ``trimtab.index.version``, or the tag ``index``, names the index that is asked: another one has a past of its own.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from trimtab.core import INDEX_SOURCE, INDEX_VERSION, VECTOR, Span
from trimtab.evals import OWN_PROJECTS

from .band import Band, band_of
from .measured_searches import INDEX_LAG, QUERY_NORM, lag_of, norm_of
from .observation import Observation, Served
from .signals import QUERY_DIRECTION
from .told import Told, valued
from .traffic import Ranks

#: Vectors whose mean is the usual direction, those after them that show how far one lies from it, and indexes that are
#: told apart.
_MEAN, _SPREAD, _INDEXES = 256, 128, 64
#: Searches of one second that are read.
_MOST = 40
#: What the least usual cosine is lowered by, and the chance that the share beyond it is larger than it was.
_ROOM, _ALPHA = 0.05, 0.005


class _Direction:
    """The usual direction of the vectors that one index is asked with, learnt from the first of them."""

    __slots__ = ("_band", "_cosines", "_mean", "_n")

    def __init__(self) -> None:
        self._n = 0
        self._mean: list[float] = []
        self._cosines: list[float] = []
        self._band: Band | None = None

    def add(self, sketch: Sequence[float]) -> float | None:
        """Take a vector: 1 when it points as usual, 0 when not or when it has other dimensions; None while learning."""
        if self._n < _MEAN:
            if len(self._mean) != len(sketch):  # begin anew: nobody knows which of the two is usual
                self._n, self._mean = 0, [0.0] * len(sketch)
            self._n += 1
            length = math.hypot(*sketch) or 1.0
            self._mean = [mean + one / length for mean, one in zip(self._mean, sketch, strict=True)]
            return None
        cosine = _cosine(self._mean, sketch)
        if self._band is None:
            self._cosines.append(cosine)
            if len(self._cosines) >= _SPREAD:
                self._band = band_of(self._cosines, "down", 0.0, _ALPHA, _ROOM)
            return None
        return self._band.holds(cosine)


class Searches:
    """Reads the spans of applications and of embeddings, in the order they were committed. After a restart it knows no
    direction and learns it anew."""

    def __init__(self) -> None:
        self._directions: OrderedDict[tuple[str, str], _Direction] = OrderedDict()
        self._ranks = Ranks()

    def read(self, traces: Mapping[str, Sequence[Span]]) -> Iterator[Told]:
        """The values that spans bring, by trace."""
        for spans in traces.values():
            for span in spans:
                attributes = span.attributes
                if VECTOR not in attributes and INDEX_SOURCE not in attributes:
                    continue
                lag, norm = lag_of(span), norm_of(span)
                if span.project.startswith(OWN_PROJECTS) or (lag is None and norm is None):
                    continue
                if self._ranks.of(span.end_ns) > _MOST:
                    continue
                one = _whose(span)
                if lag is not None:
                    yield Told(INDEX_LAG, span.project, one, lag)
                if norm is not None:
                    yield Told(QUERY_NORM, span.project, one, norm)
                    value = self._pointed(span)
                    if value is not None:
                        yield Told(QUERY_DIRECTION, span.project, valued(one, value))

    def _pointed(self, span: Span) -> float | None:
        sketch = span.attributes[VECTOR].get("first")
        if not isinstance(sketch, list | tuple) or not sketch or not all(isinstance(x, int | float) for x in sketch):
            return None
        index = span.attributes.get(INDEX_VERSION) or span.tags.get("index") or span.stamp.knowledge
        key = span.project, str(index)
        known = self._directions.get(key)
        if known is None:
            known = self._directions[key] = _Direction()
            if len(self._directions) > _INDEXES:
                self._directions.popitem(last=False)
        return known.add(sketch)


def _whose(span: Span) -> Observation:
    served = Served(time_ns=span.end_ns, trace_id=span.trace_id, pins={}, session=span.session)
    return Observation(served, span.tags.get("topic", ""), 1.0)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    if len(one) != len(other):
        return -1.0
    both = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / both if both else -1.0
