"""The change ledger over HTTP: what moved, taking it back, protected labels and gates, and events from elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput, parse_address

from .ledger import PRODUCTION
from .plans import Event
from .records import Search
from .registry import Registry, TakenBack
from .wire import actor_of, answer, asked, body_of, change_json, layer_of, limit_of, may_of, moment_of, whole


class Back(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that rolls one asset back, or with ``at`` everything to a moment."""

    kind: str = ""
    name: str = ""
    label: str = PRODUCTION
    at: str | int = ""
    dry_run: bool = False
    actor: str = ""
    note: str = ""


class Seen(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that records what happened elsewhere; a deployment of the application, unless it says otherwise."""

    kind: str = "application"
    name: str = "application"
    before: str = ""
    after: str = ""
    note: str = ""
    share: float = 1.0
    layer: str | int = ""
    actor: str = ""


class Why(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that undoes a change."""

    actor: str = ""
    note: str = ""


class NewProtection(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that protects a label: a role and a gate, each of which may be empty."""

    role: str = ""
    gate: str = ""
    actor: str = ""
    note: str = ""


class NewGate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that records whether a version passed a gate."""

    address: str
    gate: str
    passed: bool
    evidence: dict[str, Any] | str = ""
    actor: str = ""


def routes(registry: Registry) -> list[Route]:
    """The ledger's part of the control API."""
    return [*_back_routes(registry), *_change_routes(registry), *_protection_routes(registry), *_gate_routes(registry)]


def _back_routes(registry: Registry) -> list[Route]:
    async def back(request: Request) -> Response:
        body = await body_of(request, Back)
        actor, may = actor_of(request, body.actor), may_of(request)
        if body.at != "":
            if body.kind or body.name:
                mend = "Name an asset, or a moment for everything."
                raise BadInput("An asset and a moment were both named.", field="at", mend=mend)
            moment = moment_of(body.at, "at")
            done = await registry.rewind(moment, actor=actor, note=body.note, dry_run=body.dry_run, may=may)
            return answer({**_taken_back(done), "at_ns": moment, "dry_run": body.dry_run})
        for field in ("kind", "name"):
            if not getattr(body, field):
                mend = "Name the asset to roll back, or a moment as 'at'."
                raise BadInput(f"The {field} is missing.", field=field, mend=mend)
        change = await registry.rollback(body.kind, body.name, actor=actor, note=body.note, label=body.label, may=may)
        return answer(change_json(change))

    async def undo(request: Request) -> Response:
        body = await body_of(request, Why)
        done = await registry.undo(
            request.path_params["id"], actor=actor_of(request, body.actor), note=body.note, may=may_of(request)
        )
        return answer(_taken_back(done))

    return [
        Route("/api/rollback", back, methods=["POST"]),
        Route("/api/changes/{id}/undo", undo, methods=["POST"]),
    ]


def _change_routes(registry: Registry) -> list[Route]:
    async def changes(request: Request) -> Response:
        kind, name, label, group = (request.query_params.get(key, "") for key in ("kind", "name", "label", "group"))
        found, cursor = await registry.search(
            Search(
                kind=kind,
                name=name,
                label=label,
                group=group,
                since_ns=whole(request, "since_ns"),
                until_ns=whole(request, "until_ns"),
                before=whole(request, "cursor"),
                limit=limit_of(request),
            )
        )
        return answer({"changes": [change_json(change) for change in found], "cursor": str(cursor) if cursor else ""})

    async def seen(request: Request) -> Response:
        body = await body_of(request, Seen)
        event = Event(
            kind=body.kind, name=body.name, before=body.before, after=body.after, share=body.share,
            layer=layer_of(body.layer),
        )  # fmt: skip
        change = await registry.record_event(event, actor=actor_of(request, body.actor), note=body.note)
        return answer(change_json(change), 201)

    return [
        Route("/api/changes", changes, methods=["GET"]),
        Route("/api/changes", seen, methods=["POST"]),
    ]


def _protection_routes(registry: Registry) -> list[Route]:
    async def shown(request: Request) -> Response:
        return answer(await _protection(registry, request))

    async def protect(request: Request) -> Response:
        body, path = await body_of(request, NewProtection, needed=True), request.path_params
        await registry.protect(
            (path["kind"], path["name"]), path["label"], role=body.role, gate=body.gate,
            actor=actor_of(request, body.actor), note=body.note, may=may_of(request),
        )  # fmt: skip
        return answer(await _protection(registry, request))

    where = "/api/labels/{kind}/{name}/{label}/protection"
    return [Route(where, shown, methods=["GET"]), Route(where, protect, methods=["PUT"])]


def _gate_routes(registry: Registry) -> list[Route]:
    async def gates(request: Request) -> Response:
        address = parse_address(asked(request, "address"))
        number = address.number or registry.resolve(address).version.number
        found = await registry.gates((address.kind, address.name), number, limit_of(request))
        return answer({"gates": [asdict(gate) for gate in found]})

    async def record(request: Request) -> Response:
        body = await body_of(request, NewGate)
        address = parse_address(body.address)
        number = address.number or registry.resolve(address).version.number
        evidence = {"text": body.evidence} if isinstance(body.evidence, str) else body.evidence
        gate = await registry.record_gate(
            (address.kind, address.name), number, body.gate, passed=body.passed,
            evidence=evidence, actor=actor_of(request, body.actor),
        )  # fmt: skip
        return answer(asdict(gate), 201)

    return [Route("/api/gates", gates, methods=["GET"]), Route("/api/gates", record, methods=["POST"])]


async def _protection(registry: Registry, request: Request) -> dict[str, Any]:
    """What protects a label now, and everything that ever did, newest first."""
    path = request.path_params
    asset, label = (path["kind"], path["name"]), path["label"]
    registry.count(*asset)
    now = registry.protections(*asset).get(label)
    history = await registry.protected(asset, label)
    return {
        "kind": asset[0],
        "name": asset[1],
        "label": label,
        "role": now.role if now else "",
        "gate": now.gate if now else "",
        "history": [asdict(protection) for protection in history],
    }


def _taken_back(done: TakenBack) -> dict[str, Any]:
    return {"group": done.group, "changes": [change_json(change) for change in done.changes], "left": list(done.left)}
