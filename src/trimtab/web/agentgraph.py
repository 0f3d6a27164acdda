"""The agent graph: where steps and the wires between them go. Pure geometry; classes colour, the template draws.

Steps stand in rows from the top down; those of one row ran at the same time or are branches. A wire to the next row is
a curve. A wire that skips rows runs down the right edge, one that leads back (a loop) up the left edge. What happened
inside a step is a graph of its own within its frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from . import words
from .steps import BEGIN, END, Edge, Flow, Step

NODE_W, NODE_H, LINE_H = 164, 44, 16
GAP_X, GAP_Y = 20, 34
PAD, HEAD = 14, 56
DOT = 10
#: Distance of two wires that run beside each other, and how many do before one lies on another.
LANE, MOST_LANES = 12, 6
#: Characters of a name that fit into a node, and of what stands under it.
NAME_CHARS, NOTE_CHARS = 20, 26
_KIND_WORDS = {"llm": "model", "chain": "step", "guardrail": "guard"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A step, or with ``step`` None the dot where the run begins or ends. ``frame`` holds steps of its own."""

    x: float
    y: float
    width: float
    height: float
    step: Step | None
    name: str
    title: str
    note: str
    inside: str
    frame: bool
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A line with an arrow from (``x``, ``y``); ``text`` says how often it was gone, where that is not
    plain; with ``flip`` it ends at its place and does not begin there."""

    path: str
    css: str
    text: str
    text_x: float
    text_y: float
    flip: bool = False
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """All that is drawn, and the same in a sentence."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step in words: the text equivalent of its box and of the wires from it."""

    depth: int
    span_id: str
    layer: int
    name: str
    times: str
    time: str
    cost: str
    failed: str
    then: str


class _Sized(NamedTuple):
    """A node before it has its place: of a step, or of a dot."""

    step: Step | None
    width: float
    height: float
    inner: Graph | None


class _Spot(NamedTuple):
    """Where a node stands, and its row."""

    x: float
    y: float
    width: float
    height: float
    row: int


def graph(flow: Flow) -> Graph:
    """Lay a flow out."""
    placed = _placed(flow, top=True)
    return replace(placed, sentence=_sentence(flow))


def lines(flow: Flow, depth: int = 0) -> Iterator[Line]:
    """The graph in words, each step before those inside it."""
    for at, step in enumerate(flow.steps):
        yield Line(
            depth=depth,
            span_id=step.span_id,
            layer=step.layer,
            name=_title(step),
            times=words.count(step.times) + (f", {step.at_once} at once" if step.at_once > 1 else ""),
            time=words.duration(step.duration_ns / words.SECOND),
            cost=words.money(step.cost_usd) if step.cost_usd is not None else "",
            failed=_failed(step),
            then=_then(flow, at),
        )
        if step.inside is not None:
            yield from lines(step.inside, depth + 1)


def _then(flow: Flow, at: int) -> str:
    follow = [edge for edge in flow.edges if edge.start == at]
    said = [
        f"{_title(flow.steps[edge.end]) if edge.end >= 0 else 'the end'}"
        + (f" × {words.count(edge.times)}" if edge.times > 1 else "")
        for edge in sorted(follow, key=lambda edge: (edge.end == END, -edge.times))
    ]
    return ", ".join(said)


def _sentence(flow: Flow) -> str:
    every = list(_steps(flow))
    spans = sum(step.times for step in every) + sum(step.hidden for step in every)
    loops = sum(_backward(flow, edge) for edge in flow.edges)
    said = [f"{words.plural(len(every), 'step')} drawn for {words.plural(spans, 'span')}"]
    if loops:
        said.append(words.plural(loops, "way back", "ways back"))
    if failed := sum(step.failed for step in every):
        said.append(f"{words.count(failed)} failed or refused")
    return f"Agent graph: {', '.join(said)}."


