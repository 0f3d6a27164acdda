"""What a supervisor asks for: whether the process lives, whether it is ready, and its figures as Prometheus text.

These are asked for every few seconds, also where nobody ever opens a page, and so they do without the pages' code.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from starlette.responses import PlainTextResponse

from trimtab.core import SpanQuery, TrimtabError
from trimtab.gateway import health_lines
from trimtab.incidents import LIVE, Incident
from trimtab.store import SpanBucket

from .house import House
from .roles import may
from .security import SecureHeaders, local_hosts

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
T = TypeVar("T")

#: Told to everybody: whether there is anybody.
OPEN = frozenset({"/healthz", "/readyz"})
METRICS = "/metrics"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MINUTE_NS = 60_000_000_000
#: Seconds that a store may take to answer for a probe: those who ask for health give up soon.
ANSWER_S = 0.8
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
    """That models are served, and a line for each thing that is degraded. A database that does not answer is such a
    thing: keys, routes and limits are in memory, and a load balancer must not take every server out for it."""
    spans, metadata = await asyncio.gather(
        _within("span store", house.spans.query(SpanQuery(limit=1))),
        _within("metadata database", house.desk.list(limit=1)),
    )
    away = [found.said for found in (spans, metadata) if found.said]
    return "ready\n" + "".join(f"but: {said}\n" for said in [*away, *house.details])


class _Found(NamedTuple, Generic[T]):
    """What a store answered, or what is to be said where it did not."""

    value: T | None
    said: str = ""


async def _within(name: str, asking: Coroutine[Any, Any, T]) -> _Found[T]:
    """What a store answers within ANSWER_S."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return _Found(await asking)
    except (TrimtabError, TimeoutError) as error:
        return _Found(None, f"the {name} does not answer ({type(error).__name__})")


async def metrics_text(house: House) -> str:
    """Everything that is counted. What only a store could tell is left out while that does not answer."""
    now = house.clock()
    spans, desk = await asyncio.gather(
        _within(
            "span store",
            house.spans.span_series(since_ns=now - RECENT_MIN * MINUTE_NS, until_ns=now + 1, bucket_s=60),
        ),
        _within("metadata database", house.desk.list(limit=200)),
    )
    degraded = len(house.details) + bool(spans.said) + bool(desk.said)
    lines = [
        "# HELP trimtab_spans_dropped_total Spans dropped because the recorder's queue was full.",
        "# TYPE trimtab_spans_dropped_total counter",
        f"trimtab_spans_dropped_total {house.spans.dropped}",
        *(_recent(spans.value) if spans.value is not None else ()),
        *(_open_incidents(desk.value) if desk.value is not None else ()),
        "# HELP trimtab_degraded Things that are degraded and do not stop requests; /readyz names them.",
        "# TYPE trimtab_degraded gauge",
        f"trimtab_degraded {degraded}",
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


def _recent(buckets: Sequence[SpanBucket]) -> Iterator[str]:
    requests = {
        "error": sum(b.errors for b in buckets),
        "refused": sum(b.refused for b in buckets),
    }
    requests["ok"] = sum(b.n for b in buckets) - requests["error"] - requests["refused"]
    yield f"# HELP trimtab_requests Requests recorded in the last {RECENT_MIN} minutes, by how they ended."
    yield "# TYPE trimtab_requests gauge"
    yield from (f'trimtab_requests{{status="{status}"}} {n}' for status, n in sorted(requests.items()))


def _open_incidents(incidents: Sequence[Incident]) -> Iterator[str]:
    live = Counter(incident.severity for incident in incidents if incident.state in LIVE)
    yield "# HELP trimtab_incidents_open Incidents that nobody has mitigated or closed."
    yield "# TYPE trimtab_incidents_open gauge"
    yield from (f'trimtab_incidents_open{{severity="{severity}"}} {live[severity]}' for severity in (1, 2, 3, 4))


def _counted(figures: Mapping[str, float]) -> Iterator[str]:
    for key, (name, kind, said) in _COUNTED.items():
        yield f"# HELP trimtab_{name} {said}"
        yield f"# TYPE trimtab_{name} {kind}"
        yield f"trimtab_{name} {figures.get(key, 0.0):.10g}"
