"""Requests that replays mended: what was answered before, and with a change put back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.core import Span
from trimtab.incidents import Incident
from trimtab.traces import question

from . import words


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """One request. ``restored`` names what was put back."""

    trace_id: str
    question: str
    before: str
    after: str
    layer: int
    restored: str


def pair_rows(incident: Incident, roots: Sequence[Span]) -> tuple[PairRow, ...]:
    """The pairs whose request is still kept."""
    by_trace = {root.trace_id: root for root in roots}
    return tuple(
        PairRow(
            trace_id=pair.trace_id,
            question=words.snippet(question(by_trace[pair.trace_id].input), 200) or "(no question was recorded)",
            before=words.snippet(pair.before, 400),
            after=words.snippet(pair.after, 400),
            layer=pair.layer or 0,
            restored=pair.restored,
        )
        for pair in incident.pairs
        if pair.trace_id in by_trace
    )
