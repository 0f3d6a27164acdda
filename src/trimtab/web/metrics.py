"""Health for supervisors, and a few figures as Prometheus text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from trimtab.core import SpanQuery
from trimtab.gateway import health_lines

from .frame import LIVE_STATES, Frame

MINUTE_NS = 60_000_000_000
RECENT_MIN = 5
#: Name, kind and meaning of what is counted besides the routes.
_COUNTED = {
    "refused": ("refused_total", "counter", "Requests that were turned away and can be explained."),
    "unauthorized": ("unauthorized_total", "counter", "Requests whose key opened nothing."),
    "queue_waits": ("queue_waits_total", "counter", "Requests that waited for a place or for reserved money."),
    "queue_wait_seconds": ("queue_wait_seconds_total", "counter", "Seconds that requests waited in a queue."),
    "queue_waiting": ("queue_waiting", "gauge", "Requests that wait in a queue."),
    "texts_kept": ("traces_texts_kept_total", "counter", "Traces that kept their texts where sampling decided."),
    "texts_dropped": ("traces_texts_dropped_total", "counter", "Traces whose texts sampling dropped."),
}


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
        "# HELP trimtab_event_loop_lag_seconds Longest delay of an event loop within the last minute.",
        "# TYPE trimtab_event_loop_lag_seconds gauge",
        *(f'trimtab_event_loop_lag_seconds{{process="{kind}"}} {s:.6f}' for kind, s in house.loop_lag().items()),
        *_counted(house.figures()),
        *health_lines(house.health()),
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4; charset=utf-8")


def _counted(figures: Mapping[str, float]) -> Iterator[str]:
    for key, (name, kind, said) in _COUNTED.items():
        yield f"# HELP trimtab_{name} {said}"
        yield f"# TYPE trimtab_{name} {kind}"
        yield f"trimtab_{name} {figures.get(key, 0.0):.10g}"
