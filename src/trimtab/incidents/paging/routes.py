"""Channels and notices over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .pager import Pager
from .payloads import address_of

_MOST = 200


def routes(pager: Pager) -> list[Route]:
    """``GET /api/channels``, ``POST /api/channels/{name}/test``, ``GET /api/notices``."""

    async def channels(request: Request) -> Response:
        rota = pager.rota
        return _json(
            {
                "channels": [
                    # The path of a webhook is a secret: only the host is told.
                    {"name": c.name, "kind": c.kind, "host": urlsplit(address_of(c)).hostname or "", "to": list(c.to)}
                    for c in rota.channels.values()
                ],
                "people": [
                    {
                        "name": p.name,
                        "channels": list(p.channels),
                        "next": p.next,
                        "quiet": f"{p.quiet.start:%H:%M}-{p.quiet.end:%H:%M} {p.quiet.zone.key}" if p.quiet else "",
                    }
                    for p in rota.people.values()
                ],
                "usual": list(rota.usual),
                "escalate_after_s": rota.escalate_after_s,
                "heartbeat": bool(rota.heartbeat),
            }
        )

    async def test(request: Request) -> Response:
        return _json({"said": await pager.test(request.path_params["name"])})

    async def notices(request: Request) -> Response:
        return _json({"notices": await pager.recent(_MOST)})

    return [
        Route("/api/channels", channels, methods=["GET"]),
        Route("/api/channels/{name}/test", test, methods=["POST"]),
        Route("/api/notices", notices, methods=["GET"]),
    ]


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
