"""What a supervisor asks for: whether the process lives, whether it is ready, and its figures as Prometheus text.

These are asked for every few seconds, also where nobody ever opens a page, and so they do without the pages' code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse

from trimtab.core import SpanQuery
from trimtab.gateway import health_lines
from trimtab.incidents import LIVE

from .house import House
from .roles import may
from .security import SecureHeaders, local_hosts

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Told to everybody: whether there is anybody.
OPEN = frozenset({"/healthz", "/readyz"})
METRICS = "/metrics"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
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


async def ready_text(house: House) -> str:
    """That the stores answer; an error of theirs is raised. What is degraded and does not stop requests is told, a
    line each."""
    await house.spans.query(SpanQuery(limit=1))
    return "ready\n" + "".join(f"but: {said}\n" for said in house.details)


async def metrics_text(house: House) -> str:
    """Everything that is counted."""
    now = house.clock()
    buckets = await house.spans.span_series(since_ns=now - RECENT_MIN * MINUTE_NS, until_ns=now + 1, bucket_s=60)
    requests = {
        "error": sum(b.errors for b in buckets),
        "refused": sum(b.refused for b in buckets),
    }
    requests["ok"] = sum(b.n for b in buckets) - requests["error"] - requests["refused"]
    live = Counter(i.severity for i in await house.desk.list(limit=200) if i.state in LIVE)
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
    return "\n".join(lines) + "\n"


class Vitals:
    """Answers these where there is nothing to refuse, and leaves every other request to ``others``, with its door.

    ``loopback`` and ``port`` are what the door knows as well; ``role`` tells the role of a live key by its secret.
    """

    def __init__(self, house: House, others: App, *, loopback: bool, port: int, role: Callable[[str], str]) -> None:
        self._house = house
        self._others = others
        self._hosts = local_hosts(port) if loopback else None
        self._role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: App | None = None
        if scope["type"] == "http" and (scope["path"] in OPEN or scope["path"] == METRICS) and self._passes(scope):
            app = await self._answer(scope["path"])
        await (app or self._others)(scope, receive, send)

    def _passes(self, scope: Scope) -> bool:
        if scope["method"] not in ("GET", "HEAD"):
            return False
        if self._hosts is not None:
            named = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
            return len(named) == 1 and named[0] in self._hosts
        if scope["path"] in OPEN:
            return True
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, secret = value.decode("latin-1").partition(" ")
                return scheme.lower() == "bearer" and may(self._role(secret.strip()), "GET", METRICS)
        return False

    async def _answer(self, path: str) -> App | None:
        try:
            if path == METRICS:
                return _text(await metrics_text(self._house), METRICS_TYPE)
            return _text("ok\n" if path == "/healthz" else await ready_text(self._house))
        except Exception:  # house: except because how an error is told, ours or not, is the others' business
            return None


def _text(said: str, kind: str = "text/plain; charset=utf-8") -> App:
    return SecureHeaders(PlainTextResponse(said, media_type=kind))


def _counted(figures: Mapping[str, float]) -> Iterator[str]:
    for key, (name, kind, said) in _COUNTED.items():
        yield f"# HELP trimtab_{name} {said}"
        yield f"# TYPE trimtab_{name} {kind}"
        yield f"trimtab_{name} {figures.get(key, 0.0):.10g}"
