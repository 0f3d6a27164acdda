"""The registry over HTTP, through Starlette itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from trimtab.core import TrimtabError
from trimtab.registry import Registry, routes
from trimtab.store import Metadata


class Answer(NamedTuple):
    status: int
    body: Any


class Client:
    """Speaks ASGI to an app in this very loop."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, method: str, target: str, body: Any = None) -> Answer:
        path, _, query = target.partition("?")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": [],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], json.loads(content) if content.startswith((b"{", b"[")) else content)


async def problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TrimtabError)
    return JSONResponse({"detail": str(error), "field": error.field, "mend": error.mend}, error.status)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    registry = await Registry.load(metadata)
    yield Client(Starlette(routes=routes(registry), exception_handlers={TrimtabError: problem}))
    metadata.close()


async def test_the_life_of_a_version_over_http(client: Client) -> None:
    made = await client(
        "POST",
        "/api/versions/prompts/answer",
        {"content": {"t": 1}, "author": "mara", "label": "production"},
    )
    assert made.status == 201
    assert (made.body["pin"], made.body["labels"]) == ("answer/1", ["production"])
    await client("POST", "/api/versions/prompts/answer", {"content": {"t": 2}})
    started = await client("POST", "/api/rollouts", {"kind": "prompts", "name": "answer", "number": 2, "share": 0.5})
    assert started.status == 201
    rollout = started.body["rollout"]
    shared = await client("POST", f"/api/rollouts/{rollout}/share", {"share": 0.75, "actor": "mara"})
    assert (shared.body["share"], shared.body["actor"]) == (0.75, "mara")
    assert (await client("GET", "/api/versions/prompts/answer")).body["rollout"]["share"] == 0.75
    promoted = await client("POST", f"/api/rollouts/{rollout}/promote")
    assert promoted.body["action"] == "promote"
    assert (await client("GET", "/api/rollouts?running=1")).body["rollouts"] == []
    back = await client("POST", "/api/rollback", {"kind": "prompts", "name": "answer", "actor": "mara"})
    assert (back.body["before"], back.body["after"], back.body["layer"]) == ("answer/2", "answer/1", 3)
    moved = await client("POST", "/api/labels", {"kind": "prompts", "name": "answer", "number": 2, "expect": 1})
    assert moved.body["label"] == "production"
    assert (await client("GET", "/api/labels?kind=prompts&name=answer")).body["labels"] == {"production": 2}
    ledger = (await client("GET", "/api/changes?limit=3")).body["changes"]
    assert [change["action"] for change in ledger] == ["label", "rollback", "promote"]
    listed = (await client("GET", "/api/versions/prompts")).body
    assert listed["names"] == ["answer"]
    assert listed["assets"] == [{"name": "answer", "versions": 2, "labels": {"production": 2}}]
    assert (await client("GET", "/api/versions/prompts/answer/2")).body["content"] == {"t": 2}


async def test_an_external_change_is_recorded(client: Client) -> None:
    seen = await client("POST", "/api/changes", {"kind": "models", "name": "v/m", "before": "1", "after": "2"})
    assert (seen.status, seen.body["action"], seen.body["label"]) == (201, "external", "")


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "field"),
    [
        ("POST", "/api/versions/prompts/answer", b"{", 400, "body"),
        ("POST", "/api/versions/prompts/answer", b"\xff\xfe", 400, "body"),
        ("POST", "/api/versions/prompts/answer", {}, 400, "body"),
        ("POST", "/api/versions/prompts/answer", {"content": "text"}, 400, "content"),
        ("POST", "/api/versions/poems/answer", {"content": {}}, 400, "kind"),
        ("POST", "/api/labels", {"kind": "prompts", "name": "answer", "number": "2"}, 400, "number"),
        ("POST", "/api/rollouts", {"kind": "prompts", "name": "a", "number": 1, "share": 2}, 404, "name"),
        ("POST", "/api/rollouts/rol_x/share", {}, 400, "share"),
        ("POST", "/api/rollouts/rol_x/dance", {}, 400, "step"),
        ("POST", "/api/rollouts/rol_x/abort", {}, 404, "rollout"),
        ("POST", "/api/rollback", {"kind": "prompts", "name": "a"}, 404, "name"),
        ("GET", "/api/labels", None, 400, "kind"),
        ("GET", "/api/changes?since_ns=soon", None, 400, "since_ns"),
        ("GET", "/api/changes?limit=0", None, 400, "limit"),
        ("GET", "/api/versions/poems", None, 400, "kind"),
        ("GET", "/api/versions/prompts/nobody", None, 404, "name"),
    ],
)
async def test_bad_requests_name_the_field(
    client: Client, method: str, target: str, body: Any, status: int, field: str
) -> None:
    answer = await client(method, target, body)
    assert (answer.status, answer.body["field"]) == (status, field)
    assert answer.body["mend"]
