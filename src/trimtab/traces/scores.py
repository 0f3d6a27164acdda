"""Scores from outside: checked, and given the stamp, slice and project of the trace that they judge."""

from __future__ import annotations

import math
import re

import msgspec

from trimtab.core import BadInput, Score, Stamp, new_trace_id
from trimtab.store import Spans, Trace

TRACE_ID, _SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")


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
    traces = {trace_id: await store.trace(trace_id) for trace_id in {body.trace_id.lower() for body in asked}}
    if None in traces.values():
        # Feedback can be quicker than the recorder's queue.
        await store.flush()
        for trace_id in [known for known, trace in traces.items() if trace is None]:
            traces[trace_id] = await store.trace(trace_id)
    return [_score(body, traces[body.trace_id.lower()], now) for body in asked]


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


def _score(body: ScoreBody, trace: Trace | None, now: int) -> Score:
    spans = {span.span_id: span for span in trace.spans} if trace else {}
    root = next((span for span in spans.values() if not span.parent_id), next(iter(spans.values()), None))
    judged = spans.get(body.span_id.lower(), root)
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
