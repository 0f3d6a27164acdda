"""Two traces side by side: stamp, figures and scores, messages, passages; what differs is marked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from trimtab.core import Layer
from trimtab.store import Trace
from trimtab.traces import question
from trimtab.web import words
from trimtab.web.banner import signal_title
from trimtab.web.exchange import MessageRow, PassageRow, messages, passages
from trimtab.web.frame import Frame
from trimtab.web.textdiff import Piece, side_by_side

from .traces import find_trace, root_of

MOST_MESSAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRow:
    """One fact of two traces; ``differs`` marks it."""

    name: str
    left: str
    right: str
    differs: bool
    layer: int = 0


def compare_rows(left: Trace, right: Trace) -> tuple[CompareRow, ...]:
    """Stamp first, then figures, then every score that either has. Pure."""
    a, b = root_of(left), root_of(right)
    rows = [
        _compared(f"{layer.title}", words.pin(a.stamp.pin(layer)), words.pin(b.stamp.pin(layer)), int(layer))
        for layer in Layer
    ]
    rows += [
        _compared("Status", a.status, b.status),
        _compared("Time", words.duration(a.duration_ns / words.SECOND), words.duration(b.duration_ns / words.SECOND)),
        _compared("Cost", words.money(a.cost_usd), words.money(b.cost_usd)),
    ]
    by_name = [{s.name: words.fixed(s.value) for s in t.scores} for t in (left, right)]
    for name in dict.fromkeys([*by_name[0], *by_name[1]]):
        first, second = (values.get(name, "not scored") for values in by_name)
        rows.append(_compared(signal_title(name), first, second))
    return tuple(rows)


def _compared(name: str, left: str, right: str, layer: int = 0) -> CompareRow:
    return CompareRow(name=name, left=left, right=right, differs=left != right, layer=layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePair:
    """The messages of one place on both sides, in pieces; an empty side has none there."""

    who: str
    left: tuple[Piece, ...]
    right: tuple[Piece, ...]
    differs: bool


def message_pairs(left: Sequence[MessageRow], right: Sequence[MessageRow]) -> tuple[MessagePair, ...]:
    """Messages by their place, the last (the answer) with the last. Pure."""
    pairs = list(zip_longest(left[:-1], right[:-1]))
    pairs += [(left[-1] if left else None, right[-1] if right else None)] if left or right else []
    return tuple(_message_pair(a, b) for a, b in pairs[-MOST_MESSAGES:])


def _message_pair(left: MessageRow | None, right: MessageRow | None) -> MessagePair:
    roles = dict.fromkeys(one.who for one in (left, right) if one is not None)
    a, b = (one.text if one is not None else "" for one in (left, right))
    first, second = side_by_side(a, b)
    return MessagePair(who=" and ".join(roles), left=first, right=second, differs=a != b or len(roles) > 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagePair:
    """A passage that at least one side was given; a side without it says so."""

    title: str
    source: str
    left: str
    right: str
    differs: bool


def passage_pairs(left: Sequence[PassageRow], right: Sequence[PassageRow]) -> tuple[PassagePair, ...]:
    """Passages by title, source and beginning, in the order of the first side. Pure."""
    sides = [{(one.title, one.source, one.text): one for one in side} for side in (left, right)]
    found = []
    for key in dict.fromkeys((*sides[0], *sides[1])):
        first, second = (_given(side.get(key)) for side in sides)
        found.append(PassagePair(title=key[0], source=key[1], left=first, right=second, differs=first != second))
    return tuple(found)


def _given(passage: PassageRow | None) -> str:
    if passage is None:
        return "not given"
    return f"no. {passage.number}, score {passage.score}, {'cited' if passage.cited else 'not cited'}"


async def compare(request: Request, frame: Frame) -> Response:
    """``GET /traces/compare?t=ID&t=ID``. Anything but two traces leads back to the list."""
    asked = request.query_params.getlist("t")[:2]
    if len(asked) != 2:
        return RedirectResponse("/traces", status_code=303)
    left, right = [await find_trace(frame, trace_id) for trace_id in asked]
    roots = [root_of(left), root_of(right)]
    said = [messages(root, trace.spans) for root, trace in zip(roots, (left, right), strict=True)]
    given = [passages(root, trace.spans) for root, trace in zip(roots, (left, right), strict=True)]
    return frame.page(
        request, "compare.html", title="Compare two traces", nav="/traces",
        sides=[{"root": root, "question": question(root.input)} for root in roots], rows=compare_rows(left, right),
        # In a thread, because long texts take long to compare.
        messages=await asyncio.to_thread(message_pairs, *said), passages=passage_pairs(*given),
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip
