"""Rollouts over HTTP: what comes back, and errors that name the field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from rollout_world import World
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from trimtab.core import TrimtabError
from trimtab.rollouts import Controller, routes

GUARD = {"metric": "quality", "margin": 0.05}
NEW = {"kind": "prompts", "name": "answer", "number": 2, "actor": "mara"}


async def problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, TrimtabError)
    body = {"detail": error.message, "field": error.field, "mend": error.mend}
    return JSONResponse(body, status_code=error.status)


@dataclass
class Answer:
    status: int
    body: Any


@dataclass
class Api:
    """The routes over ASGI."""

    world: World
    controller: Controller

    def __post_init__(self) -> None:
        self.app = Starlette(
            routes=routes(self.controller, self.world.registry), exception_handlers={TrimtabError: problem}
        )

    async def __call__(self, method: str, target: str, body: Any = None) -> Answer:
        path, _, query = target.partition("?")
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": query.encode(), "headers": [(b"content-length", str(len(data)).encode())],
            "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": "",
            "trimtab.actor": "admin", "trimtab.role": "admin",
        }  # fmt: skip
        await self.app(scope, receive, send)
        return Answer(sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:])))


@pytest.fixture
async def api(world: World) -> Api:
    return Api(world, await world.controller())


async def test_the_life_of_a_rollout(api: Api) -> None:
    started = await api("POST", "/api/rollouts", {**NEW, "guards": [GUARD], "note": "shorter"})
    assert (started.status, started.body["action"], started.body["share"]) == (201, "rollout", 0.05)
    rollout = started.body["rollout"]
    listed = (await api("GET", "/api/rollouts?running=1")).body["rollouts"]
    assert [(r["id"], r["mode"], r["paused"]) for r in listed] == [(rollout, "auto", "")]
    assert "to go in this stage" in listed[0]["decision"]
    await api.world.serve(200, api.controller)
    shown = (await api("GET", f"/api/rollouts/{rollout}")).body
    assert shown["plan"]["stages"] == [0.05, 0.25, 0.5, 1.0]
    assert shown["guards"][0]["base_n"] + shown["guards"][0]["candidate_n"] == 200
    assert shown["decision"]["action"] == "hold"
    assert [event["text"] for event in shown["events"]] == ["shorter"]
    assert shown["passes"] is False

    paused = await api("POST", f"/api/rollouts/{rollout}/pause", {"actor": "jonas", "reason": "lunch"})
    assert paused.body["paused"] == "by jonas: lunch"
    assert (await api("POST", f"/api/rollouts/{rollout}/pause", {})).status == 409
    assert (await api("POST", f"/api/rollouts/{rollout}/resume", {"actor": "jonas"})).body["paused"] == ""
    moved = await api("POST", f"/api/rollouts/{rollout}/share", {"share": 0.3, "actor": "mara"})
    assert (moved.body["action"], moved.body["share"], moved.body["actor"]) == ("share", 0.3, "mara")
    assert moved.body["note"] == "From 5 % to 30 % by hand."
    refused = await api("POST", f"/api/rollouts/{rollout}/promote", {"actor": "mara"})
    assert (refused.status, refused.body["field"]) == (400, "reason")
    done = await api("POST", f"/api/rollouts/{rollout}/promote", {"actor": "mara", "note": "urgent"})
    assert (done.body["action"], done.body["label"], done.body["layer"]) == ("promote", "production", 3)
    ended = (await api("GET", f"/api/rollouts/{rollout}")).body
    assert (ended["state"], ended["decision"]) == ("promoted", None)
    assert ended["guards"][0]["base_n"] > 0, "what the guards said last is kept"
    assert (await api("GET", "/api/rollouts?running=1")).body["rollouts"] == []
    assert (await api("POST", f"/api/rollouts/{rollout}/abort", {})).status == 409


async def test_a_share_without_stages_stays_until_somebody_moves_it(api: Api) -> None:
    started = await api("POST", "/api/rollouts", {**NEW, "share": 0.4})
    shown = (await api("GET", f"/api/rollouts/{started.body['rollout']}")).body
    assert (shown["share"], shown["plan"]["stages"], shown["plan"]["mode"]) == (0.4, [], "auto")
    assert {guard["metric"] for guard in shown["guards"]} >= {"quality", "allowed", "latency", "cost"}
    aborted = await api("POST", f"/api/rollouts/{started.body['rollout']}/abort", {"actor": "mara"})
    assert aborted.body["action"] == "abort"


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "field"),
    [
        ("POST", "/api/rollouts", b"{", 400, "body"),
        ("POST", "/api/rollouts", {}, 400, "body"),
        ("POST", "/api/rollouts", {**NEW, "number": "2"}, 400, "number"),
        ("POST", "/api/rollouts", {**NEW, "number": 9}, 404, "number"),
        ("POST", "/api/rollouts", {**NEW, "name": "a", "share": 2}, 404, "name"),
        ("POST", "/api/rollouts", {**NEW, "share": 2}, 400, "share"),
        ("POST", "/api/rollouts", {**NEW, "sticky": "cookie"}, 400, "sticky"),
        ("POST", "/api/rollouts", {**NEW, "stages": [0.5, 0.1]}, 400, "stages"),
        ("POST", "/api/rollouts", {**NEW, "mode": "yolo"}, 400, "mode"),
        ("POST", "/api/rollouts", {**NEW, "guards": [{"metric": "a", "margin": 2}]}, 400, "guards.margin"),
        ("POST", "/api/rollouts", {**NEW, "guards": [{"margin": 0.1}]}, 400, "guards[0]"),
        ("POST", "/api/rollouts/rol_x/share", {}, 400, "share"),
        ("POST", "/api/rollouts/rol_x/dance", {}, 400, "step"),
        ("POST", "/api/rollouts/rol_x/abort", {}, 404, "rollout"),
        ("POST", "/api/rollouts/rol_x/pause", {"who": "me"}, 400, "body"),
        ("GET", "/api/rollouts/rol_x", None, 404, "rollout"),
        ("GET", "/api/rollouts?limit=0", None, 400, "limit"),
    ],
)
async def test_bad_requests_name_the_field(
    api: Api, method: str, target: str, body: Any, status: int, field: str
) -> None:
    answer = await api(method, target, body)
    assert (answer.status, answer.body["field"]) == (status, field)
    assert answer.body["detail"]
    assert answer.body["mend"]
    assert api.world.registry.rollouts() == []
