"""What is measured of searches: how far the index lies behind its sources, and how long the vectors of questions are.

A retriever's span may say up to when the index has its sources and when the newest of them changed, in nanoseconds
since 1970 UTC: the gateway writes both of its own corpora, an application as the attributes ``trimtab.index.watermark``
and ``trimtab.index.source``. The span of an embedding may hold a sketch of its vector, see ``trimtab.core.sketch``.
"""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.core import INDEX_SOURCE, INDEX_WATERMARK, VECTOR, Layer, Span

from .measure import SOME, Measure
from .traffic import Traffic

#: The signals' names.
INDEX_LAG, QUERY_NORM = "index_lag", "query_norm"
_DAY_NS = 86_400 * 10**9


def lag_of(span: Span) -> float | None:
    """Days that the index of a search lies behind the newest of its sources; never below 0."""
    watermark, source = span.attributes.get(INDEX_WATERMARK), span.attributes.get(INDEX_SOURCE)
    if not isinstance(watermark, int | float) or not isinstance(source, int | float):
        return None
    return max(0.0, (source - watermark) / _DAY_NS)


def norm_of(span: Span) -> float | None:
    """The length of the vector that a question was embedded as."""
    vector = span.attributes.get(VECTOR)
    norm = vector.get("norm") if isinstance(vector, Mapping) else None
    return float(norm) if isinstance(norm, int | float) else None


def index_lag(seen: Traffic) -> float | None:
    """The same of a request: of its searches the furthest behind."""
    worst: float | None = None
    for span in seen.spans:
        if span.kind == "retriever" and (lag := lag_of(span)) is not None and (worst is None or lag > worst):
            worst = lag
    return worst


def query_norm(seen: Traffic) -> float | None:
    """The same of a request that holds the span of its embedding."""
    for span in seen.spans:
        if span.kind == "embedding" and (norm := norm_of(span)) is not None:
            return norm
    return None


SEARCHES = (
    Measure(
        name=INDEX_LAG, layer=Layer.KNOWLEDGE, title="Index lag", unit="days", of=index_lag, worse="up", least=1.0,
        dear=SOME, rare=True, tells=1.0, help="The index lies no further behind its sources than usual.",
    ),
    Measure(
        name=QUERY_NORM, layer=Layer.KNOWLEDGE, title="Query norm", unit="length", of=query_norm, worse="either",
        tolerance=0.05, dear=SOME, rare=True, tells=1.0, help="Questions are embedded as vectors of the usual length.",
    ),
)  # fmt: skip
