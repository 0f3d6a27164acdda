"""A score: what anybody (a check, a judge, a guard, a person) thought of something."""

from __future__ import annotations

from dataclasses import dataclass, field

from .stamp import Stamp
from .swift import swift


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One opinion on a trace or span.

    ``value`` is in [0, 1], higher is better, unless ``name`` says otherwise. ``by`` says who: ``check:cites``,
    ``judge:quality``, ``guard:default``, ``human:mara``, ``user``. ``by_version`` is the pin of that judge or policy
    (``quality/3``), empty for people and code. ``time_ns`` is nanoseconds since 1970 UTC. ``stamp`` and ``slice`` (the
    trace's topic, tenant or language) are copied from the trace when the score is made, so that no reader joins.
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
    slice: str = ""
    project: str = "default"
    stamp: Stamp = field(default_factory=Stamp)
