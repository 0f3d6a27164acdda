"""Incidents over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import actor_of, body_as, whole_number

from .actions import Wanted
from .desk import Desk
from .figures import figures
from .postmortem import postmortem

_ACT = 'Send {"actor": "...", "text": "...", "lesson": "...", "reason": "..."}.'
#: A report looks back so many days, at so many incidents at most.
MAX_DAYS, MAX_REPORTED = 366, 5000
_DAY_NS = 86_400 * 10**9

T = TypeVar("T")


class Taken(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of an action beyond a rollback. ``target`` and ``to`` say on what, where that is not clear."""

    action: str
    actor: str = ""
    target: str = ""
    to: str = ""


class Undone(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that takes an action back; without ``deed`` the last one."""

    actor: str = ""
    deed: str = ""


class Allowed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that allows more replays; ``calls`` 0 is as many as are asked for."""

    actor: str = ""
    calls: int = 0


class Act(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of an action; ``lesson`` and ``reason`` are read where an incident closes, ``text`` in the others."""

    actor: str = ""
    text: str = ""
    lesson: str = ""
    reason: str = ""


def routes(desk: Desk) -> list[Route]:
    """The incidents' part of the control API."""

    async def listed(request: Request) -> Response:
        query = request.query_params
        found = await desk.list(state=query.get("state", ""), limit=whole_number(query, "limit", 50, 1000, least=1))
        return _json({"incidents": found})

    async def one(request: Request) -> Response:
        return _json(await desk.get(_id(request)))

    async def acknowledge(request: Request) -> Response:
        body = await _body(request, Act, _ACT)
        return _json(await desk.acknowledge(_id(request), actor_of(request.scope, body.actor)))

    async def rollback(request: Request) -> Response:
        body = await _body(request, Act, _ACT)
        return _json(await desk.rollback(_id(request), actor_of(request.scope, body.actor)))

    async def close(request: Request) -> Response:
        body = await _body(request, Act, _ACT)
        return _json(await desk.close(_id(request), actor_of(request.scope, body.actor), body.lesson, body.reason))

    async def resolve(request: Request) -> Response:
        body = await _body(request, Act, _ACT)
        return _json(await desk.resolve(_id(request), actor_of(request.scope, body.actor), body.text))

    async def note(request: Request) -> Response:
        body = await _body(request, Act, _ACT)
        return _json(await desk.note(_id(request), "note", actor_of(request.scope, body.actor), body.text))

    async def written(request: Request) -> Response:
        text = postmortem(await desk.get(_id(request)))
        return Response(text, media_type="text/markdown; charset=utf-8")

    async def report(request: Request) -> Response:
        days = whole_number(request.query_params, "days", 30, MAX_DAYS, least=1)
        since = desk.now() - days * _DAY_NS
        found = [i for i in await desk.list(limit=MAX_REPORTED) if i.opened_ns >= since]
        return _json({"days": days, **msgspec.to_builtins(figures(found))})

    return [
        Route("/api/incidents/report", report, methods=["GET"]),
        Route("/api/incidents/{id:int}/resolve", resolve, methods=["POST"]),
        Route("/api/incidents/{id:int}/notes", note, methods=["POST"]),
        Route("/api/incidents/{id:int}/postmortem", written, methods=["GET"]),
        Route("/api/incidents", listed, methods=["GET"]),
        Route("/api/incidents/{id:int}", one, methods=["GET"]),
        Route("/api/incidents/{id:int}/acknowledge", acknowledge, methods=["POST"]),
        Route("/api/incidents/{id:int}/rollback", rollback, methods=["POST"]),
        *_actions(desk),
        Route("/api/incidents/{id:int}/close", close, methods=["POST"]),
    ]


def _actions(desk: Desk) -> list[Route]:
    """What can be done about an incident, doing it, and taking it back."""

    async def offers(request: Request) -> Response:
        return _json({"actions": desk.acts.offers(await desk.get(_id(request)))})

    async def act(request: Request) -> Response:
        body = await _body(request, Taken, 'Send {"action": "switch_route", "actor": "...", "target": "..."}.')
        wanted = Wanted(action=body.action, target=body.target[:200], to=body.to[:40])
        return _json(await desk.act(_id(request), wanted, actor_of(request.scope, body.actor)))

    async def undo(request: Request) -> Response:
        body = await _body(request, Undone, 'Send {"deed": "act_...", "actor": "..."}.')
        return _json(await desk.undo(_id(request), body.deed[:100], actor_of(request.scope, body.actor)))

    async def replay(request: Request) -> Response:
        body = await _body(request, Allowed, 'Send {"actor": "...", "calls": 350}.')
        return _json(await desk.allow_replays(_id(request), actor_of(request.scope, body.actor), body.calls))

    return [
        Route("/api/incidents/{id:int}/replay", replay, methods=["POST"]),
        Route("/api/incidents/{id:int}/actions", offers, methods=["GET"]),
        Route("/api/incidents/{id:int}/actions", act, methods=["POST"]),
        Route("/api/incidents/{id:int}/undo", undo, methods=["POST"]),
    ]


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _id(request: Request) -> int:
    # A larger number than the database holds is no incident either; asking for it would be an error there.
    return min(int(request.path_params["id"]), 2**63 - 1)


async def _body(request: Request, shape: type[T], mend: str) -> T:
    return body_as(await request.body(), shape, mend=mend)
