"""Incidents over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput

from .desk import Desk


class Act(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of an action; ``lesson`` and ``reason`` are read where an incident closes."""

    actor: str = ""
    lesson: str = ""
    reason: str = ""


def routes(desk: Desk) -> list[Route]:
    """The incidents' part of the control API."""

    async def listed(request: Request) -> Response:
        found = await desk.list(state=request.query_params.get("state", ""), limit=_limit(request))
        return _json({"incidents": found})

    async def one(request: Request) -> Response:
        return _json(await desk.get(_id(request)))

    async def acknowledge(request: Request) -> Response:
        body = await _body(request)
        return _json(await desk.acknowledge(_id(request), _actor(request, body)))

    async def rollback(request: Request) -> Response:
        body = await _body(request)
        return _json(await desk.rollback(_id(request), _actor(request, body)))

    async def close(request: Request) -> Response:
        body = await _body(request)
        return _json(await desk.close(_id(request), _actor(request, body), body.lesson, body.reason))

    return [
        Route("/api/incidents", listed, methods=["GET"]),
        Route("/api/incidents/{id:int}", one, methods=["GET"]),
        Route("/api/incidents/{id:int}/acknowledge", acknowledge, methods=["POST"]),
        Route("/api/incidents/{id:int}/rollback", rollback, methods=["POST"]),
        Route("/api/incidents/{id:int}/close", close, methods=["POST"]),
    ]


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _id(request: Request) -> int:
    # A larger number than the database holds is no incident either; asking for it would be an error there.
    return min(int(request.path_params["id"]), 2**63 - 1)


async def _body(request: Request) -> Act:
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=Act)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # msgspec ends its message with the path of the field: "Expected `str`, got `int` - at `$.lesson`".
        what, _, where = str(error).partition(" - at `$")
        field = where.rstrip("`").lstrip(".") or "body"
        mend = 'Send {"actor": "...", "lesson": "...", "reason": "..."}.'
        raise BadInput(f"The body does not fit: {what}.", field=field, mend=mend) from error


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= 1000 and len(text) <= 4):
        raise BadInput(f"The limit {text[:40]!r} is out of range.", field="limit", mend="Give 1 to 1000.")
    return int(text)


def _actor(request: Request, body: Act) -> str:
    """Who acts: the name that the web layer authenticated, else what the caller says of itself."""
    return str(getattr(request.state, "actor", "") or body.actor or "api")
