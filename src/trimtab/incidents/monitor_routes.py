"""Monitors over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import actor_of, body_as
from trimtab.watch import Monitor, MonitorBook, Watch, content_of, monitor_of

from .desk import Desk
from .paging.channels import Rota
from .watching import MonitorRow, row_of, rows, sights, unreachable

#: Incidents that are looked through for alarms.
LOOKED_AT = 200
_MAX_BODY = 64 * 1024

T = TypeVar("T")


class Saved(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that makes or changes a monitor. What is left out stays as it is, for a new one as it is usual."""

    signal: str | None = None
    owner: str | None = None
    action: str | None = None
    severity: int | None = None
    runbook: str | None = None
    project: str | None = None
    slice: str | None = None
    detector: str | None = None
    threshold: float | msgspec.UnsetType | None = msgspec.UNSET
    objective: float | msgspec.UnsetType | None = msgspec.UNSET
    actor: str = ""
    note: str = ""


class Made(Saved, kw_only=True, forbid_unknown_fields=True):
    """The body of a new monitor."""

    name: str


class Tried(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a trial: a monitor by its name, or one as it would be saved."""

    name: str = ""
    hours: float = 24.0
    monitor: Saved = msgspec.field(default_factory=Saved)


def routes(book: MonitorBook, watch: Watch, desk: Desk, rota: Rota) -> list[Route]:
    """``/api/monitors``: list, read, make, change, remove, try."""

    async def listed(request: Request) -> Response:
        known = await desk.list(limit=LOOKED_AT)
        found = [_told(row) for row in rows(book, watch, known)]
        return _json({"monitors": found, "unreachable": unreachable(book.entries, rota)})

    async def one(request: Request) -> Response:
        return await told(_name(request))

    async def told(name: str, status: int = 200) -> Response:
        row = row_of(book, watch, await desk.list(limit=LOOKED_AT), name)
        sight = [
            {**asdict(s.standing), "smallest": s.smallest, "sees": [asdict(one) for one in s.sees]} for s in sights(row)
        ]
        return _json({**_told(row), "slices": sight}, status)

    async def make(request: Request) -> Response:
        body = await _body(request, Made)
        monitor = _applied(None, body.name, body)
        await book.save(monitor, actor=actor_of(request.scope, body.actor), note=body.note, new=True)
        return await told(body.name, 201)

    async def change(request: Request) -> Response:
        body, name = await _body(request, Saved), _name(request)
        monitor = _applied(book.find(name).monitor, name, body)
        await book.save(monitor, actor=actor_of(request.scope, body.actor), note=body.note)
        return await told(name)

    async def remove(request: Request) -> Response:
        query = request.query_params
        actor = actor_of(request.scope, query.get("actor", "")[:200])
        await book.remove(_name(request), actor=actor, note=query.get("note", "")[:2000])
        return Response(status_code=204)

    async def tried(request: Request) -> Response:
        body = await _body(request, Tried)
        known = book.find(body.name).monitor if body.name else None
        monitor = _applied(known, body.name or "a new monitor", body.monitor)
        return _json(asdict(await book.trial(monitor, body.hours)))

    return [
        Route("/api/monitors", listed, methods=["GET"]),
        Route("/api/monitors", make, methods=["POST"]),
        Route("/api/monitors/test", tried, methods=["POST"]),
        Route("/api/monitors/{name}", one, methods=["GET"]),
        Route("/api/monitors/{name}", change, methods=["PATCH"]),
        Route("/api/monitors/{name}", remove, methods=["DELETE"]),
    ]


def _applied(known: Monitor | None, name: str, body: Saved) -> Monitor:
    """The monitor with what the body says. Raises BadInput that names the field."""
    content: dict[str, Any] = dict(content_of(known)) if known is not None else {}
    for field in ("signal", "owner", "action", "severity", "runbook", "project", "slice", "detector"):
        if (value := getattr(body, field)) is not None:
            content[field] = value
    for field in ("threshold", "objective"):
        if (value := getattr(body, field)) is not msgspec.UNSET:
            content[field] = value
    return monitor_of(name, {key: value for key, value in content.items() if value is not None})


def _told(row: MonitorRow) -> dict[str, Any]:
    entry, standing = row.entry, row.standing
    return {
        **asdict(entry.monitor),
        "state": row.state,
        "origin": entry.origin,
        "version": entry.number,
        "behind": entry.behind,
        "layer": row.layer,
        "reference": row.n,
        "slices": len(row.slices),
        "evidence": row.e_value,
        "needed": standing.threshold if standing else 0.0,
        "incident": row.incident,
        "alarm_ns": row.alarm_ns,
    }


def _name(request: Request) -> str:
    return str(request.path_params["name"])


async def _body(request: Request, shape: type[T]) -> T:
    return body_as(await request.body(), shape, mend="`trimtab monitor add --help`.", most=_MAX_BODY)


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
