"""Probes over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import actor_of, body_as, whole_number

from .declaration import KINDS
from .probes import Probes, View
from .records import Run

_MOST_RUNS = 500


class Act(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of an action."""

    actor: str = ""


def routes(probes: Probes) -> list[Route]:
    """The probes' part of the control API."""

    async def listed(request: Request) -> Response:
        return _json({"probes": [view_json(view) for view in await probes.views()]})

    async def one(request: Request) -> Response:
        name = str(request.path_params["name"])
        view = await probes.view(name)
        runs = await probes.recent(name, whole_number(request.query_params, "limit", 50, _MOST_RUNS, least=1))
        return _json({**view_json(view), "runs": [run_json(run) for run in runs]})

    async def run(request: Request) -> Response:
        actor = actor_of(request.scope, (await _body(request)).actor)
        begun = await probes.run(str(request.path_params["name"]), actor)
        return _json(run_json(begun), 202)

    async def accept(request: Request) -> Response:
        actor = actor_of(request.scope, (await _body(request)).actor)
        return _json(view_json(await probes.accept(str(request.path_params["name"]), actor)))

    return [
        Route("/api/probes", listed, methods=["GET"]),
        Route("/api/probes/{name}", one, methods=["GET"]),
        Route("/api/probes/{name}/run", run, methods=["POST"]),
        Route("/api/probes/{name}/accept", accept, methods=["POST"]),
    ]


def view_json(view: View) -> dict[str, Any]:
    """A probe for JSON."""
    one, kind = view.declared, KINDS[view.declared.kind]
    return {
        "name": one.name, "kind": one.kind, "layer": int(kind.layer), "target": one.target, "dataset": one.dataset,
        "state": state_of(view), "asleep": view.asleep, "every_s": one.every_s, "next_ns": view.next_ns,
        "budget": {"usd": one.usd, "calls": one.calls},
        "spent": {"calls": view.spent.calls, "usd": view.spent.usd, "unpriced": view.spent.unpriced},
        "owner": one.owner, "action": one.action, "severity": one.severity, "runbook": one.runbook,
        "incident": view.incident, "last": run_json(view.last) if view.last else None, "value": kind.value,
    }  # fmt: skip


def state_of(view: View) -> str:
    """In one word: running, alarm, moved, learning, ok, unknown, failed, asleep or new."""
    if view.running:
        return "running"
    if view.condition in ("alarm", "moved"):
        return view.condition
    if view.asleep:
        return "asleep"
    if view.last is not None and view.last.state == "failed":
        return "failed"
    return view.condition or "new"


def run_json(run: Run) -> dict[str, Any]:
    """A run for JSON."""
    return {name: getattr(run, name) for name in Run.__dataclass_fields__}


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def _body(request: Request) -> Act:
    return body_as(await request.body(), Act, mend='Send {"actor": "..."}.')
