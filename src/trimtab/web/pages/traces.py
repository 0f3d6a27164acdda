"""Traces: the list, its query bar, and two traces side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab.core import BadInput, NotFound, Score, Span
from trimtab.store import Trace
from trimtab.traces import question
from trimtab.web import words
from trimtab.web.frame import PLACES, Frame, newest_request
from trimtab.web.querybar import WINDOWS, Mistake, address, bounds_of, mistake
from trimtab.web.verdicts import Verdict, verdict

from .around import About, Asked, about, cheap

#: Rows counted for "12 newer" before it says "99+".
MOST_NEWER = 99
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
class ListView:
    """What the list draws; ``about_poll`` asks for what takes longer than it, ``about_link`` does so by hand."""

    asked: Asked
    rows: tuple[Row, ...]
    older: str
    newer_poll: str
    first_page: str
    mistake: Mistake | None
    about_poll: str
    about_link: str


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


async def traces(request: Request, frame: Frame) -> Response:
    """``GET /traces?q=QUERY&w=1h&since=NS&until=NS&cursor=...``; ``about=1`` asks for what stands around it, too."""
    asked, cursor, now = Asked.of(request), request.query_params.get("cursor", ""), frame.house.clock()
    spans: tuple[Span, ...] = ()
    wrong, older, status = None, "", 200
    found: About | None = None
    try:
        query = asked.query(now)
        page = await frame.house.spans.query(replace(query, cursor=cursor))
        spans, older = page.spans, page.cursor
        if spans and (cheap(query) or request.query_params.get("about")):
            found = await about(frame, query)
    except BadInput as error:
        wrong, status = mistake(asked.q, error), error.status
    scores = await frame.house.spans.scores_of(list(dict.fromkeys(span.trace_id for span in spans)))
    polls = not (cursor or wrong or asked.until)
    after = str((spans[0].start_ns if spans else now) + 1)
    view = ListView(
        asked=asked,
        rows=tuple(row(span, scores.get(span.trace_id, ()), now, frame) for span in spans),
        older=asked.address(cursor=older) if older else "",
        newer_poll=asked.address("/traces/newer", after=after) if polls else "",
        first_page=asked.address(),
        mistake=wrong,
        about_poll=asked.address("/traces/about") if spans and found is None else "",
        about_link=asked.address(about="1", cursor=cursor),
    )
    anything = bool(spans) or bool((await frame.house.spans.query(newest_request())).spans)
    return frame.page(
        request, "traces.html", title="Traces", nav="/traces", status=status, view=view, windows=WINDOWS,
        examples=EXAMPLES, anything=anything, incidents=await frame.house.desk.list(limit=50), about=found, asked=asked,
        hrefs={name: address("/traces", q=asked.q, w=name) for name, _, _ in WINDOWS}, swap=False,
        stretch=_stretch(asked, frame),
    )  # fmt: skip


def _stretch(asked: Asked, frame: Frame) -> str:
    """The stretch of time that the address names, in words."""
    since, until = bounds_of(asked.since, asked.until)
    now = frame.house.clock()
    if not since and not until:
        return ""
    begin = f"from {words.moment(since, now, frame.zone)} " if since else ""
    return f"{begin}until {words.moment(until, now, frame.zone)}" if until else begin.strip()


async def newer(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /traces/newer?q=&w=&after=NANOSECONDS``: how many requests wait behind the list."""
    asked = Asked.of(request)
    since, _ = bounds_of(request.query_params.get("after", ""), "")
    query = asked.query(frame.house.clock())
    page = await frame.house.spans.query(replace(query, since_ns=max(since, query.since_ns), limit=MOST_NEWER + 1))
    count = len(page.spans)
    return frame.fragment(
        "_newer.html",
        count=f"{MOST_NEWER}+" if count > MOST_NEWER else str(count) if count else "",
        href=asked.address(),
        poll=asked.address("/traces/newer", after=str(since) if since else ""),
    )


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
    return RedirectResponse(place.path if place else address("/traces", q=q), status_code=303)
