"""The failing requests of an incident as regression cases."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core import Span
from trimtab.evals import Case
from trimtab.store import Spans

from .incident import Incident
from .sentences import name


async def roots_of(store: Spans, traces: Sequence[str]) -> list[Span]:
    """The root spans of recorded requests, in this order; what is not (or no longer) there is passed over."""
    found = []
    for trace_id in traces:
        trace = await store.trace(trace_id)
        if trace is not None:
            found += [span for span in trace.spans if not span.parent_id][:1]
    return found


def cases_of(incident: Incident, roots: Sequence[Span]) -> list[Case]:
    """One case a question, with its tags, the signal it failed and the trace it came from."""
    cause = incident.cause
    why = f" with {name(cause)}" if cause else ""
    found: dict[str, Case] = {}
    for root in roots:
        question = root.input.strip()
        if question:
            case = Case(
                input=root.input,
                tags={**root.tags, "signal": incident.signal},
                source_trace=root.trace_id,
                note=f"Incident {incident.id}: {incident.signal} failed{why}.",
            )
            found.setdefault(" ".join(question.lower().split()), case)
    return list(found.values())
