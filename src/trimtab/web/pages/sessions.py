"""Sessions: the list of conversations, and one conversation from the top down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from trimtab.core import BadInput, Breakdown, Filter, Layer, NotFound, Score, Span, SpanQuery
from trimtab.store import Group
from trimtab.traces import question
from trimtab.web import words
from trimtab.web.banner import signal_title
from trimtab.web.frame import Frame
from trimtab.web.pins import pin_links
from trimtab.web.querybar import WINDOWS, Mistake, address, asked_query, condition, mistake
from trimtab.web.verdicts import NOT_ABOUT_THE_ANSWER, PASS_FROM, Verdict, verdict

#: Sessions of one page of the list (a page may hold up to STEP more), requests read for it at once, and in all.
PAGE, STEP, MOST_READ = 25, 50, 1000
#: Requests whose scores and texts are read for the list, and turns of one page of a conversation.
MOST_SCORED, TURNS = 1000, 100
EXAMPLES = ("status=error", "score:quality<0.5", "prompt~support-answer", "tag:topic=billing")
#: The tags that name a user.
USER_TAGS = ("user", "user.id", "user_id", "userId", "enduser.id")
_MEASURES = ("count", "errors", "refused", "sum:cost_usd", "count:cost_usd", "sum:input_tokens", "sum:output_tokens")


def session_href(session: str) -> str:
    """The address of a session's page. A name of dots only would be read as a way up, so it is sent as a parameter."""
    return f"/sessions/{quote(session, safe='')}" if session.strip(".") else f"/sessions/-?{urlencode({'id': session})}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session. ``partly`` says that the worst score is that of its newest requests only."""

    href: str
    name: str
    user: str
    asked: str
    traces: int
    duration: str
    cost: str
    worst: str
    worst_title: str
    bad: bool
    partly: bool
    failed: int
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Sessions on the way from the newest request to the oldest, each with its newest match; where the way goes on."""

    newest: Mapping[str, Span]
    cursor: str
    last_ns: int


async def find_sessions(frame: Frame, query: SpanQuery, cursor: str) -> Found:
    """Walk matching requests until a page of sessions is met. ``cursor`` is ``until.before.place``: until when the
    list is of, where the page before ended, and the store's own place."""
    until, before, place = _places(cursor, frame.house.clock())
    asked = replace(
        query,
        filters=(*query.filters, Filter(column="session", op="exists", value=1.0)),
        roots=True,
        until_ns=until,
        limit=STEP,
        cursor=place,
    )
    newest: dict[str, Span] = {}
    read, last = 0, until
    while len(newest) < PAGE and read < MOST_READ:
        page = await frame.house.spans.query(asked)
        for span in page.spans:
            newest.setdefault(span.session, span)
        read += len(page.spans)
        last = page.spans[-1].start_ns if page.spans else last
        asked = replace(asked, cursor=page.cursor)
        if not page.cursor:
            break
    if before and newest:  # who had a match before this page stood on one of the pages before it
        since = replace(asked, since_ns=before + 1, cursor="", filters=(*asked.filters, _one_of(newest)))
        for group in await frame.house.spans.groups(Breakdown(query=since, by=("session",), limit=len(newest))):
            newest.pop(str(group.keys[0]), None)
    following = f"{until}.{last}.{asked.cursor}" if asked.cursor else ""
    return Found(newest=newest, cursor=following, last_ns=last)


def _places(cursor: str, now_ns: int) -> tuple[int, int, str]:
    if not cursor:
        return now_ns + 1, 0, ""
    until, _, rest = cursor.partition(".")
    before, _, place = rest.partition(".")
    if not all(one.isascii() and one.isdigit() and len(one) < 20 for one in (until, before)) or not place:
        raise BadInput("this is no place in the list", field="cursor", mend="Start from the first page.")
    return int(until), int(before), place


def _turns_of(session: str) -> SpanQuery:
    return SpanQuery(filters=(Filter(column="session", op="=", value=session),))


def _one_of(sessions: Mapping[str, Span]) -> Filter:
    return Filter(column="session", op="in", value=tuple(sessions))


