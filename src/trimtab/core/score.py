"""A score: what anybody (a check, a judge, a guard, a person) thought of something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One opinion on a trace or span.

    ``value`` is in [0, 1], higher is better, unless ``name`` says otherwise. ``by`` says who: ``check:cites``,
    ``judge:quality``, ``guard:default``, ``human:mara``, ``user``. ``by_version`` is the pin of that judge or policy
    (``quality/3``), empty for people and code. ``time_ns`` is nanoseconds since 1970 UTC.
    """

    id: str
    trace_id: str
    name: str
    value: float
    by: str
    time_ns: int
    span_id: str = ""
    by_version: str = ""
    label: str = ""
    reason: str = ""
