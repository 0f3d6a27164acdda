"""Traces and scores over HTTP. Errors are raised as TrimtabError; the web layer makes Problem Details of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from trimtab.core import BadInput, Filter, NotFound, Span, SpanQuery, now_ns
from trimtab.store import Spans, Trace

from .asking import asking_routes
from .export import FORMATS, MOST, export
from .language import OPS, make_filter, parse_query
from .masking import Mask
from .messages import question
from .scores import TRACE_ID, ScoreBody, scored
from .wire import body_of, json_answer, limit_of, time_of

_SCORES_LIMIT = 1000
_PREVIEW = 1000
# Longest operators first, so that "<=" is not read as "<" and a value that starts with "=".
_FILTER = re.compile(
    rf"((?:tag:|score:)?[^:]+):({'|'.join(sorted((re.escape(op) for op in OPS), key=len, reverse=True))}):(.*)", re.S
)


def routes(store: Spans, *, clock: Callable[[], int] = now_ns, mask: Mask | None = None) -> list[Route]:
    """The traces' part of the control API. ``clock`` gives nanoseconds UTC; ``mask`` takes out what must not be
    stored."""

    async def traces(request: Request) -> Response:
        page = await store.query(query_of(request, clock()))
        return json_answer({"traces": [summary(span) for span in page.spans], "cursor": page.cursor})

    async def trace(request: Request) -> Response:
        return json_answer(_whole(await _found(store, request.path_params["id"])))

    async def scores(request: Request) -> Response:
        body: list[ScoreBody] | ScoreBody = await body_of(request, list[ScoreBody] | ScoreBody)
        asked = body if isinstance(body, list) else [body]
        if not 1 <= len(asked) <= _SCORES_LIMIT:
            raise BadInput(f"{len(asked)} scores at once", field="body", mend=f"Send 1 to {_SCORES_LIMIT}.")
        made = await scored(store, asked, clock())
        await store.write((), mask((), made)[1] if mask else made)
        return json_answer({"ids": [score.id for score in made]}, 201)

    async def exported(request: Request) -> Response:
        form = request.query_params.get("format", "jsonl")
        limit = limit_of(request.query_params.get("limit", "1000"), MOST)
        parts = export(store, replace(query_of(request, clock(), most=MOST), limit=1), form, limit)
        return StreamingResponse(await _begun(parts), media_type=FORMATS[form])

    return [
        Route("/api/traces", traces, methods=["GET"]),
        Route("/api/traces/export", exported, methods=["GET"]),
        Route("/api/traces/{id}", trace, methods=["GET"]),
        *asking_routes(store, clock=clock),
        Route("/api/scores", scores, methods=["POST"]),
    ]


async def _begun(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The parts, the first made already: what is wrong with the question is said before an answer begins."""
    first = await anext(parts, None)

    async def all_of_them() -> AsyncIterator[bytes]:
        if first is not None:
            yield first
        async for part in parts:
            yield part

    return all_of_them()


# Reading


def query_of(request: Request, now: int, *, most: int = 1000) -> SpanQuery:
    """The query of a listing: ``limit`` (up to ``most``) ``cursor since until q`` and ``filter=column:op:value``,
    which may repeat.

    Raises BadInput, naming the parameter.
    """
    asked = request.query_params
    query = parse_query(asked.get("q", ""))
    return replace(
        query,
        since_ns=time_of(asked.get("since", ""), "since", now),
        until_ns=time_of(asked.get("until", ""), "until", now),
        filters=query.filters + tuple(map(_filter, asked.getlist("filter"))),
        limit=limit_of(asked.get("limit", "50"), most),
        cursor=asked.get("cursor", ""),
    )


def _filter(text: str) -> Filter:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise BadInput(
            f"{text!r} is not a filter", field="filter", mend="Write column:op:value, such as tag:topic:=:gateway."
        )
    return make_filter(match[1], match[2], match[3])


async def _found(store: Spans, asked: str) -> Trace:
    trace_id = asked.lower()
    if not TRACE_ID.fullmatch(trace_id):
        raise NotFound(f"{asked[:80]!r} is no trace id", field="id", mend="A trace id has 32 hex digits.")
    found = await store.trace(trace_id)
    if found is None:
        raise NotFound(
            f"there is no trace {trace_id!r}", field="id", mend="It may be past its retention; list /api/traces."
        )
    return found


def summary(span: Span) -> dict[str, Any]:
    """One row of a list: everything but the attributes, what was asked and answered shortened to 1,000 characters."""
    row = asdict(replace(span, attributes={}, input=question(span.input)[:_PREVIEW], output=span.output[:_PREVIEW]))
    del row["attributes"]
    return row | {"duration_ns": span.duration_ns}


def _whole(trace: Trace) -> dict[str, Any]:
    return {"id": trace.spans[0].trace_id if trace.spans else "", "spans": trace.spans, "scores": trace.scores}