def _steps(flow: Flow) -> Iterator[Step]:
    for step in flow.steps:
        yield step
        if step.inside is not None:
            yield from _steps(step.inside)


def _backward(flow: Flow, edge: Edge) -> bool:
    return edge.start >= 0 and edge.end >= 0 and flow.steps[edge.start].rank >= flow.steps[edge.end].rank


def _placed(flow: Flow, *, top: bool) -> Graph:
    """A flow within its own corner; the outermost has dots for its begin and its end."""
    rows = _rows(flow, top=top)
    sized = {place: _sized(flow, place) for places in rows for place in places}
    row_of = {place: row for row, places in enumerate(rows) for place in places}
    edges = [edge for edge in flow.edges if edge.start in row_of and edge.end in row_of]
    back = [edge for edge in edges if edge.start != edge.end and row_of[edge.end] <= row_of[edge.start]]
    skip = [edge for edge in edges if row_of[edge.end] > row_of[edge.start] + 1]
    left, right = (LANE * min(len(some), MOST_LANES) + (8 if some else 0) for some in (back, skip))
    spots = _spots(rows, sized, left)
    width = left + max(_row_width([sized[place] for place in places]) for places in rows) + right
    bottoms = [max(spots[place].y + spots[place].height for place in places) for places in rows]
    outgoing = Counter(edge.start for edge in edges)
    wires = [wire for place, spot in spots.items() for wire in _inner_wires(sized[place], spot)]
    lanes: dict[Edge, float] = {edge: left - 8 - LANE * (at % MOST_LANES) for at, edge in enumerate(back)}
    lanes |= {edge: width - right + 8 + LANE * (at % MOST_LANES) for at, edge in enumerate(skip)}
    for edge in edges:
        start, end, text = spots[edge.start], spots[edge.end], _times(edge, outgoing)
        if (lane := lanes.get(edge)) is not None:
            wires.append(_around(start, end, lane, bottoms[start.row], text))
        else:
            wires.append(_loop(start, text) if edge.start == edge.end else _curve(start, end, text))
    boxes = [box for place, spot in spots.items() for box in _boxes(sized[place], spot)]
    return Graph(width=width, height=bottoms[-1], boxes=tuple(boxes), wires=tuple(wires), sentence="")


def _spots(rows: Sequence[Sequence[int]], sized: Mapping[int, _Sized], left: float) -> dict[int, _Spot]:
    """Where the nodes stand, each row in the middle."""
    inner = max(_row_width([sized[place] for place in places]) for places in rows)
    spots: dict[int, _Spot] = {}
    y = 0.0
    for row, places in enumerate(rows):
        nodes = [sized[place] for place in places]
        x = left + (inner - _row_width(nodes)) / 2
        for place, node in zip(places, nodes, strict=True):
            spots[place] = _Spot(x, y, node.width, node.height, row)
            x += node.width + GAP_X
        y += max(node.height for node in nodes) + GAP_Y
    return spots


def _rows(flow: Flow, *, top: bool) -> list[list[int]]:
    """The places of the steps by row, the dots in rows of their own."""
    rows: list[list[int]] = [[] for _ in range(1 + max((step.rank for step in flow.steps), default=0))]
    for place, step in enumerate(flow.steps):
        rows[step.rank].append(place)
    return [[BEGIN], *rows, [END]] if top else rows


def _sized(flow: Flow, place: int) -> _Sized:
    if place < 0:
        return _Sized(None, DOT, DOT, None)
    step = flow.steps[place]
    extra = LINE_H if step.hidden else 0
    if step.inside is None:
        return _Sized(step, NODE_W, NODE_H + extra, None)
    inner = _placed(step.inside, top=False)
    return _Sized(step, max(NODE_W, inner.width + 2 * PAD), HEAD + inner.height + PAD + extra, inner)


def _row_width(nodes: Sequence[_Sized]) -> float:
    return sum(node.width for node in nodes) + GAP_X * (len(nodes) - 1)


