"""Scores from outside: checked, and given the stamp, slice and project of the trace that they judge."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from trimtab.core import BadInput, Filter, Score, Span, SpanQuery, Stamp, new_trace_id
from trimtab.store import Spans

TRACE_ID, _SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
#: Spans of one read: as many as scores come at once.
_PAGE = 1000
#: Pages that are read at most: of a thousand traces without a root, each has fifty spans then.
_PAGES = 50


class ScoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody thinks of a trace or span. The same ``id`` twice is stored once, so that a retry is safe."""

    trace_id: str
    name: str
    value: float | bool
    span_id: str = ""
    by: str = "user"
    label: str = ""
    reason: str = ""
    id: str = ""
    by_version: str = ""


async def scored(store: Spans, asked: list[ScoreBody], now: int) -> list[Score]:
    """Scores with the stamp, slice and project of the trace they judge; of an unknown trace, with none."""
    for index, body in enumerate(asked):
        check(body, f"[{index}]." if len(asked) > 1 else "")
    if not asked:
        return []
    known = await _known(store, asked)
    if missing := [body for body in asked if body.trace_id.lower() not in known.roots]:
        # Feedback can be quicker than the recorder's queue.
        await store.flush()
        more = await _known(store, missing)
        known = _Known(known.roots | more.roots, known.spans | more.spans)
    return [_score(body, known, now) for body in asked]


class _Known(NamedTuple):
    """The root of each trace (its earliest span, as long as the root has not come), and spans by trace and span id."""

    roots: dict[str, Span]
    spans: dict[tuple[str, str], Span]


async def _known(store: Spans, asked: Sequence[ScoreBody]) -> _Known:
    """What is stored of the traces and spans that are judged, asked for in three ways, however many they are."""
    traces = tuple(dict.fromkeys(body.trace_id.lower() for body in asked))
    roots = {span.trace_id: span async for span in _read(store, roots=True, trace_id=traces)}
    if rootless := tuple(trace_id for trace_id in traces if trace_id not in roots):
        roots |= {span.trace_id: span async for span in _read(store, roots=False, trace_id=rootless)}
    spans = {(span.trace_id, span.span_id): span for span in roots.values()}
    wanted = {(body.trace_id.lower(), body.span_id.lower()) for body in asked if body.span_id} - spans.keys()
    if wanted:
        judged = tuple(dict.fromkeys(trace_id for trace_id, _ in wanted))
        names = tuple(dict.fromkeys(span_id for _, span_id in wanted))
        found = _read(store, roots=False, trace_id=judged, span_id=names)
        spans |= {(span.trace_id, span.span_id): span async for span in found}
    return _Known(roots, spans)


async def _read(store: Spans, *, roots: bool, **ids: tuple[str, ...]) -> AsyncIterator[Span]:
    """The spans with these ids, newest first, page by page."""
    filters = tuple(
        Filter(column=name, op="in" if len(values) > 1 else "=", value=values if len(values) > 1 else values[0])
        for name, values in ids.items()
    )
    query = SpanQuery(roots=roots, filters=filters, limit=_PAGE)
    for _ in range(_PAGES):
        page = await store.query(query)
        for span in page.spans:
            yield span
        if not page.cursor:
            return
        query = replace(query, cursor=page.cursor)


def check(body: ScoreBody, where: str) -> None:
    """Raise BadInput for what cannot be stored."""
    if not TRACE_ID.fullmatch(body.trace_id.lower()):
        raise BadInput(f"{body.trace_id[:40]!r} is no trace id", field=f"{where}trace_id", mend="Give 32 hex digits.")
    if body.span_id and not _SPAN_ID.fullmatch(body.span_id.lower()):
        raise BadInput(f"{body.span_id[:40]!r} is no span id", field=f"{where}span_id", mend="Give 16 hex digits.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", body.name):
        raise BadInput(f"{body.name[:40]!r} is no score name", field=f"{where}name", mend="Use letters, digits, . _ -")
    if not math.isfinite(body.value) or not 0 <= body.value <= 1:
        raise BadInput(
            f"{body.value} is outside 0 to 1", field=f"{where}value", mend="Scale it to 0 (bad) to 1 (good)."
        )
    for field, limit in (("by", 100), ("by_version", 200), ("id", 100), ("label", 500), ("reason", 20_000)):
        if len(getattr(body, field)) > limit:
            raise BadInput(f"longer than {limit} characters", field=f"{where}{field}", mend="Shorten it.")


def _score(body: ScoreBody, known: _Known, now: int) -> Score:
    root = known.roots.get(body.trace_id.lower())
    judged = known.spans.get((body.trace_id.lower(), body.span_id.lower()), root)
    stamp = judged.stamp if judged and judged.stamp != Stamp() else root.stamp if root else Stamp()
    return Score(
        id=body.id or f"sco_{new_trace_id()}",
        trace_id=body.trace_id.lower(),
        span_id=body.span_id.lower(),
        name=body.name,
        value=float(body.value),
        by=body.by or "user",
        by_version=body.by_version,
        time_ns=now,
        label=body.label,
        reason=body.reason,
        slice=root.tags.get("topic", "") if root else "",
        project=root.project if root else "default",
        stamp=stamp,
    )
