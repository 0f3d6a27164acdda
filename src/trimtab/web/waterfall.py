"""A trace as a tree with bars: who called whom, when, for how long. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.core import Span

from . import words

#: Deeper levels are drawn at this indent.
DEEPEST = 8
#: Spans drawn at once; the rest is counted.
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line of the waterfall; ``x`` and ``width`` are percent of the whole."""

    span_id: str
    name: str
    kind: str
    layer: int
    depth: int
    x: float
    width: float
    time: str
    cost: str
    failed: bool
    status: str


def bars(spans: Sequence[Span]) -> tuple[Bar, ...]:
    """Depth first, children by start. A span whose parent is not here stands at the top; a loop is cut."""
    if not spans:
        return ()
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda s: (s.start_ns, s.end_ns)):
        children[span.parent_id if span.parent_id in known and span.parent_id != span.span_id else ""].append(span)
    start = min(span.start_ns for span in spans)
    whole = max(1, max(span.end_ns for span in spans) - start)
    ordered: list[tuple[Span, int]] = []
    seen: set[str] = set()
    waiting = [(span, 0) for span in reversed(children[""])]
    while waiting:
        span, depth = waiting.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        ordered.append((span, depth))
        waiting += [(child, depth + 1) for child in reversed(children[span.span_id])]
    # Spans that only call each other in a circle have no top; they are shown, not dropped.
    ordered += [(span, 0) for span in spans if span.span_id not in seen]
    return tuple(_bar(span, depth, start, whole) for span, depth in ordered)


def _bar(span: Span, depth: int, start: int, whole: int) -> Bar:
    x = 100 * (span.start_ns - start) / whole
    return Bar(
        span_id=span.span_id,
        name=span.name or span.kind,
        kind=span.kind,
        layer=span.layer or 0,
        depth=min(depth, DEEPEST),
        x=round(min(99.5, x), 2),
        width=round(max(0.4, min(100 - x, 100 * span.duration_ns / whole)), 2),
        time=words.duration(span.duration_ns / words.SECOND),
        cost=words.money(span.cost_usd) if span.cost_usd is not None else "",
        failed=span.status == "error",
        status=span.status,
    )
