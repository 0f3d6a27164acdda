"""Keys over HTTP: the control API's ``/api/keys``. Errors are raised; the web layer makes Problem Details of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput

from .keys import LIMITS, Key, Keys


class NewKey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that makes a key. A limit that is absent does not limit."""

    name: str
    owner: str = ""
    role: str = "member"
    expires_ns: int = 0
    rpm: int | None = None
    max_parallel: int | None = None
    routes: list[str] | None = None


def routes(keys: Keys) -> list[Route]:
    """The gateway's part of the control API."""

    async def listing(request: Request) -> Response:
        return _json({"keys": [shown(key) for key in keys.list()]})

    async def create(request: Request) -> Response:
        body = read_new_key(await request.body())
        limits = {name: value for name in LIMITS if (value := getattr(body, name)) is not None}
        key, secret = await keys.create(
            body.name, owner=body.owner, role=body.role, expires_ns=body.expires_ns, limits=limits
        )
        return _json({**shown(key), "secret": secret}, 201)

    async def disable(request: Request) -> Response:
        return _json(shown(await keys.disable(request.path_params["id"])))

    return [
        Route("/api/keys", listing, methods=["GET"]),
        Route("/api/keys", create, methods=["POST"]),
        Route("/api/keys/{id}/disable", disable, methods=["POST"]),
    ]


def read_new_key(body: bytes) -> NewKey:
    """The body of a new key. Raises BadInput naming what is wrong with it."""
    try:
        return msgspec.json.decode(body, type=NewKey)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = str(error)
        field = said.rpartition("`$.")[2].rstrip("`") if "`$." in said else "body"
        raise BadInput(f"{said}.", field=field, mend='Send {"name": "checkout-bot", "owner": "mara"}.') from error


def shown(key: Key) -> dict[str, Any]:
    """A key as anybody may see it."""
    return {**asdict(key), "limits": dict(key.limits)}


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")
