"""What an answer took, against what the base version's answers take. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trimtab.core import LAYER_OF_KIND, UNSERVED, BadInput, Layer, Span

from .plan import COST, LATENCY

#: Answers of the base version that set a limit, and how many at least.
LEARNT_FROM, LEARNT_LEAST = 400, 60
_QUANTILE = 0.95
#: The limit lies this much above the base version's 95th percentile: where all cost the same, a hair is no harm.
_ROOM = 1.1
_SECOND = 1_000_000_000
_COLUMNS = {
    Layer.MODEL: "stamp.model",
    Layer.KNOWLEDGE: "stamp.knowledge",
    Layer.PROMPT: "stamp.prompt",
    Layer.SAFETY: "stamp.guard",
    Layer.OPERATIONS: "stamp.route",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most an answer may take (seconds or US dollars), asked of answers that ended after ``since_ns``.

    It is set before the answers that it judges, or the test would not know what it bets on.
    """

    most: float
    since_ns: int


def column_of(kind: str) -> str:
    """The span's column that tells which version of a kind served; empty for kinds that serve no request.

    Raises BadInput for what is no kind.
    """
    if kind not in LAYER_OF_KIND:
        raise BadInput(f"{kind[:40]!r} is no kind of asset.", field="kind", mend=f"Use {', '.join(LAYER_OF_KIND)}.")
    return _COLUMNS[LAYER_OF_KIND[kind]] if kind not in UNSERVED else ""


def taken(span: Span) -> Mapping[str, float]:
    """What an answered request took, by metric; empty for one that failed. Unpriced is not free: it has no cost."""
    if span.status != "ok":
        return {}
    found = {LATENCY: span.duration_ns / _SECOND}
    if span.cost_usd is not None:
        found[COST] = span.cost_usd
    return found


def limits_from(spans: Iterable[Span], now_ns: int) -> dict[str, Limit]:
    """The limits that the base version's answers set, as far as there are enough of them."""
    values: dict[str, list[float]] = {LATENCY: [], COST: []}
    for span in spans:
        for metric, value in taken(span).items():
            values[metric].append(value)
    return {metric: limit(seen, now_ns) for metric, seen in values.items() if len(seen) >= LEARNT_LEAST}


def limit(values: list[float], now_ns: int) -> Limit:
    """The limit that these values set."""
    return Limit(most=sorted(values)[int(_QUANTILE * (len(values) - 1))] * _ROOM, since_ns=now_ns)
