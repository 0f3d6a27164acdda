"""The guard and the rest of the house: the team's traffic to measure a policy on, and blocks that were a mistake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from trimtab.core import Filter, NotFound, Score, Span, SpanQuery, TrimtabError, Version, now_ns, text_in
from trimtab.evals import Case, add_cases
from trimtab.guard import WRONG_BLOCK, WRONG_BLOCKS, BudgetCheck, Measurements, Measuring, compile_policy
from trimtab.guard.approvals import Approvals
from trimtab.guard.budget import Exchange, Traffic, Wrong, Wrongs
from trimtab.registry import Registry
from trimtab.store import Metadata, Spans
from trimtab.traces import question

log = logging.getLogger(__name__)

_PAGE = 500
#: Policies that are got ready at the start, at most.
_WARMED = 20
#: The tag of a case that says at which stage the request was stopped.
_STOPPED_AT = "stopped_at"
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
    """Reads the latest requests that the guard let through: what people asked, newest first, each text once, and what
    was answered where the policy of that name looked at it."""

    async def read(count: int, policy: str) -> Sequence[Exchange]:
        kept: dict[str, Exchange] = {}
        query = SpanQuery(filters=(Filter(column="score:allowed", op="=", value=1.0),), limit=min(_PAGE, max(1, count)))
        while len(kept) < count:
            page = await spans.query(query)
            for span in page.spans:
                one = _exchange(span, policy)
                if one.asked and len(kept) < count:
                    kept[one.asked] = one
            if not page.cursor or not page.spans:
                break
            query = SpanQuery(filters=query.filters, limit=query.limit, cursor=page.cursor)
        return tuple(kept.values())

    return read


def _exchange(span: Span, policy: str) -> Exchange:
    asked = question(span.input).strip()[:_LONGEST]
    if not policy or span.stamp.guard.rpartition("/")[0] != policy:
        return Exchange(asked)
    given = span.attributes.get("passages")
    passages = [str(one.get("text", "")) for one in given if isinstance(one, Mapping)] if _listed(given) else []
    ask = span.attributes.get("ask")
    messages = ask.get("messages") if isinstance(ask, Mapping) else None
    system = [text_in(one.get("content")) for one in messages if _system(one)] if _listed(messages) else []
    return Exchange(asked, span.output.strip()[:_LONGEST], tuple(passages), "\n".join(system)[:_LONGEST])


def _listed(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _system(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") in ("system", "developer")


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


def policy_of_route(registry: Registry, check: BudgetCheck) -> Callable[[Version], Awaitable[None]]:
    """Asks about the policy that a route brings into production with it, by its number or by another label."""

    async def may_live(route: Version) -> None:
        address = str(route.content.get("guard") or "")
        if not address:
            return
        try:
            await registry.ready(address, kind="guards")
            policy = registry.resolve(address, kind="guards").version
        except TrimtabError:
            return  # what is not there is said where the route is used
        if registry.labels("guards", policy.name).get("production") != policy.number:
            await check(policy)

    return may_live


def wrongly_stopped(registry: Registry) -> Wrongs:
    """Reads the requests whose block somebody called wrong, the newest first. Where an answer or a tool call was
    stopped, nothing of that is kept, so there is nothing to look at again."""

    async def read(count: int) -> Sequence[str]:
        if WRONG_BLOCKS not in registry.names("datasets"):
            return ()
        newest = registry.versions("datasets", WRONG_BLOCKS)[-1]
        asked = [
            question(str(case.get("input") or "")).strip()[:_LONGEST]
            for case in newest.content.get("cases", ())
            if (case.get("tags") or {}).get(_STOPPED_AT, "input") == "input"
        ]
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
        tags = {**root.tags, "guard": "wrong", _STOPPED_AT: _stage_of(trace.spans)}
        case = Case(input=asked, tags=tags, source_trace=trace_id, note=note)
        version = await add_cases(registry, WRONG_BLOCKS, [case], actor=actor, note=f"a wrong block: trace {trace_id}")
        said = Score(
            id=f"{trace_id}:{WRONG_BLOCK}", trace_id=trace_id, span_id=root.span_id, name=WRONG_BLOCK, value=1.0,
            by=f"human:{actor}", by_version=root.stamp.guard, reason=note, time_ns=clock(), project=root.project,
            stamp=root.stamp,
        )  # fmt: skip
        await spans.write([], [said])
        return {"dataset": WRONG_BLOCKS, "version": version.pin, "cases": len(version.content["cases"])}

    return keep


def _stage_of(spans: Sequence[Span]) -> str:
    """At which stage the guard stopped a request."""
    stopped = (span for span in spans if span.kind == "guardrail" and span.status == "refused")
    return next((str(span.attributes.get("stage") or "input") for span in stopped), "input")
