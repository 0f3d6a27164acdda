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
    headers: dict[str, str]


class Client:
    """Speaks ASGI to an app in this very loop."""

    def __init__(self, app: Starlette, registry: Registry) -> None:
        self._app, self.registry = app, registry

    async def __call__(
        self, method: str, target: str, body: Any = None, *, actor: str = "admin", headers: dict[str, str] | None = None
    ) -> Answer:
        path, _, query = target.partition("?")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "trimtab.actor": actor,
            "trimtab.role": actor,
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], json.loads(content) if content.startswith((b"{", b"[")) else content, answered)


async def problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TrimtabError)
    return JSONResponse({"detail": str(error), "field": error.field, "mend": error.mend}, error.status)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    registry = await Registry.load(metadata)
    yield Client(Starlette(routes=routes(registry), exception_handlers={TrimtabError: problem}), registry)
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
    started = await client.registry.start_rollout("prompts", "answer", 2, share=0.75, actor="mara")
    assert (await client("GET", "/api/versions/prompts/answer")).body["rollout"]["share"] == 0.75
    await client.registry.promote(started.rollout, actor="mara")
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
    found = (await client("GET", "/api/versions/prompts/answer?limit=1")).body
    assert (found["count"], [version["number"] for version in found["versions"]]) == (2, [2])


async def test_an_external_change_is_recorded(client: Client) -> None:
    seen = await client("POST", "/api/changes", {"kind": "models", "name": "v/m", "before": "1", "after": "2"})
    assert (seen.status, seen.body["action"], seen.body["label"]) == (201, "external", "")


async def two(client: Client) -> None:
    """Two versions of a prompt; production stands at the first."""
    for n in (1, 2):
        content = {"messages": [{"role": "system", "content": f"Version {n}."}]}
        await client("POST", "/api/versions/prompts/answer", {"content": content, "parents": [1] if n == 2 else []})
    await client("POST", "/api/labels", {"kind": "prompts", "name": "answer", "number": 1})


async def test_what_changed_between_two_versions(client: Client) -> None:
    await two(client)
    found = (await client("GET", "/api/versions/prompts/answer/diff?from=production&to=2")).body
    assert (found["from"], found["to"], found["same"]) == (1, 2, False)
    assert [edit["path"] for edit in found["edits"]] == ["messages[0] (system)"]
    assert {"op": "+", "text": "2"} in found["edits"][0]["words"]
    assert (await client("GET", "/api/versions/prompts/answer/2")).body["parents"] == [1]


async def test_resolving_for_a_client(client: Client) -> None:
    await two(client)
    where = "/api/resolve?address=prompts:/answer@production"
    first = await client("GET", where)
    assert (first.body["pin"], first.body["rollout"], first.body["arm"], first.body["sticky"]) == (
        "answer/1", "", "", "",
    )  # fmt: skip
    assert first.headers["etag"] == f'"{first.body["digest"]}"'
    again = await client("GET", where, headers={"if-none-match": f'"x", W/{first.headers["etag"]}'})
    assert (again.status, again.body, again.headers["x-trimtab-version"]) == (304, b"", "answer/1")
    started = await client.registry.start_rollout("prompts", "answer", 2, share=0.5, sticky="user", actor="mara")
    arms = {}
    for n in range(30):
        found = (await client("GET", f"{where}&key=session&user=u{n}")).body
        arms[found["arm"]] = found["pin"]
        assert found["rollout"] == started.rollout
        assert found["sticky"] == "user"
    assert arms == {"base": "answer/1", "candidate": "answer/2"}
    assert (await client("GET", where)).body["pin"] == "answer/1"
    pinned = await client("GET", "/api/resolve?address=prompts:/answer/2&key=a")
    assert (pinned.body["pin"], pinned.body["sticky"]) == ("answer/2", "")


async def test_protection_gates_and_overrides(client: Client) -> None:
    await two(client)
    where = "/api/labels/prompts/answer/production/protection"
    assert (await client("PUT", where, {"role": "admin"}, actor="client")).status == 403
    made = await client("PUT", where, {"role": "admin", "gate": "eval", "actor": "mara"})
    assert (made.body["role"], made.body["gate"], made.body["history"][0]["actor"]) == ("admin", "eval", "mara")
    move = {"kind": "prompts", "name": "answer", "number": 2}
    for actor, field in (("client", "role"), ("admin", "gate")):
        refused = await client("POST", "/api/labels", move, actor=actor)
        assert (refused.status, refused.body["field"]) == (403, field)
    gate = {"address": "prompts:/answer/2", "gate": "eval", "passed": True, "evidence": "run 12"}
    assert (await client("POST", "/api/gates", gate)).body["evidence"] == {"text": "run 12"}
    assert (await client("GET", "/api/gates?address=prompts:/answer/2")).body["gates"][0]["passed"]
    assert (await client("POST", "/api/labels", move)).body["after"] == "answer/2"
    forced = await client("POST", "/api/labels", {**move, "number": 1, "override": "the gate is broken today"})
    assert forced.body["override"] == "the gate is broken today"
    assert (await client("GET", where)).body["gate"] == "eval"
    assert list((await client("GET", "/api/versions/prompts/answer")).body["protections"]) == ["production"]


