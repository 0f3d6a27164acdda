"""How the scorers of live traffic stand, over HTTP and for the page. Errors are raised for the web layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, Score, now_ns
from trimtab.stats import Interval
from trimtab.store import Spans

from .live_scoring import LiveLine
from .live_sets import SEPARATOR
from .online import QUALITY, Online
from .sampling import weighted_rate

#: Hours that are looked back, scores of one name that are read, and names.
HOURS, MOST_HOURS, MOST_SCORES, MOST_NAMES = 24, 24 * 31, 5_000, 100
_HOUR_NS = 3_600 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRate:
    """The mean of one live score, each answer weighted by how likely it was to be drawn.

    ``by`` and ``by_version`` say what scored last; ``others`` are the scores of other versions, which are left out.
    """

    score: str
    rate: Interval
    by: str
    by_version: str
    others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReport:
    """The live scorers with what they see and spend, the rates of their scores, and what a reader has to know."""

    scorers: tuple[LiveLine, ...]
    rates: tuple[NamedRate, ...]
    notes: tuple[str, ...]


async def live_report(
    online: Online, spans: Spans, now: int, *, hours: int = HOURS, project: str = "default"
) -> LiveReport:
    """How live scoring stands, with the rates of the last ``hours`` in one project."""
    lines = await online.live.standing() if online.live is not None else []
    since = now - hours * _HOUR_NS
    heads = {f"{line.set}{SEPARATOR}" for line in lines} | {f"{QUALITY}{SEPARATOR}"}
    series = await spans.score_series(since_ns=since, until_ns=now + 1, bucket_s=3_600, project=project)
    names = sorted({bucket.name for bucket in series if any(bucket.name.startswith(head) for head in heads)})
    rates = []
    for name in names[:MOST_NAMES]:
        found = await spans.scores(since_ns=since, until_ns=now + 1, name=name, limit=MOST_SCORES)
        mine = [score for score in found if score.project == project]
        if mine:
            rates.append(await asyncio.to_thread(_rate, name, mine))
    return LiveReport(scorers=tuple(lines), rates=tuple(rates), notes=tuple(online.notes))


def _rate(name: str, scores: list[Score]) -> NamedRate:
    last = max(scores, key=lambda score: score.time_ns)
    same = [score for score in scores if score.by_version == last.by_version]
    return NamedRate(
        score=name, rate=weighted_rate(same), by=last.by, by_version=last.by_version, others=len(scores) - len(same)
    )


def live_routes(online: Online, spans: Spans, *, clock: Callable[[], int] = now_ns) -> list[Route]:
    """``GET /api/evals/live?hours=24&project=shop``."""

    async def live(request: Request) -> Response:
        asked = request.query_params
        hours = asked.get("hours", "") or str(HOURS)
        if not (hours.isascii() and hours.isdigit() and 1 <= int(hours[:9]) <= MOST_HOURS):
            raise BadInput(f"{hours[:40]!r} is out of range.", field="hours", mend=f"Give 1 to {MOST_HOURS}.")
        project = asked.get("project", "") or "default"
        found = await live_report(online, spans, clock(), hours=int(hours), project=project)
        body: dict[str, Any] = asdict(found)
        return Response(msgspec.json.encode(body), media_type="application/json")

    return [Route("/api/evals/live", live, methods=["GET"])]
