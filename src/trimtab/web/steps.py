"""What an agent did, as steps: siblings that are alike folded into one, and which step came after which. Pure.

A step is all spans of one kind and name under the same parent, or under parents that are themselves one step. One step
follows another when a span of it began after a span of the other had ended, with no third one in between; so steps that
ran at the same time stand beside each other, a loop leads back, and what may go two ways has two followers. A trace of
ten thousand spans comes to a few dozen steps; what would be more is counted, and drawn on its own when asked for.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from trimtab.core import Span

from .waterfall import depth_first

#: Steps under one parent; names that differ only in their numbers are one before this is reached.
MOST_SIBLINGS = 12
#: Steps drawn in all, and how deep they are drawn inside each other.
MOST_DRAWN, DEEPEST = 60, 3
#: Ends of an edge that are no step: where the run begins and where it ends.
BEGIN, END = -1, -2
_NUMBER = re.compile(r"[0-9a-f]{8,}|\d+")


class Key(NamedTuple):
    """What makes spans one step. An empty name stands for several names of the kind."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Spans that are alike. ``span_id`` is the first that failed, or the first.

    ``at_once`` is how many ran together at most, ``retries`` how often one began right after another had failed,
    ``names`` how many different names it stands for. ``duration_ns`` and ``cost_usd`` are sums; the cost is None where
    none is known. ``hidden`` counts the spans under it that ``inside`` does not draw; ``rank`` is its row.
    """

    span_id: str
    key: Key
    layer: int
    rank: int
    times: int
    at_once: int
    retries: int
    failed: int
    names: int
    duration_ns: int
    cost_usd: float | None
    inside: Flow | None = None
    hidden: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """From one step to the one after it, by their places; ``times`` is how often it was gone."""

    start: int
    end: int
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Steps in the order of their beginning, and what followed what."""

    steps: tuple[Step, ...]
    edges: tuple[Edge, ...]


@dataclass(slots=True)
class _Folding:
    """A step while it is being counted."""

    members: list[Span] = field(default_factory=list)
    rank: int = 0
    running: int = 0
    at_once: int = 0
    retries: int = 0
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Tree:
    """Who is under whom, how many, and how many steps may still be drawn."""

    children: dict[str, list[Span]]
    sizes: dict[str, int]
    left: int = MOST_DRAWN


def flow(spans: Sequence[Span], top: str = "") -> Flow:
    """The steps under the span ``top``, or under the root; where there are several tops, they are the steps."""
    tree = _tree(spans)
    tops = tree.children.get("", [])
    if top and tree.children.get(top):
        runs = [tree.children[top]]
    elif len(tops) == 1 and tree.children.get(tops[0].span_id):
        runs = [tree.children[tops[0].span_id]]
    else:
        runs = [tops]
    return _flow(runs, tree, 0)


def _tree(spans: Sequence[Span]) -> _Tree:
    ordered = depth_first(spans)
    children: dict[str, list[Span]] = defaultdict(list)
    above: list[str] = []
    parents: list[str] = []
    for span, depth in ordered:
        del above[depth:]
        parents.append(above[-1] if above else "")
        children[parents[-1]].append(span)
        above.append(span.span_id)
    sizes: dict[str, int] = defaultdict(int)
    for (span, _), parent in zip(reversed(ordered), reversed(parents), strict=True):
        sizes[parent] += 1 + sizes[span.span_id]
    return _Tree(dict(children), sizes)


def _flow(runs: Sequence[Sequence[Span]], tree: _Tree, depth: int) -> Flow:
    """The steps of several runs through the same place."""
    keys = _keys([span for run in runs for span in run])
    found: dict[Key, _Folding] = {}
    gone: Counter[tuple[Key | int, Key | int]] = Counter()
    for run in runs:
        _walk(run, keys, found, gone)
    ranks = {rank: at for at, rank in enumerate(sorted({one.rank for one in found.values()}))}
    places: dict[Key | int, int] = {key: at for at, key in enumerate(found)} | {BEGIN: BEGIN, END: END}
    tree.left -= len(found)
    steps = [_step(key, one, ranks[one.rank], tree, depth) for key, one in found.items()]
    edges = [Edge(start=places[a], end=places[b], times=times) for (a, b), times in gone.items()]
    return Flow(steps=tuple(steps), edges=tuple(edges))