async def test_undo_and_everything_back(client: Client) -> None:
    await two(client)
    start = (await client("GET", "/api/changes")).body["changes"][0]
    moved = await client("POST", "/api/labels", {"kind": "prompts", "name": "answer", "number": 2})
    dry = await client("POST", "/api/rollback", {"at": start["time_ns"], "dry_run": True})
    assert (dry.body["changes"][0]["after"], dry.body["dry_run"]) == ("answer/1", True)
    done = await client("POST", "/api/rollback", {"at": start["time_ns"], "actor": "mara"})
    assert done.body["changes"][0]["after"] == "answer/1"
    grouped = (await client("GET", f"/api/changes?group={done.body['group']}")).body["changes"]
    assert [change["actor"] for change in grouped] == ["mara"]
    again = await client("POST", f"/api/changes/{done.body['group']}/undo", {"note": "too early"})
    assert again.body["changes"][0]["after"] == "answer/2"
    assert (await client("POST", f"/api/changes/{moved.body['id']}/undo")).body["changes"][0]["after"] == "answer/1"
    late = await client("POST", "/api/rollback", {"at": "2099-01-01T00:00:00Z"})
    assert (late.status, late.body["field"]) == (400, "at")


async def test_a_deployment_by_webhook(client: Client) -> None:
    seen = await client("POST", "/api/changes", {"note": "deployed api 1.4.2", "name": "api", "layer": "prompt"})
    assert (seen.status, seen.body["asset"], seen.body["layer"]) == (201, "application:/api", 3)
    seen = await client("POST", "/api/changes", {"note": "deployed", "actor": "ci"})
    assert (seen.body["asset"], seen.body["layer"], seen.body["actor"]) == ("application:/application", 5, "ci")
    page = (await client("GET", "/api/changes?limit=1")).body
    rest = (await client("GET", f"/api/changes?limit=1&cursor={page['cursor']}")).body
    assert [change["id"] for change in page["changes"]] == [seen.body["id"]]
    assert [change["note"] for change in rest["changes"]] == ["deployed api 1.4.2"]
    assert rest["cursor"] == ""


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "field"),
    [
        ("POST", "/api/versions/prompts/answer", b"{", 400, "body"),
        ("POST", "/api/versions/prompts/answer", b"\xff\xfe", 400, "body"),
        ("POST", "/api/versions/prompts/answer", {}, 400, "body"),
        ("POST", "/api/versions/prompts/answer", {"content": "text"}, 400, "content"),
        ("POST", "/api/versions/poems/answer", {"content": {}}, 400, "kind"),
        ("POST", "/api/labels", {"kind": "prompts", "name": "answer", "number": "2"}, 400, "number"),
        ("POST", "/api/rollback", {"kind": "prompts", "name": "a"}, 404, "name"),
        ("GET", "/api/labels", None, 400, "kind"),
        ("GET", "/api/changes?since_ns=soon", None, 400, "since_ns"),
        ("GET", "/api/changes?limit=0", None, 400, "limit"),
        ("GET", "/api/changes?cursor=99999999999999999999", None, 400, "cursor"),
        ("POST", "/api/changes", {"layer": "weather"}, 400, "layer"),
        ("POST", "/api/changes", {"layer": 9}, 400, "layer"),
        ("POST", "/api/changes/chg_x/undo", {}, 404, "id"),
        ("POST", "/api/rollback", {"at": "yesterday"}, 400, "at"),
        ("POST", "/api/rollback", {"at": "2026-11-25T14:05:00"}, 400, "at"),
        ("POST", "/api/rollback", {"at": 1, "kind": "prompts"}, 400, "at"),
        ("POST", "/api/rollback", {"name": "a"}, 400, "kind"),
        ("PUT", "/api/labels/prompts/nobody/production/protection", {"role": "admin"}, 404, "name"),
        ("PUT", "/api/labels/prompts/nobody/production/protection", None, 400, "body"),
        ("POST", "/api/gates", {"address": "prompts:/nobody/1", "gate": "g", "passed": True}, 404, "name"),
        ("POST", "/api/gates", {"address": "what", "gate": "g", "passed": True}, 400, "address"),
        ("GET", "/api/resolve", None, 400, "address"),
        ("GET", "/api/resolve?address=prompts:/nobody", None, 404, "name"),
        ("GET", "/api/versions/prompts/nobody/diff?from=1", None, 400, "to"),
        ("GET", "/api/versions/prompts/nobody/diff?from=1&to=2", None, 404, "name"),
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
