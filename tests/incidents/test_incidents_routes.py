"""Incidents over HTTP, through Starlette itself."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from incident_world import PROMPTS, Truth, World
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from trimtab.core import TrimtabError
from trimtab.incidents import Desk, routes


class Answer(NamedTuple):
    status: int
    body: Any


async def problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TrimtabError)
    return JSONResponse({"detail": str(error), "field": error.field, "mend": error.mend}, error.status)


class Client:
    """Speaks ASGI to an app in this very loop."""

    def __init__(self, world: World, desk: Desk | None = None) -> None:
        self.desk = desk or world.desk(None)
        self._app = Starlette(routes=routes(self.desk), exception_handlers={TrimtabError: problem})

    async def __call__(self, method: str, target: str, body: Any = None) -> Answer:
        path, _, query = target.partition("?")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": [],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return Answer(sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:])))


async def test_the_life_of_an_incident_over_http(world: World) -> None:
    client = Client(world)
    assert (await client("GET", "/api/incidents")).body == {"incidents": []}
    await world.serve(client.desk, 120)
    number = await world.new_prompt(PROMPTS[1])
    world.truth = Truth(bad={f"support-answer/{number}": 0.1})
    await world.registry.move_label("prompts", "support-answer", "production", number, actor="mara")
    assert await world.serve(client.desk, 400, until_alarm=True)

    listed = (await client("GET", "/api/incidents?state=open&limit=5")).body["incidents"]
    assert [(i["id"], i["state"], i["layer"], i["owner"]) for i in listed] == [(1, "open", 3, "owner-prompt")]
    one = (await client("GET", "/api/incidents/1")).body
    assert one["report"]["cause"]["after"] == "support-answer/2"
    assert one["report"]["certainty"] == "likely"
    assert one["cases"] > 0
    assert {"time_ns", "kind", "actor", "text"} == set(one["events"][0])

    taken = await client("POST", "/api/incidents/1/acknowledge", {"actor": "jonas"})
    assert (taken.status, taken.body["acknowledged_by"]) == (200, "jonas")
    back = await client("POST", "/api/incidents/1/rollback", {"actor": "jonas"})
    assert back.body["state"] == "mitigated"
    assert world.registry.labels("prompts", "support-answer")["production"] == 1
    twice = await client("POST", "/api/incidents/1/rollback", {"actor": "kim"})
    assert twice.status == 409
    closed = await client("POST", "/api/incidents/1/close", {"actor": "jonas", "lesson": "Keep the rule to cite."})
    assert (closed.body["state"], closed.body["lesson"]) == ("closed", "Keep the rule to cite.")
    assert (await client("GET", "/api/incidents?state=open")).body == {"incidents": []}


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "field"),
    [
        ("GET", "/api/incidents?state=sad", None, 400, "state"),
        ("GET", "/api/incidents?limit=none", None, 400, "limit"),
        ("GET", "/api/incidents/7", None, 404, "id"),
        ("GET", "/api/incidents/99999999999999999999999", None, 404, "id"),
        ("POST", "/api/incidents/7/rollback", {"actor": "mara"}, 404, "id"),
        ("POST", "/api/incidents/7/close", {"lesson": 5}, 400, "lesson"),
        ("POST", "/api/incidents/7/close", b"\xff", 400, "body"),
        ("POST", "/api/incidents/7/close", {"why": "x"}, 400, "body"),
    ],
)
async def test_bad_requests_name_the_field(
    world: World, method: str, target: str, body: Any, status: int, field: str
) -> None:
    answer = await Client(world)(method, target, body)
    assert (answer.status, answer.body["field"]) == (status, field)
    assert answer.body["mend"]
