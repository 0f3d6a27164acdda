"""The gateway: which model answers, who may ask for how much, what it cost, and why a request was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from trimtab.core import BadInput, NotFound
from trimtab.gateway import PREFIX, Key, LimitSet, read_limits
from trimtab.web import words
from trimtab.web.frame import Frame, wants_fragment
from trimtab.web.house import House
from trimtab.web.spending import MOST_KEYS, BudgetRow, costs, key_row, route_row, team_row
from trimtab.web.strips import strip_question, strip_window, strips
from trimtab.web.targets import route_rows
from trimtab.web.vitals import MINUTE_NS, RECENT_MIN
from trimtab.web.why import Walk, walk

GROUPS = (("team", "Team"), ("route", "Route"), ("key", "Key"))
WINDOWS = ((1, "Today"), (7, "7 days"), (30, "30 days"))
LATEST_REFUSALS = 6


async def gateway(request: Request, frame: Frame) -> HTMLResponse:
    """``GET /gateway?days=7&by=team&why=ID``."""
    house, query = frame.house, request.query_params
    seen = list(house.health())
    rows, more = route_rows(seen)
    if wants_fragment(request):
        return frame.fragment("_gateway.html", routes=rows, more_routes=more, silent=_silent(house, rows))
    by = query.get("by", "") if query.get("by", "") in dict(GROUPS) else "team"
    days = int(query["days"]) if query.get("days", "") in {str(n) for n, _ in WINDOWS} else 1
    why, keys = _asked(query.get("why", "")), house.keys.list()
    names = {key.id: key.name for key in keys}
    six_hours = strip_window(house.clock())
    budgets, explained, spent, (refused, _), head, groups = await asyncio.gather(
        _budgets(house, keys),
        _explain(house, why, names),
        house.tenancy.reports.usage([by, "model"], {}, days),
        house.tenancy.reports.refusals({}, "", LATEST_REFUSALS),
        _headline(house, len({t.ref for route in seen for t in route.targets}), len(keys)),
        house.spans.groups(strip_question(six_hours)),
    )
    shown, more_strips = strips(seen, groups, house.breakers.of, six_hours)
    return frame.page(
        request, "gateway.html", title="Gateway", nav="/gateway", head=head, routes=rows, more_routes=more,
        silent=_silent(house, rows), strips=shown, more_strips=more_strips, cells=six_hours.cells, budgets=budgets,
        more_keys=max(0, len(keys) - MOST_KEYS),
        costs=costs(spent, by, {**names, "": f"no {by}"}) if spent else None, by=by, by_title=dict(GROUPS)[by],
        days=days, groups=_links(GROUPS, "by", by, days=days), windows=_links(WINDOWS, "days", days, by=by), why=why,
        explained=explained, latest=[(r, names.get(r["key"], r["key"])) for r in refused],
        has_trace=bool(explained) and await house.spans.trace(why) is not None,
        incidents=await house.desk.list(limit=50),
    )  # fmt: skip


def _asked(text: str) -> str:
    """The id of a request, or how a key begins: of a whole secret that was pasted, no more is written anywhere."""
    return text.strip()[: PREFIX if text.strip().startswith("tt-") else 64]


def _links(choices: Sequence[tuple[Any, str]], name: str, current: Any, **kept: Any) -> list[tuple[str, str, bool]]:
    return [(f"/gateway?{urlencode({**kept, name: value})}#cost", title, value == current) for value, title in choices]


def _silent(house: House, rows: Sequence[Any]) -> list[str]:
    """Registered routes that nobody has asked since the start."""
    asked = {row.name for row in rows}
    return [name for name in house.registry.names("routes") if name not in asked][:30]


async def _headline(house: House, models: int, keys: int) -> str:
    """How much is going on, in one sentence."""
    now = house.clock()
    buckets = await house.spans.span_series(since_ns=now - RECENT_MIN * MINUTE_NS, until_ns=now + 1, bucket_s=60)
    n, errors = sum(b.n for b in buckets), sum(b.errors for b in buckets)
    there = f"{words.plural(len(house.registry.names('routes')), 'route')}, {words.plural(models, 'model')} asked, "
    there += f"{words.plural(keys, 'key')}. "
    if not n:
        return there + f"No request within the last {RECENT_MIN} minutes."
    rate = words.count(round(n / RECENT_MIN)) if n >= RECENT_MIN else "Less than one"
    return there + f"{rate} {'request' if n < 1.5 * RECENT_MIN else 'requests'} a minute, {words.percent(errors / n)}" \
        " failed for the user."  # fmt: skip


async def _budgets(house: House, keys: Sequence[Key]) -> list[BudgetRow]:
    """Teams and routes, then keys, those first that are closest to the end of their budget."""
    now = house.clock()
    today = datetime.fromtimestamp(now // words.SECOND, UTC).day
    month = await house.tenancy.reports.usage(["key", "team", "route"], {}, today)
    teams, routes = house.tenancy.teams.list()[:MOST_KEYS], _limited_routes(house)[:MOST_KEYS]
    levels = await asyncio.gather(
        *(_level(house, "team", name, read_limits(limits)) for name, limits in teams),
        *(_level(house, "route", name, read_limits(limits)) for name, limits in routes),
        *(_level(house, "key", key.id, _limits_of(key)) for key in keys),
    )
    shared = [(team_row, "team", *pair) for pair in teams] + [(route_row, "route", *pair) for pair in routes]
    rows = [
        row_of(name, limits, level, _cost(month, scope, name), now)
        for (row_of, scope, name, limits), level in zip(shared, levels, strict=False)
    ]
    of_keys = [
        (key_row(key, level, cost, now), cost)
        for key, level in zip(keys, levels[len(shared) :], strict=True)
        for cost in (_cost(month, "key", key.id),)
    ]
    of_keys.sort(key=lambda pair: (-pair[0].percent, -pair[1], pair[0].name))
    return [*sorted(rows, key=lambda row: -row.percent), *(row for row, _ in of_keys[:MOST_KEYS])]


def _limited_routes(house: House) -> list[tuple[str, Mapping[str, Any]]]:
    """The live routes whose content names a budget. One that cannot be read stands as an error on its own page."""
    found = []
    for name in house.registry.names("routes"):
        try:
            limits = house.registry.resolve(f"routes:/{name}").version.content.get("limits")
            if isinstance(limits, Mapping) and read_limits(limits).budget:
                found.append((name, limits))
        except BadInput:
            continue
    return found


def _limits_of(key: Key) -> LimitSet:
    return read_limits({name: value for name, value in key.limits.items() if name != "routes"})


async def _level(house: House, scope: str, who: str, limits: LimitSet) -> Mapping[str, Any]:
    return await house.tenancy.limits.levels(scope, who, limits) if limits.budget else {}


def _cost(rows: Sequence[Mapping[str, Any]], name: str, value: str) -> float:
    return float(sum(row["cost_usd"] for row in rows if row[name] == value))


async def _explain(house: House, why: str, names: Mapping[str, str]) -> Walk | NotFound | None:
    """The refusal of a request; what to do where none is kept."""
    if not why:
        return None
    try:
        return walk(await house.tenancy.reports.refusal(why), names)
    except NotFound as missing:
        return missing
