"""Traces: the list, its query bar, and two traces side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import BadInput, Filter, Layer, NotFound, Score, Span, SpanQuery
from trimtab.store import SpanStore, Trace
from trimtab.traces import QueryError, parse_query, question
from trimtab.web import words
from trimtab.web.banner import signal_title
from trimtab.web.frame import OWN_PROJECT, PLACES, Frame, newest_request
from trimtab.web.verdicts import Verdict, verdict

PAGE = 50
#: Rows counted for "12 newer" before it says "99+".
MOST_NEWER = 99
WINDOWS = (("15m", "15 min", 900), ("1h", "1 h", 3600), ("6h", "6 h", 21_600), ("7d", "7 d", 604_800), ("", "all", 0))
EXAMPLES = ("score:cites<0.5", "status=refused", "latency>2s", "tag:topic=billing", "prompt~support-answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request."""

    trace_id: str
    time: str
    day: str
    question: str
    answer: str
    model: str
    prompt: str
    seconds: str
    tokens: str
    cents: str
    verdict: Verdict
    worst: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A query that cannot be read, cut around the word at fault."""

    before: str
    word: str
    after: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListView:
    """What the list draws. ``newest_ns`` is where "newer" starts counting."""

    q: str
    window: str
    rows: tuple[Row, ...]
    older: str
    newer_poll: str
    first_page: str
    mistake: Mistake | None
    found_more: bool


def row(root: Span, scores: Sequence[Score], now_ns: int, frame: Frame) -> Row:
    """One span and its scores as a row."""
    seen = verdict(root, scores)
    reached = root.model or root.stamp.model
    tokens = None if root.input_tokens is None else root.input_tokens + (root.output_tokens or 0)
    today = words.local(root.start_ns, frame.zone).date() == words.local(now_ns, frame.zone).date()
    return Row(
        trace_id=root.trace_id,
        time=words.seconds_clock(root.start_ns, frame.zone),
        day="" if today else words.day(root.start_ns, frame.zone),
        question=words.snippet(question(root.input)) or root.name or "(no question was recorded)",
        answer=words.snippet(root.output or root.error) or "(no answer)",
        model=words.pin(root.stamp.model).split(" ")[0]
        if root.stamp.model
        else root.model
        if reached
        else "none reached",
        prompt=words.pin(root.stamp.prompt) if root.stamp.prompt else "no prompt",
        seconds=words.fixed(root.duration_ns / words.SECOND),
        tokens=words.count(tokens),
        cents=words.cents(root.cost_usd) if reached else "0",
        verdict=seen,
        worst=words.fixed(seen.worst.value) if seen.worst else "none",
    )


def asked_query(q: str, window: str, now_ns: int) -> SpanQuery:
    """The query of the page: the language's filters, the window, and none of Trimtab's own requests.

    Raises QueryError, which points at the word.
    """
    query = parse_query(q)
    seconds = next((length for name, _, length in WINDOWS if name == window), 0)
    filters = query.filters
    if not any(f.column == "project" for f in filters):
        filters = (*filters, Filter(column="project", op="!=", value=OWN_PROJECT))
    return replace(query, filters=filters, since_ns=now_ns - seconds * words.SECOND if seconds else 0, limit=PAGE)


def mistake(q: str, error: BadInput) -> Mistake:
    """Point at the word."""
    said = error.message
    if isinstance(error, QueryError):  # its message begins with the place, which the mark shows already
        said = said.partition(f"{error.word!r}: ")[2] or said
    message = f"{said[:1].upper()}{said[1:].rstrip('.')}. {error.mend}"
    if not isinstance(error, QueryError):
        return Mistake(before="", word=q, after="", message=message)
    end = error.position + len(error.word)
    return Mistake(before=q[: error.position], word=q[error.position : end], after=q[end:], message=message)


def _address(**parts: str) -> str:
    kept = {name: value for name, value in parts.items() if value}
    return "/traces" + (f"?{urlencode(kept)}" if kept else "")


async def scores_of(store: SpanStore, roots: Sequence[Span]) -> Mapping[str, Sequence[Score]]:
    """The scores of each trace, whenever they were given: the list and the detail must say the same."""
    found = await asyncio.gather(*(store.trace(root.trace_id) for root in roots))
    return {root.trace_id: trace.scores if trace else () for root, trace in zip(roots, found, strict=True)}


async def traces(request: Request, frame: Frame) -> Response:
    """``GET /traces?q=QUERY&w=1h&cursor=...``."""
    q, window = request.query_params.get("q", "")[:2000], request.query_params.get("w", "")
    cursor, now = request.query_params.get("cursor", ""), frame.house.clock()
    spans: tuple[Span, ...] = ()
    wrong, older, status = None, "", 200
    try:
        page = await frame.house.spans.query(replace(asked_query(q, window, now), cursor=cursor))
        spans, older = page.spans, page.cursor
    except BadInput as error:
        wrong, status = mistake(q, error), error.status
    scores = await scores_of(frame.house.spans, spans)
    newest = "" if cursor or wrong else str((spans[0].start_ns if spans else now) + 1)
    view = ListView(
        q=q,
        window=window,
        rows=tuple(row(span, scores[span.trace_id], now, frame) for span in spans),
        older=_address(q=q, w=window, cursor=older) if older else "",
        newer_poll=f"/traces/newer?{urlencode({'q': q, 'w': window, 'after': newest})}" if newest else "",
        first_page=_address(q=q, w=window),
        mistake=wrong,
        found_more=bool(older),
    )
    anything = bool(spans) or bool((await frame.house.spans.query(newest_request())).spans)
    return frame.page(
        request, "traces.html", title="Traces", nav="/traces", status=status, view=view, windows=WINDOWS,
        examples=EXAMPLES, anything=anything, incidents=await frame.house.desk.list(limit=50),
        hrefs={name: _address(q=q, w=name) for name, _, _ in WINDOWS},
    )  # fmt: skip


async def newer(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /traces/newer?q=&w=&after=NANOSECONDS``: how many requests wait behind the list."""
    q, window = request.query_params.get("q", "")[:2000], request.query_params.get("w", "")
    after = request.query_params.get("after", "")
    since = int(after) if after.isascii() and after.isdigit() and len(after) < 20 else 0
    query = asked_query(q, window, frame.house.clock())
    page = await frame.house.spans.query(replace(query, since_ns=max(since, query.since_ns), limit=MOST_NEWER + 1))
    count = len(page.spans)
    return frame.fragment(
        "_newer.html",
        count=f"{MOST_NEWER}+" if count > MOST_NEWER else str(count) if count else "",
        href=_address(q=q, w=window),
        poll=f"/traces/newer?{urlencode({'q': q, 'w': window, 'after': after})}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRow:
    """One fact of two traces; ``differs`` marks it."""

    name: str
    left: str
    right: str
    differs: bool
    layer: int = 0


def compare_rows(left: Trace, right: Trace) -> tuple[CompareRow, ...]:
    """Stamp first, then figures, then every score that either has. Pure."""
    a, b = root_of(left), root_of(right)
    rows = [
        _compared(f"{layer.title}", words.pin(a.stamp.pin(layer)), words.pin(b.stamp.pin(layer)), int(layer))
        for layer in Layer
    ]
    rows += [
        _compared("Status", a.status, b.status),
        _compared("Time", words.duration(a.duration_ns / words.SECOND), words.duration(b.duration_ns / words.SECOND)),
        _compared("Cost", words.money(a.cost_usd), words.money(b.cost_usd)),
    ]
    by_name = [{s.name: words.fixed(s.value) for s in t.scores} for t in (left, right)]
    for name in dict.fromkeys([*by_name[0], *by_name[1]]):
        first, second = (values.get(name, "not scored") for values in by_name)
        rows.append(_compared(signal_title(name), first, second))
    return tuple(rows)


def _compared(name: str, left: str, right: str, layer: int = 0) -> CompareRow:
    return CompareRow(name=name, left=left, right=right, differs=left != right, layer=layer)


def root_of(trace: Trace) -> Span:
    """The trace's root, or its first span where the root has not arrived. Raises NotFound for scores without spans."""
    if not trace.spans:
        raise NotFound("This trace has scores and no spans yet.", mend="Its spans may still be on the way; reload.")
    return next((span for span in trace.spans if not span.parent_id), trace.spans[0])


async def find_trace(frame: Frame, trace_id: str) -> Trace:
    """A whole trace. Raises NotFound."""
    found = await frame.house.spans.trace(trace_id.lower()) if 0 < len(trace_id) <= 64 else None
    if found is None:
        raise NotFound(
            f"There is no trace {trace_id[:64]!r}.", field="id", mend="It may be past its retention; search the list."
        )
    return found


async def compare(request: Request, frame: Frame) -> Response:
    """``GET /traces/compare?t=ID&t=ID``. Anything but two traces leads back to the list."""
    asked = request.query_params.getlist("t")[:2]
    if len(asked) != 2:
        return RedirectResponse("/traces", status_code=303)
    left, right = [await find_trace(frame, trace_id) for trace_id in asked]
    sides = [
        {"root": root_of(t), "question": question(root_of(t).input), "answer": root_of(t).output or root_of(t).error}
        for t in (left, right)
    ]
    return frame.page(
        request, "compare.html", title="Compare two traces", nav="/traces", sides=sides,
        rows=compare_rows(left, right), incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


async def jump(request: Request, frame: Frame) -> Response:
    """``GET /jump?q=``: a trace id, an incident's number or a prompt's name leads there; anything else is searched."""
    q = request.query_params.get("q", "").strip()[:500]
    if len(q) == 32 and all(c in "0123456789abcdefABCDEF" for c in q):
        return RedirectResponse(f"/traces/{q.lower()}", status_code=303)
    if (
        q.isascii()
        and q.isdigit()
        and len(q) < 9
        and any(i.id == int(q) for i in await frame.house.desk.list(limit=200))
    ):
        return RedirectResponse(f"/incidents/{int(q)}", status_code=303)
    if q in frame.house.registry.names("prompts"):
        return RedirectResponse(f"/prompts/{q}", status_code=303)
    place = next((p for p in PLACES if p.name.lower() == q.lower()), None)
    return RedirectResponse(place.path if place else _address(q=q), status_code=303)
