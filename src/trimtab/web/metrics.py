"""Health for supervisors, and a few figures as Prometheus text."""

from __future__ import annotations

from collections import Counter

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from trimtab.core import SpanQuery

from .frame import LIVE_STATES, Frame

MINUTE_NS = 60_000_000_000
RECENT_MIN = 5


async def healthz(request: Request, frame: Frame) -> Response:
    """The process runs and answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request, frame: Frame) -> Response:
    """The stores answer; an error of theirs becomes its own status. What is degraded and does not stop requests is
    told, a line each."""
    await frame.house.spans.query(SpanQuery(limit=1))
    return PlainTextResponse("ready\n" + "".join(f"but: {said}\n" for said in frame.house.details))


async def metrics(request: Request, frame: Frame) -> Response:
    """``GET /metrics``."""
    house, now = frame.house, frame.house.clock()
    buckets = await house.spans.span_series(since_ns=now - RECENT_MIN * MINUTE_NS, until_ns=now + 1, bucket_s=60)
    requests = {
        "error": sum(b.errors for b in buckets),
        "refused": sum(b.refused for b in buckets),
    }
    requests["ok"] = sum(b.n for b in buckets) - requests["error"] - requests["refused"]
    live = Counter(i.severity for i in await house.desk.list(limit=200) if i.state in LIVE_STATES)
    lines = [
        "# HELP trimtab_spans_dropped_total Spans dropped because the recorder's queue was full.",
        "# TYPE trimtab_spans_dropped_total counter",
        f"trimtab_spans_dropped_total {house.spans.dropped}",
        f"# HELP trimtab_requests Requests recorded in the last {RECENT_MIN} minutes, by how they ended.",
        "# TYPE trimtab_requests gauge",
        *(f'trimtab_requests{{status="{status}"}} {n}' for status, n in sorted(requests.items())),
        "# HELP trimtab_incidents_open Incidents that nobody has mitigated or closed.",
        "# TYPE trimtab_incidents_open gauge",
        *(f'trimtab_incidents_open{{severity="{severity}"}} {live[severity]}' for severity in (1, 2, 3, 4)),
        "# HELP trimtab_degraded Things that are degraded and do not stop requests; /readyz names them.",
        "# TYPE trimtab_degraded gauge",
        f"trimtab_degraded {len(house.details)}",
        "# HELP trimtab_uptime_seconds Seconds since the server started.",
        "# TYPE trimtab_uptime_seconds gauge",
        f"trimtab_uptime_seconds {max(0, now - house.started_ns) // 1_000_000_000}",
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4; charset=utf-8")
