"""Traces and scores over HTTP. Errors are raised as TrimtabError; the web layer makes Problem Details of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from trimtab.core import BadInput, Filter, NotFound, Span, SpanQuery, TooLarge, now_ns
from trimtab.store import Page, SpanStore, Trace

from .export import FORMATS, MOST, export
from .language import OPS, make_filter, parse_query
from .masking import Mask
from .messages import question
from .scores import TRACE_ID, ScoreBody, scored

T = TypeVar("T")

_BODY_LIMIT = 4 * 1024 * 1024
_SCORES_LIMIT = 1000
_PREVIEW = 1000
# Longest operators first, so that "<=" is not read as "<" and a value that starts with "=".
_FILTER = re.compile(
    rf"((?:tag:|score:)?[^:]+):({'|'.join(sorted((re.escape(op) for op in OPS), key=len, reverse=True))}):(.*)", re.S
)
_AGO = re.compile(r"(\d+)([smhd])")
_AGO_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class FilterBody(msgspec.Struct, forbid_unknown_fields=True):
    """One condition of a query."""

    column: str
    op: str
    value: str | float


class QueryBody(msgspec.Struct, forbid_unknown_fields=True):
    """A SpanQuery as JSON."""

    since_ns: int = 0
    until_ns: int = 0
    roots: bool = True
    filters: list[FilterBody] = []
    text: str = ""
    limit: int = 50
    cursor: str = ""


def routes(store: SpanStore, *, clock: Callable[[], int] = now_ns, mask: Mask | None = None) -> list[Route]:
    """The traces' part of the control API. ``clock`` gives nanoseconds UTC; ``mask`` takes out what must not be
    stored."""

    async def traces(request: Request) -> Response:
        page = await store.query(query_of(request, clock()))
        return _json({"traces": [summary(span) for span in page.spans], "cursor": page.cursor})

    async def trace(request: Request) -> Response:
        return _json(_whole(await _found(store, request.path_params["id"])))

    async def spans(request: Request) -> Response:
        page: Page = await store.query(_span_query(await _body(request, QueryBody)))
        return _json({"spans": page.spans, "cursor": page.cursor})

    async def scores(request: Request) -> Response:
        body: list[ScoreBody] | ScoreBody = await _body(request, list[ScoreBody] | ScoreBody)
        asked = body if isinstance(body, list) else [body]
        if not 1 <= len(asked) <= _SCORES_LIMIT:
            raise BadInput(f"{len(asked)} scores at once", field="body", mend=f"Send 1 to {_SCORES_LIMIT}.")
        made = await scored(store, asked, clock())
        await store.write((), mask((), made)[1] if mask else made)
        return _json({"ids": [score.id for score in made]}, 201)

    async def exported(request: Request) -> Response:
        form = request.query_params.get("format", "jsonl")
        if form not in FORMATS:
            raise BadInput(f"{form[:40]!r} is not a format", field="format", mend=f"Use {', '.join(FORMATS)}.")
        limit = _limit(request.query_params.get("limit", "1000"), MOST)
        lines = export(store, replace(query_of(request, clock(), most=MOST), limit=1), form, limit)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    return [
        Route("/api/traces", traces, methods=["GET"]),
        Route("/api/traces/export", exported, methods=["GET"]),
        Route("/api/traces/{id}", trace, methods=["GET"]),
        Route("/api/spans/query", spans, methods=["POST"]),
        Route("/api/scores", scores, methods=["POST"]),
    ]


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
        since_ns=_time(asked.get("since", ""), "since", now),
        until_ns=_time(asked.get("until", ""), "until", now),
        filters=query.filters + tuple(map(_filter, asked.getlist("filter"))),
        limit=_limit(asked.get("limit", "50"), most),
        cursor=asked.get("cursor", ""),
    )


def _filter(text: str) -> Filter:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise BadInput(
            f"{text!r} is not a filter", field="filter", mend="Write column:op:value, such as tag:topic:=:gateway."
        )
    return make_filter(match[1], match[2], match[3])


def _limit(text: str | int, most: int = 1000) -> int:
    limit = int(text) if str(text).isascii() and str(text).isdecimal() and len(str(text)) < 9 else 0
    if not 1 <= limit <= most:
        raise BadInput(f"{str(text)[:40]!r} is not a limit", field="limit", mend=f"Give a number from 1 to {most}.")
    return limit


def _time(text: str, field: str, now: int) -> int:
    """Nanoseconds UTC from ISO 8601, from so long ago (``15m``, ``2h``, ``7d``) or from nanoseconds; 0 for nothing."""
    text = text.strip()
    if not text:
        return 0
    ago = _AGO.fullmatch(text)
    if ago and len(ago[1]) < 10:
        return max(1, now - int(ago[1]) * _AGO_SECONDS[ago[2]] * 1_000_000_000)
    if text.isascii() and text.isdecimal() and 15 <= len(text) <= 18 + 1 and int(text) < 1 << 63:
        return int(text)
    try:
        # A "+" in a query string arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if " " in text[10:] and "T" in text else text)
    except ValueError:
        raise BadInput(
            f"{text[:40]!r} is not a time",
            field=field,
            mend="Write ISO 8601 (2026-11-01T12:00:00Z), so long ago (15m, 2h, 7d) or nanoseconds.",
        ) from None
    return max(1, round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000) * 1000)


def _span_query(body: QueryBody) -> SpanQuery:
    return SpanQuery(
        since_ns=_bounded_ns(body.since_ns, "since_ns"),
        until_ns=_bounded_ns(body.until_ns, "until_ns"),
        roots=body.roots,
        filters=tuple(make_filter(f.column, f.op, f.value) for f in body.filters),
        text=body.text,
        limit=_limit(body.limit),
        cursor=body.cursor,
    )


def _bounded_ns(value: int, field: str) -> int:
    if not 0 <= value < 1 << 63:
        raise BadInput(f"{value} is not a time in nanoseconds", field=field, mend="Give nanoseconds since 1970 UTC.")
    return value


async def _found(store: SpanStore, asked: str) -> Trace:
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


# Bytes


async def _body(request: Request, kind: type[T] | Any) -> T:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _BODY_LIMIT:
            raise TooLarge(f"the body is over {_BODY_LIMIT >> 20} MiB", field="body", mend="Send less at once.")
        parts.append(part)
    try:
        decoded: T = msgspec.json.decode(b"".join(parts), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # msgspec names the place: "Expected `float`, got `str` - at `$.value`".
        what, _, where = str(error).partition(" - at `$")
        field = where.rstrip("`").lstrip(".") or "body"
        raise BadInput(f"the body does not fit: {what}", field=field, mend="Send JSON of that shape.") from None
    return decoded


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
