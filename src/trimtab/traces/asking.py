"""Questions over HTTP: spans, groups and comparisons at ``POST /api/spans/query``, and what may come next in a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, Breakdown, Filter, SpanQuery
from trimtab.store import Group, Spans

from . import comparing
from .completion import SCORE_NAMES, TAG_NAMES, complete, wanted
from .language import make_filter
from .questions import DEFAULT_LIMIT, PREVIOUS, Question, parse_question
from .wire import body_of, bounded_ns, json_answer, limit_of, time_of

_PAGE: Final = 50
_MOST_GROUPS: Final = 10_000
_HOUR_NS: Final = 3600 * 10**9
#: Values of one column that are looked up for a completion, and how far back. What the sums know is read for a day.
_MOST_VALUES: Final = 200
_SUMMED: Final = ("model", "stamp.prompt", "stamp.route", "project", "kind")
#: Traces whose tags are looked at for the names of tags.
_TAGGED: Final = 200
_MOST_TEXT: Final = 4000


class FilterBody(msgspec.Struct, forbid_unknown_fields=True):
    """One condition of a query."""

    column: str
    op: str
    value: str | float | list[str | float]


class SidesBody(msgspec.Struct, forbid_unknown_fields=True):
    """The conditions that two sides differ in."""

    before: FilterBody
    after: FilterBody


class QueryBody(msgspec.Struct, forbid_unknown_fields=True):
    """A SpanQuery as JSON; with ``by`` or ``measures``, or a ``q`` that has them, a Breakdown.

    ``q`` is the query language; what stands beside it is added to it. ``since`` and ``until`` are times as people write
    them (``24h``, ``2026-11-01``), ``since_ns`` and ``until_ns`` the same in nanoseconds.
    """

    q: str = ""
    since: str = ""
    until: str = ""
    since_ns: int = 0
    until_ns: int = 0
    roots: bool = True
    filters: list[FilterBody] = []
    text: str = ""
    limit: int | None = None
    cursor: str = ""
    by: list[str] | None = None
    measures: list[str] | None = None
    order: str = ""
    compare: Literal["previous"] | SidesBody | None = None


def asking_routes(store: Spans, *, clock: Callable[[], int]) -> list[Route]:
    """The questions' part of the control API."""

    async def ask(request: Request) -> Response:
        asked = question_of(await body_of(request, QueryBody), clock())
        if asked.breakdown is None:
            page = await store.query(asked.query)
            return json_answer({"spans": page.spans, "cursor": page.cursor})
        names = {"by": asked.breakdown.by, "measures": asked.breakdown.measures}
        if asked.versus is None:
            return json_answer({**names, "groups": await store.groups(asked.breakdown)})
        compared = await compared_groups(store, asked.breakdown, asked.versus, clock())
        groups = [
            {"keys": one.keys, "deltas": [asdict(d) | {"clear": d.clear} for d in one.deltas]} for one in compared
        ]
        return json_answer({**names, "compared": groups})

    async def completions(request: Request) -> Response:
        text = request.query_params.get("q", "")
        if len(text) > _MOST_TEXT:
            raise BadInput(f"the text has {len(text)} characters", field="q", mend=f"Send at most {_MOST_TEXT}.")
        asked = request.query_params.get("cursor", str(len(text)))
        if not (asked.isascii() and asked.isdecimal() and len(asked) < 9):
            raise BadInput(f"{asked[:40]!r} is no place in it", field="cursor", mend="Count the characters before it.")
        cursor = min(int(asked), len(text))
        known = await known_values(store, wanted(text, cursor), clock())
        return json_answer({"suggestions": complete(text, cursor, known)})

    return [
        Route("/api/spans/query", ask, methods=["POST"]),
        Route("/api/spans/complete", completions, methods=["GET"]),
    ]


