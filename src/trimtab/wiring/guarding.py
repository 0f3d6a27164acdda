"""The guard and the rest of the house: the team's traffic to measure a policy on, and blocks that were a mistake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import Filter, NotFound, Score, SpanQuery, TrimtabError, Version, now_ns
from trimtab.evals import Case, add_cases
from trimtab.guard import WRONG_BLOCK, WRONG_BLOCKS, Measurements, Measuring, compile_policy
from trimtab.guard.approvals import Approvals
from trimtab.guard.budget import Traffic, Wrong
from trimtab.registry import Registry
from trimtab.store import Metadata, Spans
from trimtab.traces import question

log = logging.getLogger(__name__)

_PAGE = 500
#: Policies that are got ready at the start, at most.
_WARMED = 20
#: Characters of one request that are measured.
_LONGEST = 20_000


async def warm(registry: Registry) -> None:
    """Get the live guard policies ready in a thread, so that the first request need not wait for it."""
    for name in registry.names("guards")[:_WARMED]:
        try:
            version = registry.resolve(name, kind="guards").version
            await asyncio.to_thread(_warm, version)
        except TrimtabError as error:  # the request that needs it will be told
            log.warning("the guard policy %s is not ready: %s", name, error)


def _warm(version: Version) -> None:
    compile_policy(version.content, version.digest).warm()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """What people do about the guard: decide calls that wait, measure policies, say that a block was wrong."""

    approvals: Approvals
    measuring: Measuring
    wrong: Wrong


def make_guarding(metadata: Metadata, registry: Registry, spans: Spans, clock: Callable[[], int] = now_ns) -> Guarding:
    """The desk of the guard."""
    measuring = Measuring(
        lambda address: registry.resolve(address, kind="guards").version,
        recent_requests(spans),
        wrongly_stopped(registry),
        Measurements(metadata, clock=clock),
    )
    return Guarding(
        approvals=Approvals(metadata, clock=clock), measuring=measuring, wrong=wrong_blocks(registry, spans, clock)
    )  # fmt: skip


def wrongly_stopped(registry: Registry) -> Traffic:
    """Reads the requests whose block somebody called wrong, the newest first."""

    async def read(count: int) -> Sequence[str]:
        if WRONG_BLOCKS not in registry.names("datasets"):
            return ()
        newest = registry.versions("datasets", WRONG_BLOCKS)[-1]
        asked = [question(str(case.get("input") or "")).strip()[:_LONGEST] for case in newest.content.get("cases", ())]
        return tuple(filter(None, reversed(asked)))[:count]

    return read


def wrong_blocks(registry: Registry, spans: Spans, clock: Callable[[], int] = now_ns) -> Wrong:
    """Makes a case of a trace that the guard stopped wrongly, in the dataset ``guard-benign``, and a score of who said
    so."""

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
        version = await add_cases(registry, WRONG_BLOCKS, [case], actor=actor, note=f"a wrong block: trace {trace_id}")
        said = Score(
            id=f"{trace_id}:{WRONG_BLOCK}", trace_id=trace_id, span_id=root.span_id, name=WRONG_BLOCK, value=1.0,
            by=f"human:{actor}", by_version=root.stamp.guard, reason=note, time_ns=clock(), project=root.project,
            stamp=root.stamp,
        )  # fmt: skip
        await spans.write([], [said])
        return {"dataset": WRONG_BLOCKS, "version": version.pin, "cases": len(version.content["cases"])}

    return keep
