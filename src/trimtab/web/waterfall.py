"""A trace as a tree with bars: who called whom, when, for how long. Pure.

A trace may have ten thousand spans. Many children of one span are folded but for the first of them and those that
matter (they failed, or somebody chose them), and what is left is drawn a window of lines at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from trimtab.core import Layer, Span

from . import words

#: Deeper levels are drawn at this indent.
DEEPEST = 8
#: Lines drawn at once.
MOST = 200
#: More children than this are folded, to the first few.
MANY, FEW = 40, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line of the waterfall; ``x`` and ``width`` are percent of the whole.

    ``hidden`` is 0 for a span; else the line stands for so many spans under ``span_id`` that are folded away.
    """

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
    hidden: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """The lines of one window: those from ``first`` (from 0) on, of ``lines``; ``spans`` are all that there are."""

    bars: tuple[Bar, ...]
    first: int
    lines: int
    spans: int

    @property
    def earlier(self) -> int | None:
        """Where the window before begins."""
        return max(0, self.first - MOST) if self.first else None

    @property
    def later(self) -> int | None:
        """Where the window after begins."""
        after = self.first + len(self.bars)
        return after if after < self.lines else None


@dataclass(frozen=True, slots=True)
class _Line:
    span: Span
    depth: int
    hidden: int = 0


def waterfall(
    spans: Sequence[Span], *, chosen: str = "", opened: Collection[str] = (), first: int | None = None
) -> Waterfall:
    """The window that begins at line ``first``, or the one with the ``chosen`` span; the children of ``opened`` spans
    are all drawn."""
    if not spans:
        return Waterfall(bars=(), first=0, lines=0, spans=0)
    lines = list(_folded(depth_first(spans), _vital(spans, chosen), frozenset(opened)))
    if first is None:
        place = next((n for n, line in enumerate(lines) if line.span.span_id == chosen and not line.hidden), 0)
        first = place // MOST * MOST
    first = max(0, min(first, len(lines) - 1))
    start = min(span.start_ns for span in spans)
    whole = max(1, max(span.end_ns for span in spans) - start)
    return Waterfall(
        bars=tuple(_bar(line, start, whole) for line in lines[first : first + MOST]),
        first=first,
        lines=len(lines),
        spans=len(spans),
    )


def depth_first(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    """Depth first, children by start. A span whose parent is not here stands at the top; a loop is cut."""
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda s: (s.start_ns, s.end_ns)):
        children[span.parent_id if span.parent_id in known and span.parent_id != span.span_id else ""].append(span)
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
    return ordered


def _vital(spans: Sequence[Span], chosen: str) -> set[str]:
    """The spans that are never folded away: those that failed or were refused, the chosen one, and all above them."""
    above = {span.span_id: span.parent_id for span in spans}
    vital: set[str] = set()
    for span in spans:
        if span.status != "ok" or span.span_id == chosen:
            here = span.span_id
            while here in above and here not in vital:
                vital.add(here)
                here = above[here]
    return vital


def _folded(ordered: Sequence[tuple[Span, int]], vital: set[str], opened: frozenset[str]) -> Iterator[_Line]:
    """The lines; where children were left out, one more after the last of their parent's."""
    ends = _ends([depth for _, depth in ordered])
    children: dict[int, int] = defaultdict(int)
    parents = _parents([depth for _, depth in ordered])
    for parent in parents:
        children[parent] += 1
    place = {-1: 0}
    hidden: dict[int, int] = {}
    waiting: list[int] = []
    at = 0
    while at < len(ordered) or waiting:
        if waiting and (at >= len(ordered) or at >= ends[waiting[-1]]):
            parent = waiting.pop()
            if parent in hidden:
                yield _Line(ordered[parent][0], ordered[parent][1] + 1, hidden[parent])
            continue
        span, depth = ordered[at]
        parent = parents[at]
        place[parent] = place.get(parent, 0) + 1
        many = parent >= 0 and children[parent] > MANY and ordered[parent][0].span_id not in opened
        if many and place[parent] > FEW and span.span_id not in vital:
            hidden[parent] = hidden.get(parent, 0) + ends[at] - at
            at = ends[at]
            continue
        yield _Line(span, depth)
        waiting.append(at)
        at += 1


