"""Monitors and actions over HTTP: what is asked, what is answered, who acted."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from incident_world import Truth, World
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from trimtab.core import TrimtabError
from trimtab.incidents import Person, Rota, monitor_routes, routes
from trimtab.watch import MonitorBook, check_content

Ask = Callable[..., Awaitable[tuple[int, Any]]]


async def refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TrimtabError)
    return JSONResponse({"detail": error.message, "field": error.field}, error.status)


@pytest.fixture
def ask(world: World) -> Ask:
    world.registry._checks = {"monitors": check_content}
    desk = world.desk(None)
    book = MonitorBook(
        registry=world.registry, watch=world.watch, store=world.store, defaults=world.watch.monitors, file=(),
        clock=world.clock,
    )  # fmt: skip
    rota = Rota(people={"owner-prompt": Person(name="owner-prompt", channels=("pd",))})
    every = [*routes(desk), *monitor_routes(book, world.watch, desk, rota)]
    app = Starlette(routes=every, exception_handlers={TrimtabError: refused})

    async def send(method: str, target: str, body: Any = None, **scope: Any) -> tuple[int, Any]:
        path, _, query = target.partition("?")
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def take(message: Any) -> None:
            sent.append(message)

        await app(
            {
                "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
                "query_string": query.encode(), "headers": [], "scheme": "http", "server": ("127.0.0.1", 80),
                "client": ("127.0.0.1", 1), "root_path": "", **scope,
            },
            receive, take,
        )  # fmt: skip
        text = b"".join(m.get("body", b"") for m in sent[1:])
        return sent[0]["status"], json.loads(text) if text else None

    send.desk = desk  # type: ignore[attr-defined]
    return send


async def test_a_monitor_is_made_read_changed_tried_and_turned_off(ask: Ask, world: World) -> None:
    status, listed = await ask("GET", "/api/monitors")
    assert status == 200
    assert {m["origin"] for m in listed["monitors"]} == {"built in"}
    assert "owner-app" in listed["unreachable"]
    assert "owner-prompt" not in listed["unreachable"]
    new = {"name": "billing", "signal": "cites", "slice": "billing", "owner": "ilse", "action": "page", "actor": "mara"}
    status, made = await ask("POST", "/api/monitors", new)
    assert (status, made["state"], made["version"], made["severity"]) == (201, "idle", 1, 2)
    await world.serve(ask.desk, 130)  # type: ignore[attr-defined]
    status, one = await ask("GET", "/api/monitors/billing")
    assert (one["state"], one["slices"][0]["slice"]) == ("watching", "billing")
    assert one["slices"][0]["sees"][0]["fall"] == 0.2
    status, changed = await ask("PATCH", "/api/monitors/billing", {"threshold": 0.1, "actor": "mara"})
    assert (status, changed["threshold"], changed["owner"], changed["version"]) == (200, 0.1, "ilse", 2)
    status, changed = await ask("PATCH", "/api/monitors/billing", {"threshold": None})
    assert (changed["threshold"], changed["version"]) == (None, 1), "the same content is the same version"
    await world.store.flush()
    status, tried = await ask("POST", "/api/monitors/test", {"name": "billing", "hours": 1})
    assert (status, tried["seen"], tried["alarms"]) == (200, 130, 0)
    floor = {"signal": "cites", "owner": "x", "action": "note", "detector": "floor", "threshold": 0.999}
    status, tried = await ask("POST", "/api/monitors/test", {"hours": 1, "monitor": floor})
    assert (status, tried["seen"]) == (200, 130)
    assert (await ask("DELETE", "/api/monitors/billing?actor=mara&note=enough"))[0] == 204
    assert (await ask("GET", "/api/monitors/billing"))[1]["state"] == "off"
    assert {c.actor for c in world.registry.changes() if c.kind == "monitors"} == {"mara", "api"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/api/monitors", {"name": "x", "signal": "cites", "slice": "a", "action": "page"}, 400, "owner"),
        ("POST", "/api/monitors", {"name": "x", "signal": "cites", "slice": "a", "owner": "m"}, 400, "action"),
        ("POST", "/api/monitors", {"signal": "cites"}, 400, "body"),
        ("POST", "/api/monitors", {"name": "x", "signal": "cites", "owner": "m", "x": 1}, 400, "body"),
        ("POST", "/api/monitors", {"name": "a b", "signal": "cites", "slice": "z", "owner": "m", "action": "page"}, 400,
         "name"),
        ("POST", "/api/monitors", {"name": "cites", "signal": "cites", "owner": "m", "action": "page"}, 409, "name"),
        ("PATCH", "/api/monitors/cites", {"severity": 7}, 400, "severity"),
        ("PATCH", "/api/monitors/nothing", {"severity": 1}, 404, "name"),
        ("PATCH", "/api/monitors/cites", b"{", 400, "body"),
        ("DELETE", "/api/monitors/nothing", None, 404, "name"),
        ("POST", "/api/monitors/test", {"name": "cites", "hours": 0}, 400, "hours"),
        ("POST", "/api/monitors/test", {"name": "cites", "hours": 1e9}, 400, "hours"),
        ("POST", "/api/monitors/test", {"hours": 1}, 400, "signal"),
        ("POST", "/api/incidents/1/actions", {"action": "pray", "actor": "kim"}, 400, "action"),
        ("POST", "/api/incidents/1/actions", {"action": "rollback", "actor": "kim"}, 409, "id"),
        ("POST", "/api/incidents/1/actions", {}, 400, "body"),
        ("POST", "/api/incidents/9/actions", {"action": "switch_route", "actor": "kim"}, 404, "id"),
        ("POST", "/api/incidents/1/undo", {"actor": "kim"}, 409, "deed"),
        ("POST", "/api/incidents/1/undo", {"actor": "kim", "deed": "act_x"}, 404, "deed"),
        ("GET", "/api/incidents/9/actions", None, 404, "id"),
    ],
)  # fmt: skip
async def test_what_cannot_be_names_its_field(  # house: parameters because each case is one request and its answer
    ask: Ask, world: World, method: str, path: str, body: Any, status: int, field: str
) -> None:
    if "/incidents/1/" in path:
        await unexplained(ask, world)
    answered, problem = await ask(method, path, body)
    assert (answered, problem["field"]) == (status, field)


async def unexplained(ask: Ask, world: World) -> None:
    await world.serve(ask.desk, 120)  # type: ignore[attr-defined]
    world.truth = Truth(usual=0.3)
    assert await world.serve(ask.desk, 400, until_alarm=True)  # type: ignore[attr-defined]


async def test_an_action_is_offered_taken_and_taken_back_by_whom_the_door_knows(ask: Ask, world: World) -> None:
    await unexplained(ask, world)
    _, found = await ask("GET", "/api/incidents/1/actions")
    offers = {offer["action"]: offer for offer in found["actions"]}
    assert offers["switch_route"]["text"]
    assert offers["pin_model"]["reason"]
    known = {"trimtab.actor": "kim", "trimtab.person": "kim", "trimtab.claims": False}
    status, done = await ask(
        "POST", "/api/incidents/1/actions", {"action": "switch_route", "actor": "somebody else"}, **known
    )  # fmt: skip
    assert (status, done["state"], done["deeds"][-1]["actor"]) == (200, "mitigated", "kim")
    assert world.registry.changes(limit=1)[0].actor == "kim"
    status, back = await ask("POST", "/api/incidents/1/undo", {"actor": "mara"})
    assert (back["state"], back["deeds"][-1]["undone_by"]) == ("open", "mara")
    _, report = await ask("GET", "/api/incidents/report")
    assert report["undone"] == 1