def _boxes(node: _Sized, spot: _Spot) -> Iterator[Box]:
    """A node, then what is inside its frame."""
    step = node.step
    yield Box(
        x=spot.x,
        y=spot.y,
        width=spot.width,
        height=spot.height,
        step=step,
        name=words.snippet(_title(step), NAME_CHARS) if step else "",
        title=f"{_title(step)}, {_note(step)}" if step else "",
        note=words.snippet(_note(step), NOTE_CHARS) if step else "",
        inside=f"{words.plural(step.hidden, 'span')} inside" if step and step.hidden else "",
        frame=node.inner is not None,
        css="fail" if step and step.failed else "",
    )
    if node.inner is not None:
        inset = _inset(node.inner, spot)
        yield from (replace(box, x=box.x + inset, y=box.y + spot.y + HEAD) for box in node.inner.boxes)


def _inner_wires(node: _Sized, spot: _Spot) -> Iterator[Wire]:
    if node.inner is not None:
        inset = _inset(node.inner, spot)
        yield from (replace(wire, x=wire.x + inset, y=wire.y + spot.y + HEAD) for wire in node.inner.wires)


def _inset(inner: Graph, spot: _Spot) -> float:
    return spot.x + (spot.width - inner.width) / 2


def _times(edge: Edge, outgoing: Counter[int]) -> str:
    """How often, where a step has several followers or leads back."""
    return f"× {words.count(edge.times)}" if edge.times > 1 and outgoing[edge.start] > 1 else ""


def _curve(start: _Spot, end: _Spot, text: str) -> Wire:
    x1, y1 = start.x + start.width / 2, start.y + start.height
    x2, y2 = end.x + end.width / 2, end.y
    bend = GAP_Y / 2
    path = f"M{x1:g} {y1:g}C{x1:g} {y2 - bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2 - 2:g}"
    flip = x1 > x2 + 1
    return Wire(path=path, css="", text=text, text_x=x2 + (-7 if flip else 7), text_y=y2 - 7, flip=flip)


def _loop(spot: _Spot, text: str) -> Wire:
    """A step that followed itself: a small bow at its right."""
    x, y = spot.x + spot.width, spot.y + 14
    return Wire(path=f"M{x:g} {y:g}c15 -4 15 20 2 16", css="back", text=text, text_x=x + 4, text_y=y - 5)


def _around(start: _Spot, end: _Spot, lane: float, bottom: float, text: str) -> Wire:
    """Down into the gap under the row, along a lane at the edge, and in from the gap above the other row."""
    side = -1 if lane < min(start.x, end.x) else 1
    shift = side * 14
    x1, y1 = start.x + start.width / 2 + shift, start.y + start.height
    x2, y2 = end.x + end.width / 2 + shift, end.y
    low, high = bottom + 10, y2 - 12
    path = f"M{x1:g} {y1:g}V{low:g}H{lane:g}V{high:g}H{x2:g}V{y2 - 2:g}"
    return Wire(
        path=path, css="back" if side < 0 else "skip", text=text, text_x=x2 + side * 4, text_y=high - 3, flip=side < 0
    )


def _title(step: Step) -> str:
    kind = _KIND_WORDS.get(step.key.kind, step.key.kind)
    return step.key.name or (f"{step.names} other {kind}s" if step.names > 1 else kind)


def _note(step: Step) -> str:
    """``× 38, 2 failed, 4.1 s``."""
    said = [f"× {words.count(step.times)}"] if step.times > 1 else []
    if failed := _failed(step):
        said.append(failed)
    said.append(words.duration(step.duration_ns / words.SECOND))
    if step.at_once > 1:
        said.append(f"{step.at_once} at once")
    return ", ".join(said)


def _failed(step: Step) -> str:
    said = f"{words.count(step.failed)} failed" if step.failed else ""
    return said + (f", {words.plural(step.retries, 'retry', 'retries')}" if step.retries else "")
