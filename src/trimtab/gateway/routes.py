"""Keys, teams, usage and refusals over HTTP. Errors are raised; the web layer makes Problem Details of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import body_as, whole_number

from .keys import KEY_LIMITS, Key, Keys
from .limitset import LIMITS
from .reports import GROUPS, Reports
from .teams import Teams

T = TypeVar("T")

_DAYS = 30


class LimitFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Limits in a body. One that is absent does not limit, or stays as it is; null takes it away."""

    rpm: int | UnsetType | None = UNSET
    tpm: int | UnsetType | None = UNSET
    max_parallel: int | UnsetType | None = UNSET
    max_queue: int | UnsetType | None = UNSET
    queue_timeout: float | UnsetType | None = UNSET
    budget_usd: float | UnsetType | None = UNSET
    period: str | UnsetType | None = UNSET


class NewKey(LimitFields, kw_only=True, forbid_unknown_fields=True):
    """The body that makes a key."""

    name: str
    owner: str = ""
    team: str = ""
    role: str = "member"
    expires_ns: int = 0
    routes: list[str] | UnsetType | None = UNSET


class ChangedKey(LimitFields, kw_only=True, forbid_unknown_fields=True):
    """The body that changes a key; what is absent stays."""

    name: str | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    team: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    expires_ns: int | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    routes: list[str] | UnsetType | None = UNSET


class Rotation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a rotation: for how many seconds the secret before still opens the door."""

    overlap_s: float = 0.0


def routes(keys: Keys, teams: Teams | None = None, reports: Reports | None = None) -> list[Route]:
    """The gateway's part of the control API; usage and refusals where there is a ledger to read."""
    found = _key_routes(keys)
    if teams is not None:
        found += _team_routes(teams)
    if reports is not None:
        found += _usage_routes(keys, reports)
    return found


def _key_routes(keys: Keys) -> list[Route]:
    async def listing(request: Request) -> Response:
        return _json({"keys": [shown(key) for key in keys.list()]})

    async def create(request: Request) -> Response:
        body = body_as(await request.body(), NewKey, mend='Send {"name": "checkout-bot", "owner": "mara"}.')
        key, secret = await keys.create(
            body.name,
            owner=body.owner,
            role=body.role,
            expires_ns=body.expires_ns,
            limits=merged({}, body, KEY_LIMITS),
            team=body.team,
        )
        return _json({**shown(key), "secret": secret}, 201)

    async def one(request: Request) -> Response:
        return _json(shown(keys.get(request.path_params["id"])))

    async def change(request: Request) -> Response:
        body = body_as(await request.body(), ChangedKey, mend='Send {"rpm": 600, "tpm": null}.', needed=True)
        key = keys.get(request.path_params["id"])
        names = ("name", "owner", "team", "role", "expires_ns", "disabled")
        fields = {name: value for name in names if (value := getattr(body, name)) is not UNSET}
        limits = merged(key.limits, body, KEY_LIMITS)
        return _json(shown(await keys.change(key.id, **fields, limits=limits)))

    async def rotate(request: Request) -> Response:
        body = body_as(await request.body(), Rotation, mend='Send {"overlap_s": 3600}.')
        key, secret = await keys.rotate(request.path_params["id"], overlap_s=body.overlap_s)
        return _json({**shown(key), "secret": secret})

    async def disable(request: Request) -> Response:
        return _json(shown(await keys.disable(request.path_params["id"])))

    return [
        Route("/api/keys", listing, methods=["GET"]),
        Route("/api/keys", create, methods=["POST"]),
        Route("/api/keys/{id}", one, methods=["GET"]),
        Route("/api/keys/{id}", change, methods=["PATCH"]),
        Route("/api/keys/{id}/rotate", rotate, methods=["POST"]),
        Route("/api/keys/{id}/disable", disable, methods=["POST"]),
    ]


def _team_routes(teams: Teams) -> list[Route]:
    async def listing(request: Request) -> Response:
        return _json({"teams": [{"name": name, "limits": dict(limits)} for name, limits in teams.list()]})

    async def put(request: Request) -> Response:
        name = request.path_params["name"]
        mend = 'Send {"budget_usd": 500, "period": "month"}; {} takes every limit away.'
        body = body_as(await request.body(), LimitFields, mend=mend, needed=True)
        await teams.put(name, merged({}, body, LIMITS))
        return _json({"name": name, "limits": dict(teams.get(name))})

    async def remove(request: Request) -> Response:
        await teams.remove(request.path_params["name"])
        return Response(status_code=204)

    return [
        Route("/api/teams", listing, methods=["GET"]),
        Route("/api/teams/{name}", put, methods=["PUT"]),
        Route("/api/teams/{name}", remove, methods=["DELETE"]),
    ]


def _usage_routes(keys: Keys, reports: Reports) -> list[Route]:
    async def key_usage(request: Request) -> Response:
        return _json(await reports.of_key(keys.get(request.path_params["id"]), _days(request)))

    async def team_usage(request: Request) -> Response:
        return _json(await reports.of_team(request.path_params["name"], _days(request)))

    async def usage(request: Request) -> Response:
        by = [name for name in request.query_params.get("by", "model").split(",") if name]
        return _json({"usage": await reports.usage(by, _where(request, GROUPS[1:]), _days(request))})

    async def refusals(request: Request) -> Response:
        limit = _number(request, "limit", 50)
        found, cursor = await reports.refusals(
            _where(request, ("key", "team", "route", "code")), request.query_params.get("cursor", ""), limit
        )
        return _json({"refusals": found, "cursor": cursor})

    async def refusal(request: Request) -> Response:
        return _json(await reports.refusal(request.path_params["id"]))

    return [
        Route("/api/keys/{id}/usage", key_usage, methods=["GET"]),
        Route("/api/teams/{name}/usage", team_usage, methods=["GET"]),
        Route("/api/usage", usage, methods=["GET"]),
        Route("/api/refusals", refusals, methods=["GET"]),
        Route("/api/refusals/{id}", refusal, methods=["GET"]),
    ]


def merged(before: Any, body: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The limits with what the body says of them."""
    said = {name: value for name in names if (value := getattr(body, name)) is not UNSET}
    return {name: value for name, value in {**before, **said}.items() if value is not None}


def shown(key: Key) -> dict[str, Any]:
    """A key as anybody may see it."""
    return {**asdict(key), "limits": dict(key.limits)}


def _days(request: Request) -> int:
    return _number(request, "days", _DAYS)


def _number(request: Request, name: str, default: int) -> int:
    return whole_number(request.query_params, name, default, 10**9)


def _where(request: Request, names: tuple[str, ...]) -> dict[str, str]:
    # An empty value counts: it asks for what belongs to nobody, such as Trimtab's own requests.
    return {name: request.query_params[name] for name in names if name in request.query_params}


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")