async def session_rows(frame: Frame, newest: Mapping[str, Span]) -> list[SessionRow]:
    """The sessions with what all their requests come to, not only those that match."""
    if not newest:
        return []
    store = frame.house.spans
    query = SpanQuery(filters=(_one_of(newest),))
    groups = await store.groups(Breakdown(query=query, by=("session", "model"), measures=_MEASURES, limit=10_000))
    totals = {name: total_of([group for group in groups if group.keys[0] == name]) for name in newest}
    room = min(max(1, MOST_SCORED // len(newest)), TURNS)
    pages = await asyncio.gather(*(store.query(replace(_turns_of(session), limit=room)) for session in newest))
    turns = {session: page.spans for session, page in zip(newest, pages, strict=True)}
    scores = await store.scores_of([span.trace_id for spans in turns.values() for span in spans])
    begins = {
        session: await _first_start(frame, session)
        for session, spans in turns.items()
        if len(spans) < totals[session].requests
    }
    return [
        _row(session, spans, totals[session], [s for span in spans for s in scores[span.trace_id]], begins.get(session))
        for session, spans in turns.items()
        if spans
    ]


async def _first_start(frame: Frame, session: str) -> int:
    """When a long session began, to the minute."""
    query = _turns_of(session)
    groups = await frame.house.spans.groups(Breakdown(query=query, by=("time:60",), order="time:60", limit=1))
    return int(groups[0].keys[0]) if groups else 0


def _row(session: str, spans: Sequence[Span], total: Total, scores: Sequence[Score], began: int | None) -> SessionRow:
    known = [score for score in scores if score.name not in NOT_ABOUT_THE_ANSWER]
    worst = min(known, key=lambda score: score.value, default=None)
    first = spans[-1].start_ns if began is None else began
    return SessionRow(
        href=session_href(session),
        name=session,
        user=user_of(spans),
        asked=words.snippet(question(spans[-1 if began is None else 0].input), 120) or spans[0].name,
        traces=total.requests,
        duration=words.span_of(first, max(span.end_ns for span in spans)),
        cost=total.cost,
        worst=words.fixed(worst.value) if worst else "none",
        worst_title=signal_title(worst.name).lower() if worst else "",
        bad=worst is not None and worst.value < PASS_FROM,
        partly=began is not None,
        failed=total.failed,
        last_ns=spans[0].start_ns,
    )


def user_of(spans: Sequence[Span]) -> str:
    """Who spoke, where a tag says so."""
    return next((str(span.tags[name]) for span in spans for name in USER_TAGS if span.tags.get(name)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What some requests come to."""

    requests: int
    failed: int
    tokens: int
    cost: str


def total_of(groups: Sequence[Group]) -> Total:
    """The sum of groups whose last key is the model. What a model answered without a price is said, for it is in no
    sum; a request that reached no model costs nothing."""
    sums = [sum(float(group.values[at] or 0) for group in groups) for at in range(len(_MEASURES))]
    count, errors, refused, cost, priced, sent, got = sums
    unpriced = sum(int((group.values[0] or 0) - (group.values[4] or 0)) for group in groups if group.keys[-1])
    text = words.money(cost) if priced or not unpriced else ""
    if unpriced:
        text += f"{' + ' if text else ''}{words.count(unpriced)} unpriced"
    return Total(requests=int(count), failed=int(errors + refused), tokens=int(sent + got), cost=text)


async def sessions(request: Request, frame: Frame) -> Response:
    """``GET /sessions?q=QUERY&w=1h&cursor=...``."""
    q, window = request.query_params.get("q", "")[:2000], request.query_params.get("w", "")
    cursor, now = request.query_params.get("cursor", ""), frame.house.clock()
    rows: list[SessionRow] = []
    wrong: Mistake | None = None
    older, status = "", 200
    try:
        found = await find_sessions(frame, asked_query(q, window, now), cursor)
        rows, older = await session_rows(frame, found.newest), found.cursor
    except BadInput as error:
        wrong, status = mistake(q, error), error.status
    return frame.page(
        request, "sessions.html", title="Sessions", nav="/traces", status=status, q=q, window=window, rows=rows,
        mistake=wrong, older=address("/sessions", q=q, w=window, cursor=older) if older else "",
        newest=address("/sessions", q=q, w=window) if cursor else "", windows=WINDOWS, examples=EXAMPLES,
        hrefs={name: address("/sessions", q=q, w=name) for name, _, _ in WINDOWS},
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPin:
    """One pin of a turn; ``moved`` where the turn before had another one."""

    layer: int
    pin: str
    href: str
    moved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request of a conversation."""

    trace_id: str
    number: int
    start_ns: int
    after: str
    asked: str
    answered: str
    refused: str
    pins: tuple[TurnPin, ...]
    scores: tuple[tuple[str, str, bool], ...]
    verdict: Verdict
    facts: str


async def session(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /sessions/{id}?cursor=...``: its newest hundred turns, or those before a cursor, the earliest first."""
    name = request.query_params.get("id", "") or str(request.path_params["id"])
    cursor = request.query_params.get("cursor", "")
    store, query = frame.house.spans, replace(_turns_of(name), limit=TURNS)
    page = await store.query(replace(query, cursor=cursor))
    if not page.spans:
        raise NotFound(
            f"There is no session {name[:80]!r}.", field="id", mend="It may be past its retention; search the list."
        )
    total = total_of(await store.groups(Breakdown(query=query, by=("model",), measures=_MEASURES, limit=10_000)))
    later = replace(query, since_ns=page.spans[0].start_ns + 1)
    after = int((await store.groups(Breakdown(query=later)))[0].values[0] or 0) if cursor else 0
    scores = await store.scores_of([span.trace_id for span in page.spans])
    turns = _turns(frame, page.spans[::-1], scores, total.requests - after)
    here = session_href(name)
    joint = "&" if "?" in here else "?"
    return frame.page(
        request, "session.html", title=f"Session {words.snippet(name, 60)}", nav="/traces", name=name, turns=turns,
        facts=_facts(page.spans, total, scores), user=user_of(page.spans), here=here,
        earlier=f"{here}{joint}{urlencode({'cursor': page.cursor})}" if page.cursor else "",
        latest=here if cursor else "", list_query=condition("session", name),
        incidents=await frame.house.desk.list(limit=50),
    )  # fmt: skip


def _facts(
    spans: Sequence[Span], total: Total, scores: Mapping[str, Sequence[Score]]
) -> tuple[tuple[str, str, str], ...]:
    """What stands on top: name, value, class."""
    known = [s for some in scores.values() for s in some if s.name not in NOT_ABOUT_THE_ANSWER]
    worst = min(known, key=lambda score: score.value, default=None)
    return (
        ("Turns", words.count(total.requests), ""),
        ("From first to last", words.span_of(spans[-1].start_ns, spans[0].end_ns), ""),
        ("Cost", total.cost, ""),
        ("Tokens", words.count(total.tokens), ""),
        ("Failed or refused", words.count(total.failed), "t-bad" if total.failed else ""),
        (
            f"Worst: {signal_title(worst.name).lower()}" if worst else "Worst score",
            words.fixed(worst.value) if worst else "not scored",
            "t-bad" if worst and worst.value < PASS_FROM else "",
        ),
    )


def _turns(
    frame: Frame, spans: Sequence[Span], scores: Mapping[str, Sequence[Score]], last_number: int
) -> tuple[Turn, ...]:
    """The turns from the earliest on; the last of them has this number."""
    found = []
    for at, span in enumerate(spans):
        before = spans[at - 1] if at else None
        links = pin_links(frame.house.registry, span.stamp)
        tokens = None if span.input_tokens is None else span.input_tokens + (span.output_tokens or 0)
        facts = [words.duration(span.duration_ns / words.SECOND)]
        facts += [words.plural(tokens, "token")] if tokens is not None else []
        facts += [words.money(span.cost_usd)] if span.model else []
        found.append(
            Turn(
                trace_id=span.trace_id,
                number=last_number - len(spans) + at + 1,
                start_ns=span.start_ns,
                after=f"{words.span_of(before.end_ns, span.start_ns)} later" if before else "",
                asked=question(span.input) or "(no question was recorded)",
                answered=span.output,
                refused=span.error if span.status != "ok" else "",
                pins=tuple(_pin(layer, span, before, links) for layer in Layer if span.stamp.pin(layer)),
                scores=tuple(
                    (signal_title(s.name), s.label or words.fixed(s.value), s.value < PASS_FROM)
                    for s in scores.get(span.trace_id, ())
                ),
                verdict=verdict(span, scores.get(span.trace_id, ())),
                facts=", ".join(facts),
            )
        )
    return tuple(found)


def _pin(layer: Layer, span: Span, before: Span | None, links: Mapping[Layer, str]) -> TurnPin:
    pin = span.stamp.pin(layer)
    return TurnPin(
        layer=int(layer),
        pin=words.pin(pin),
        href=links.get(layer, ""),
        moved=before is not None and before.stamp.pin(layer) != pin,
    )