async def compared_groups(
    store: Spans, breakdown: Breakdown, versus: str | tuple[Filter, Filter], now_ns: int
) -> list[comparing.Compared]:
    """The answer to a question with two sides, as ``Question`` names them. Raises BadInput where the window before has
    no length."""
    wide = comparing.widened(breakdown)
    shift_ns = 0
    if isinstance(versus, tuple):
        sides = comparing.versions(wide, *versus)
    else:
        query = wide.query
        if not query.since_ns:
            raise BadInput(
                "the window to compare with has no start", field="since", mend="Say since when: 24h, or 2026-11-01."
            )
        query = replace(query, until_ns=query.until_ns or now_ns)
        shift_ns = query.until_ns - query.since_ns
        sides = comparing.windows(replace(wide, query=query))
    before, after = await store.groups(sides[0]), await store.groups(sides[1])
    return comparing.compare(breakdown, before, after, shift_ns=shift_ns)


async def known_values(store: Spans, column: str, now_ns: int) -> Mapping[str, Sequence[str]]:
    """The values of a column or the names of tags and scores, the most frequent first, of the last day or, where every
    span must be read for it, the last hour."""
    if not column:
        return {}
    if column == SCORE_NAMES:
        series = await store.score_series(since_ns=now_ns - 24 * _HOUR_NS, until_ns=now_ns + 1, bucket_s=3600)
        return {column: list(dict.fromkeys(bucket.name for bucket in series))[:_MOST_VALUES]}
    if column == TAG_NAMES:
        spans = (await store.query(SpanQuery(limit=_TAGGED))).spans
        return {column: list(dict.fromkeys(name for span in spans for name in span.tags))[:_MOST_VALUES]}
    hours = 24 if column in _SUMMED else 1
    query = SpanQuery(since_ns=max(1, now_ns - hours * _HOUR_NS), roots=column not in ("kind", "name", "model"))
    groups: list[Group] = await store.groups(Breakdown(query=query, by=(column,), limit=_MOST_VALUES))
    return {column: [str(group.keys[0]) for group in groups if group.keys[0] != ""]}


def question_of(body: QueryBody, now_ns: int) -> Question:
    """What a body asks. Raises BadInput, naming the field."""
    said = parse_question(body.q)
    grouped = said.breakdown is not None or body.by is not None or body.measures is not None
    if body.text and said.query.text:
        raise BadInput("there is text in q already", field="text", mend="Leave one of them out.")
    query = replace(
        said.query,
        since_ns=_moment(body.since, body.since_ns, "since", now_ns),
        until_ns=_moment(body.until, body.until_ns, "until", now_ns),
        roots=said.query.roots and body.roots,
        filters=(*said.query.filters, *map(_filter, body.filters)),
        text=said.query.text or body.text,
        limit=_PAGE if grouped else limit_of(_PAGE if body.limit is None else body.limit),
        cursor=body.cursor,
    )
    if not grouped:
        return replace(said, query=query)
    asked = said.breakdown or Breakdown(limit=DEFAULT_LIMIT)
    measures = asked.measures if body.measures is None else tuple(body.measures)
    by = asked.by if body.by is None else tuple(body.by)
    time = next((column for column in by if column.startswith("time:")), "")
    natural = asked.order if said.breakdown else (time or f"-{measures[0]}" if measures else "-count")
    asked = replace(
        asked,
        query=query,
        by=by,
        measures=measures,
        order=body.order or natural,
        limit=asked.limit if body.limit is None else limit_of(body.limit, _MOST_GROUPS),
    )
    return Question(query=query, breakdown=asked, versus=_versus(body) or said.versus)


def _versus(body: QueryBody) -> str | tuple[Filter, Filter] | None:
    if isinstance(body.compare, SidesBody):
        return _filter(body.compare.before), _filter(body.compare.after)
    return PREVIOUS if body.compare == PREVIOUS else None


def _filter(body: FilterBody) -> Filter:
    return make_filter(body.column, body.op, tuple(body.value) if isinstance(body.value, list) else body.value)


def _moment(text: str, ns: int, field: str, now_ns: int) -> int:
    if text and ns:
        raise BadInput("it is given twice", field=field, mend=f"Leave out {field} or {field}_ns.")
    return time_of(text, field, now_ns) if text else bounded_ns(ns, f"{field}_ns")