def _keys(spans: Sequence[Span]) -> dict[str, Key]:
    """The key of each span, by its id: as fine as ``MOST_SIBLINGS`` allows."""
    exact = {span.span_id: Key(span.kind, span.name) for span in spans}
    if len(set(exact.values())) <= MOST_SIBLINGS:
        return exact
    general = {span_id: Key(key.kind, _NUMBER.sub("#", key.name)) for span_id, key in exact.items()}
    counts = Counter(general.values())
    if len(counts) <= MOST_SIBLINGS:
        return general
    kept = {key for key, _ in counts.most_common(MOST_SIBLINGS // 2)}
    return {span_id: key if key in kept else Key(key.kind, "") for span_id, key in general.items()}


def _walk(
    run: Sequence[Span], keys: dict[str, Key], found: dict[Key, _Folding], gone: Counter[tuple[Key | int, Key | int]]
) -> None:
    """Count one run: its spans in the order of their beginning, each with what ended right before it."""
    running: list[tuple[int, int, Span]] = []
    ends: list[int] = []  # of what has ended, in that order
    latest_start = -1  # of what has ended: who ended before that has somebody in between
    last: dict[Key, int] = {}
    broke: dict[Key, bool] = {}
    depth_of: dict[str, int] = {}
    depth = 0

    def end_until(time_ns: float) -> None:
        nonlocal latest_start, depth
        while running and running[0][0] <= time_ns:
            end_ns, _, done = heappop(running)
            key = keys[done.span_id]
            last[key], broke[key] = len(ends), done.status == "error"
            ends.append(end_ns)
            latest_start = max(latest_start, done.start_ns)
            depth = max(depth, depth_of[done.span_id] + 1)
            found[key].running -= 1

    for at, span in enumerate(sorted(run, key=lambda one: (one.start_ns, one.end_ns))):
        end_until(span.start_ns)
        key = keys[span.span_id]
        depth_of[span.span_id] = depth
        since = bisect_right(ends, latest_start)
        before = [other for other, place in last.items() if place >= since]
        gone.update((other, key) for other in before)
        if not before:
            gone[BEGIN, key] += 1
        if (one := found.get(key)) is None:
            one = found[key] = _Folding(rank=depth)
        one.members.append(span)
        one.names.add(span.name)
        one.running += 1
        one.at_once = max(one.at_once, one.running)
        one.retries += key in before and broke[key]
        heappush(running, (max(span.end_ns, span.start_ns + 1), at, span))
    end_until(float("inf"))
    since = bisect_right(ends, latest_start)
    gone.update((key, END) for key, place in last.items() if place >= since)


def _step(key: Key, one: _Folding, rank: int, tree: _Tree, depth: int) -> Step:
    members = one.members
    under = [tree.children[span.span_id] for span in members if span.span_id in tree.children]
    below = sum(tree.sizes.get(span.span_id, 0) for span in members)
    inside = _flow(under, tree, depth + 1) if under and depth + 1 < DEEPEST and tree.left > 0 else None
    costs = [span.cost_usd for span in members if span.cost_usd is not None]
    bad = [span for span in members if span.status != "ok"]
    return Step(
        span_id=(bad or members)[0].span_id,
        key=key,
        layer=next((int(span.layer) for span in members if span.layer), 0),
        rank=rank,
        times=len(members),
        at_once=one.at_once,
        retries=one.retries,
        failed=len(bad),
        names=len(one.names),
        duration_ns=sum(span.duration_ns for span in members),
        cost_usd=sum(costs) if costs else None,
        inside=inside,
        hidden=0 if inside else below,
    )
