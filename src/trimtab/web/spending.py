"""Keys, budgets and cost as rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from trimtab.gateway import Key, period_of

from . import words

MOST_KEYS, MOST_ROWS, MOST_MODELS = 60, 20, 4
DAY_NS = 86_400 * words.SECOND
#: Share of a budget from which its bar is marked.
NEARLY = 0.9
#: Share of a period before which no end is foretold: too little has been spent to tell.
EARLY = 0.05
OTHERS = "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """A key, a team or a route: what it may, what it spent, and when its budget will be spent at this pace; ``pace`` is
    what will have been spent at the end of the period where the budget lasts. ``href`` is where it is changed."""

    name: str
    detail: str
    team: str
    tags: tuple[tuple[str, str], ...]
    limits: str
    spent: str
    budget: str
    percent: float
    full: bool
    ends: str
    pace: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A sum. ``unpriced`` says that it leaves requests out, or that there is none."""

    text: str
    unpriced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Cost by something (rows) and model (columns). The last row is the sum of all."""

    models: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    total: tuple[Cell, ...]
    hidden: int
    unpriced: int


def key_row(key: Key, level: Mapping[str, Any], cost: float, now_ns: int) -> BudgetRow:
    """One key with what its budget stands at; ``cost`` of this month where it has none."""
    tags = [("off", "bad")] if key.disabled else []
    if 0 < key.expires_ns <= now_ns:
        tags.append(("expired", "bad"))
    elif key.expires_ns and key.expires_ns - now_ns < 7 * DAY_NS:
        tags.append((f"expires in {words.span_of(now_ns, key.expires_ns)}", "warn"))
    if key.old_until_ns > now_ns:
        tags.append(("old secret still opens", "on"))
    if key.role != "member":
        tags.append((key.role, ""))
    money = _money(key.limits, level, cost, now_ns)
    detail = f"{key.prefix}…" if key.prefix else "from the environment"
    href = f"/gateway/keys/{key.id}"
    return BudgetRow(name=key.name, detail=detail, team=key.team, tags=tuple(tags), href=href, **money)


def team_row(name: str, limits: Mapping[str, Any], level: Mapping[str, Any], cost: float, now_ns: int) -> BudgetRow:
    """One team with limits that its keys share."""
    money = _money(limits, level, cost, now_ns)
    href = f"/gateway/team?{urlencode({'name': name})}"
    return BudgetRow(name=name, detail="all its keys together", team=name, tags=(("team", "on"),), href=href, **money)


def route_row(name: str, limits: Mapping[str, Any], level: Mapping[str, Any], cost: float, now_ns: int) -> BudgetRow:
    """One route with a budget, whoever asks it."""
    money = _money(limits, level, cost, now_ns)
    href = f"/assets/routes/{quote(name)}"
    return BudgetRow(name=name, detail="whoever asks it", team="", tags=(("route", "on"),), href=href, **money)


def _money(limits: Mapping[str, Any], level: Mapping[str, Any], cost: float, now_ns: int) -> dict[str, Any]:
    """The fields of a row that speak of limits and money."""
    spent, budget = (level["spent_usd"], level["limit_usd"]) if level else (cost, 0.0)
    share = (spent + level["reserved_usd"]) / budget if level else 0.0
    kind = str(limits.get("period", "month"))
    return {
        "limits": limits_text(limits),
        "spent": words.dollars(spent),
        "budget": f"{words.dollars(budget)} a {kind}" if level else "",
        "percent": min(100.0, round(share * 100, 1)),
        "full": share >= NEARLY,
        "ends": _ends(spent, budget, kind, now_ns) if level else "",
        "pace": _pace(spent, budget, kind, now_ns) if level else "",
    }


def _ends(spent: float, budget: float, kind: str, now_ns: int) -> str:
    """When the budget will be spent, if that is before its period ends."""
    if spent >= budget:
        return "spent"
    period = period_of(kind, now_ns)
    passed = now_ns - period.start_ns
    if not spent or passed < EARLY * (period.end_ns - period.start_ns):
        return ""
    left_ns = int(passed * (budget - spent) / spent)
    return f"spent in about {words.duration(left_ns / words.SECOND)}" if now_ns + left_ns < period.end_ns else ""


def _pace(spent: float, budget: float, kind: str, now_ns: int) -> str:
    """What will have been spent at the end of the period at this pace, for a budget that lasts."""
    period = period_of(kind, now_ns)
    passed, whole = now_ns - period.start_ns, period.end_ns - period.start_ns
    if passed < EARLY * whole:
        return f"too early in the {kind} to foretell"
    foretold = spent * whole / passed
    return f"lasts: about {words.dollars(foretold)} by the end of the {kind}" if foretold < budget else ""


def limits_text(limits: Mapping[str, Any]) -> str:
    """What limits a key besides money, in words."""
    said = []
    for name, unit in (("rpm", "requests a minute"), ("tpm", "tokens a minute"), ("max_parallel", "at once")):
        if value := limits.get(name):
            said.append(f"{words.count(value)} {unit}")
    if queue := limits.get("max_queue"):
        said.append(f"{words.count(queue)} may wait")
    if routes := limits.get("routes"):
        said.append("only " + ", ".join(routes[:3]) + (f" and {len(routes) - 3} more" if len(routes) > 3 else ""))
    return ", ".join(said)


def costs(rows: Sequence[Mapping[str, Any]], by: str, names: Mapping[str, str]) -> Costs:
    """Sums by ``by`` and model as a table; the models and rows that cost least stand together."""
    models = _largest(rows, "model", MOST_MODELS)
    groups = _largest(rows, by, MOST_ROWS)
    many = len({row["model"] for row in rows}) > len(models)
    columns = [*models, OTHERS] if many else models

    def line(found: Sequence[Mapping[str, Any]]) -> tuple[Cell, ...]:
        cells = [cell([row for row in found if row["model"] == model]) for model in models]
        rest = [cell([row for row in found if row["model"] not in models])] if many else []
        return (*cells, *rest, cell(found))

    return Costs(
        models=tuple((model.partition("/")[2] or model, model.partition("/")[0] if "/" in model else "")
                     for model in columns),
        rows=tuple((names.get(group, group) or f"no {by}", line([r for r in rows if r[by] == group]))
                   for group in groups),
        total=line(rows),
        hidden=len({row[by] for row in rows}) - len(groups),
        unpriced=sum(row["unpriced"] for row in rows),
    )  # fmt: skip


def _largest(rows: Sequence[Mapping[str, Any]], name: str, most: int) -> list[str]:
    sums: dict[str, tuple[float, int]] = {}
    for row in rows:
        usd, requests = sums.get(row[name], (0.0, 0))
        sums[row[name]] = (usd + row["cost_usd"], requests + row["requests"])
    return sorted(sums, key=lambda key: sums[key], reverse=True)[:most]


def cell(rows: Sequence[Mapping[str, Any]]) -> Cell:
    """The sum of some rows: what is unpriced is said, and never counted as nothing."""
    if not rows:
        return Cell(text="")
    unpriced, usd = sum(row["unpriced"] for row in rows), sum(row["cost_usd"] for row in rows)
    if not unpriced:
        return Cell(text=words.dollars(usd))
    if usd <= 0 and unpriced >= sum(row["requests"] for row in rows):
        return Cell(text="unpriced", unpriced=True)
    return Cell(text=f"{words.dollars(usd)} + {words.count(unpriced)} unpriced", unpriced=True)
