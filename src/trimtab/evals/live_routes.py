"""How the scorers of live traffic stand, over HTTP and for the page. Errors are raised for the web layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, Score, now_ns
from trimtab.stats import Interval
from trimtab.store import Spans

from .estimate import KnownRates
from .live_corrections import Corrections, corrected_live
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
    ``corrected`` is the rate behind a judge of which this very digest was calibrated, by ``labels`` labels of
    ``source``; None where nobody did, or where those labels cannot explain what is seen. ``rate`` is always what the
    judge says.
    """

    score: str
    rate: Interval
    by: str
    by_version: str
    others: int
    corrected: Interval | None = None
    labels: int = 0
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReport:
    """The live scorers with what they see and spend, the rates of their scores, and what a reader has to know."""

    scorers: tuple[LiveLine, ...]
    rates: tuple[NamedRate, ...]
    notes: tuple[str, ...]


async def live_report(
    online: Online, spans: Spans, corrections: Corrections, now: int, *, hours: int = HOURS, project: str = "default",
    without: Collection[str] = (),
) -> LiveReport:  # fmt: skip
    """How live scoring stands, with the rates of the last ``hours`` in one project, of all scores but ``without``."""
    lines = await online.live.standing() if online.live is not None else []
    since = now - hours * _HOUR_NS
    heads = {f"{line.set}{SEPARATOR}" for line in lines} | {f"{QUALITY}{SEPARATOR}"}
    roots = {line.score for line in lines} | {QUALITY}
    series = await spans.score_series(since_ns=since, until_ns=now + 1, bucket_s=3_600, project=project)
    seen = {bucket.name for bucket in series}.difference(without)
    names = sorted(name for name in seen if name == QUALITY or any(name.startswith(head) for head in heads))
    rates = []
    for name in names[:MOST_NAMES]:
        found = await spans.scores(since_ns=since, until_ns=now + 1, name=name, project=project, limit=MOST_SCORES)
        if found:
            last = max(found, key=lambda score: score.time_ns)
            known = await corrections.known(last.by, last.by_version, _criterion(name, roots))
            rates.append(await asyncio.to_thread(_rate, name, found, last, known))
    return LiveReport(scorers=tuple(lines), rates=tuple(rates), notes=tuple(online.notes))


def _criterion(name: str, roots: Collection[str]) -> str:
    """The criterion that a score is of: what follows a scorer's own score, "" for that itself."""
    if name in roots:
        return ""
    heads = [root for root in roots if name.startswith(f"{root}.")]
    return name.removeprefix(f"{max(heads, key=len)}.") if heads else ""


def _rate(name: str, scores: list[Score], last: Score, known: KnownRates | None) -> NamedRate:
    same = [score for score in scores if score.by_version == last.by_version]
    return NamedRate(
        score=name, rate=weighted_rate(same), by=last.by, by_version=last.by_version, others=len(scores) - len(same),
        corrected=corrected_live(same, known) if known else None, labels=known.labels if known else 0,
        source=known.source if known else "",
    )  # fmt: skip


def live_routes(
    online: Online, spans: Spans, corrections: Corrections, *, clock: Callable[[], int] = now_ns
) -> list[Route]:
    """``GET /api/evals/live?hours=24&project=shop``."""

    async def live(request: Request) -> Response:
        asked = request.query_params
        hours = asked.get("hours", "") or str(HOURS)
        if not (hours.isascii() and hours.isdigit() and 1 <= int(hours[:9]) <= MOST_HOURS):
            raise BadInput(f"{hours[:40]!r} is out of range.", field="hours", mend=f"Give 1 to {MOST_HOURS}.")
        project = asked.get("project", "") or "default"
        found = await live_report(online, spans, corrections, clock(), hours=int(hours), project=project)
        body: dict[str, Any] = asdict(found)
        return Response(msgspec.json.encode(body), media_type="application/json")

    return [Route("/api/evals/live", live, methods=["GET"])]