def _ends(depths: Sequence[int]) -> list[int]:
    """For each place of a depth-first order, where what is under it ends."""
    ends = [len(depths)] * len(depths)
    waiting: list[int] = []
    for at, depth in enumerate(depths):
        while waiting and depths[waiting[-1]] >= depth:
            ends[waiting.pop()] = at
        waiting.append(at)
    return ends


def _parents(depths: Sequence[int]) -> list[int]:
    """For each place of a depth-first order, the place of its parent; -1 at the top."""
    parents: list[int] = []
    above: list[int] = []
    for at, depth in enumerate(depths):
        del above[depth:]
        parents.append(above[-1] if above else -1)
        above.append(at)
    return parents


def _bar(line: _Line, start: int, whole: int) -> Bar:
    span = line.span
    x = 100 * (span.start_ns - start) / whole
    return Bar(
        span_id=span.span_id,
        name=span.name or span.kind,
        kind=span.kind,
        layer=span.layer or 0,
        depth=min(line.depth, DEEPEST),
        x=round(min(99.5, x), 2),
        width=round(max(0.4, min(100 - x, 100 * span.duration_ns / whole)), 2),
        time=words.duration(span.duration_ns / words.SECOND),
        cost=words.money(span.cost_usd) if span.cost_usd is not None else "",
        failed=span.status == "error",
        status=span.status,
        hidden=line.hidden,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """What one layer did in a trace; ``layer`` 0 is what belongs to none.

    ``bars`` are stretches (x, width in percent) in which at least one of its spans ran, ``time`` their sum, ``share``
    of the whole. Spans run inside each other, so the shares of the layers may come to more than the whole.
    """

    layer: int
    spans: int
    failed: int
    time: str
    share: str
    cost: str
    bars: tuple[tuple[float, float], ...]


def by_layer(spans: Sequence[Span]) -> tuple[LayerRow, ...]:
    """Every layer, first to last, then what belongs to none. The root is left out where there is more than it: it lasts
    as long as all of it. Costs are those of model calls, which a root repeats."""
    if not spans:
        return ()
    start = min(span.start_ns for span in spans)
    whole = max(1, max(span.end_ns for span in spans) - start)
    known = [span for span in spans if span.parent_id or len(spans) == 1]
    found = []
    for layer in (*Layer, None):
        mine = [span for span in known if span.layer == layer]
        if mine or layer is not None:
            found.append(_layer_row(layer, mine, start, whole))
    return tuple(found)


def _layer_row(layer: Layer | None, spans: Sequence[Span], start: int, whole: int) -> LayerRow:
    stretches: list[list[int]] = []
    near = whole // 500  # a fifth of a percent: what is closer cannot be told apart
    total = 0
    until = 0
    for span in sorted(spans, key=lambda one: one.start_ns):
        total += max(0, span.end_ns - max(span.start_ns, until))
        until = max(until, span.end_ns)
        if stretches and span.start_ns <= stretches[-1][1] + near:
            stretches[-1][1] = max(stretches[-1][1], span.end_ns)
        else:
            stretches.append([span.start_ns, span.end_ns])
    costs = [span.cost_usd for span in spans if span.cost_usd is not None and span.kind in ("llm", "embedding")]
    return LayerRow(
        layer=int(layer) if layer else 0,
        spans=len(spans),
        failed=sum(span.status != "ok" for span in spans),
        time=words.duration(total / words.SECOND) if spans else "",
        share=words.percent(total / whole) if spans else "",
        cost=words.money(sum(costs)) if costs else "",
        bars=tuple(
            (round(min(99.5, 100 * (a - start) / whole), 2), round(max(0.4, 100 * (b - a) / whole), 2))
            for a, b in stretches
        ),
    )
