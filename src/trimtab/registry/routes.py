"""The registry over HTTP: versions and labels. Errors are raised for the web layer."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import parse_address

from . import ledger_routes
from .diff import difference
from .ledger import PRODUCTION
from .needs import Lineage
from .registry import Registry
from .wire import actor_of, answer, asked, body_of, change_json, limit_of, may_of, version_json


class NewVersion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that registers a version; ``label`` also moves that label onto it.

    ``parents`` are the versions that it was edited from, ``needs`` what it was tested with, by kind.
    """

    content: dict[str, Any]
    author: str = ""
    note: str = ""
    label: str = ""
    override: str = ""
    parents: list[int] = []
    needs: dict[str, str | list[str]] = {}


class NewLabel(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that moves a label; ``expect`` is the number it must stand at, ``override`` the reason for which a
    missing gate is passed over."""

    kind: str
    name: str
    number: int
    label: str = PRODUCTION
    actor: str = ""
    note: str = ""
    expect: int | None = None
    override: str = ""


def routes(registry: Registry) -> list[Route]:
    """The registry's part of the control API."""
    return [
        *_version_routes(registry),
        *_label_routes(registry),
        *_reading_routes(registry),
        *ledger_routes.routes(registry),
    ]


def _version_routes(registry: Registry) -> list[Route]:
    async def names(request: Request) -> Response:
        kind = request.path_params["kind"]
        every = registry.names(kind)
        names = every[: limit_of(request, 1000)]
        assets = [
            {"name": name, "versions": registry.count(kind, name), "labels": registry.labels(kind, name)}
            for name in names
        ]
        return answer({"kind": kind, "count": len(every), "names": names, "assets": assets})

    async def versions(request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        rollout = registry.running(kind, name)
        newest = registry.versions(kind, name, newest=limit_of(request))[::-1]
        return answer(
            {
                "kind": kind,
                "name": name,
                "labels": registry.labels(kind, name),
                "protections": {label: asdict(p) for label, p in registry.protections(kind, name).items()},
                "rollout": rollout and asdict(rollout),
                "count": registry.count(kind, name),
                "versions": [version_json(registry, version, content=False) for version in newest],
            }
        )

    async def register(request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        body = await body_of(request, NewVersion)
        author = actor_of(request, body.author)
        lineage = Lineage(parents=body.parents, needs=body.needs)
        version = await registry.register(kind, name, body.content, author=author, note=body.note, lineage=lineage)
        if body.label:
            await registry.move_label(
                kind, name, body.label, version.number, actor=author, note=body.note, may=may_of(request, body.override)
            )
        return answer(version_json(registry, version), 201)

    async def version(request: Request) -> Response:
        path = request.path_params
        await registry.ready(f"{path['name']}/{path['number']}", kind=path["kind"])
        return answer(version_json(registry, registry.version(path["kind"], path["name"], path["number"])))

    return [
        Route("/api/versions/{kind}", names, methods=["GET"]),
        Route("/api/versions/{kind}/{name}", versions, methods=["GET"]),
        Route("/api/versions/{kind}/{name}", register, methods=["POST"]),
        Route("/api/versions/{kind}/{name}/{number:int}", version, methods=["GET"]),
    ]


def _reading_routes(registry: Registry) -> list[Route]:
    async def diff(request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        places = [
            parse_address(f"{name}/{which}" if which.isdigit() else f"{name}@{which}", kind)
            for which in (asked(request, "from"), asked(request, "to"))
        ]
        for place in places:
            await registry.ready(place)
        old, new = (registry.resolve(place).version for place in places)
        # In a thread, because long texts take long to compare.
        found = await asyncio.to_thread(difference, kind, old.content, new.content)
        return answer({"kind": kind, "name": name, "from": old.number, "to": new.number, **found.as_dict()})

    async def resolve(request: Request) -> Response:
        address = parse_address(asked(request, "address"))
        given = {name: request.query_params.get(name, "") for name in ("key", "user", "request")}
        rollout = registry.running(address.kind, address.name) if address.label else None
        if rollout is not None and rollout.label != address.label:
            rollout = None
        await registry.ready(address)
        found = registry.resolve(address, key=_sticky(rollout.sticky, given) if rollout else "")
        version = found.version
        headers = {
            "etag": f'"{version.digest}"',
            "x-trimtab-version": version.pin,
            "x-trimtab-rollout": found.rollout,
            "x-trimtab-arm": found.arm,
            "x-trimtab-sticky": rollout.sticky if rollout else "",
            "cache-control": "no-cache",
        }
        known = request.headers.get("if-none-match", "")
        if f'"{version.digest}"' in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
            return Response(status_code=304, headers=headers)
        said = {"rollout": found.rollout, "arm": found.arm, "sticky": rollout.sticky if rollout else ""}
        return answer({**version_json(registry, version), **said}, headers=headers)

    return [
        Route("/api/versions/{kind}/{name}/diff", diff, methods=["GET"]),
        Route("/api/resolve", resolve, methods=["GET"]),
    ]


def _sticky(sticky: str, given: dict[str, str]) -> str:
    """What keeps a caller on one arm, as the gateway does it: session or user as the rollout asks, else the request."""
    session, user, request = given["key"], given["user"], given["request"]
    if sticky == "request":
        return request or session or user
    return (user or session or request) if sticky == "user" else (session or user or request)


def _label_routes(registry: Registry) -> list[Route]:
    async def labels(request: Request) -> Response:
        kind, name = asked(request, "kind"), asked(request, "name")
        registry.versions(kind, name)
        return answer({"kind": kind, "name": name, "labels": registry.labels(kind, name)})

    async def move(request: Request) -> Response:
        body = await body_of(request, NewLabel)
        change = await registry.move_label(
            body.kind,
            body.name,
            body.label,
            body.number,
            actor=actor_of(request, body.actor),
            note=body.note,
            expect=body.expect,
            may=may_of(request, body.override),
        )
        return answer(change_json(change))

    return [
        Route("/api/labels", labels, methods=["GET"]),
        Route("/api/labels", move, methods=["POST"]),
    ]
