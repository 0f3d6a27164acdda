"""The guard and the rest of the house: the team's traffic to measure a policy on, and blocks that were a mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import Filter, NotFound, SpanQuery
from trimtab.evals import Case, add_cases
from trimtab.guard.budget import Traffic, Wrong
from trimtab.registry import Registry
from trimtab.store import Spans
from trimtab.traces import question

#: Where requests that were stopped wrongly are kept as cases.
DATASET = "guard-benign"
_PAGE = 500
#: Characters of one request that are measured.
_LONGEST = 20_000


def recent_requests(spans: Spans) -> Traffic:
    """Reads the latest requests that the guard let through: what people asked, newest first, each text once."""

    async def read(count: int) -> Sequence[str]:
        kept: dict[str, None] = {}
        query = SpanQuery(filters=(Filter(column="score:allowed", op="=", value=1.0),), limit=min(_PAGE, max(1, count)))
        while len(kept) < count:
            page = await spans.query(query)
            for span in page.spans:
                asked = question(span.input).strip()[:_LONGEST]
                if asked and len(kept) < count:
                    kept[asked] = None
            if not page.cursor or not page.spans:
                break
            query = SpanQuery(filters=query.filters, limit=query.limit, cursor=page.cursor)
        return tuple(kept)

    return read


def wrong_blocks(registry: Registry, spans: Spans) -> Wrong:
    """Makes a case of a trace that the guard stopped wrongly, in the dataset ``guard-benign``."""

    async def keep(trace_id: str, note: str, actor: str) -> Mapping[str, Any]:
        trace = await spans.trace(trace_id)
        if trace is None or not trace.spans:
            raise NotFound(
                f"there is no trace {trace_id[:40]!r}", field="trace_id", mend="Look at `trimtab trace list`."
            )
        root = next((span for span in trace.spans if not span.parent_id), trace.spans[0])
        asked = question(root.input).strip()
        if not asked:
            raise NotFound("the trace has no question to keep", field="trace_id", mend="Choose one with an input.")
        case = Case(input=asked, tags={**root.tags, "guard": "wrong"}, source_trace=trace_id, note=note)
        version = await add_cases(registry, DATASET, [case], actor=actor, note=f"a wrong block: trace {trace_id}")
        return {"dataset": DATASET, "version": version.pin, "cases": len(version.content["cases"])}

    return keep
