"""Tool calls and approvals over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient

from trimtab.core import TrimtabError
from trimtab.guard import routes
from trimtab.guard.actions import ToolCall
from trimtab.guard.approvals import Approvals, approval_routes
from trimtab.store import Metadata

POLICY = {"stages": {"action": {"tools": {"pay": {"arguments": {"to": {"from": ["user"]}}}}}}}
CALL = {"name": "pay", "arguments": {"to": "US133000000121212121212"}}


def told(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TrimtabError)
    return JSONResponse({"field": error.field, "message": error.message}, error.status)


@pytest.fixture
def scanning() -> TestClient:
    app = Starlette(routes=routes(lambda address: POLICY), exception_handlers={TrimtabError: told})
    return TestClient(app)


def test_a_tool_call_is_judged_by_what_came_before_it(scanning: TestClient) -> None:
    def scan(**context: Any) -> dict[str, Any]:
        body = {"stage": "action", "tool_call": CALL, "context": context}
        return dict(scanning.post("/api/guard/scan", json=body).json())

    said = [{"role": "user", "content": "pay US13 3000 0001 2121 2121 212"}]
    assert scan(messages=said)["verdict"] == "allow"
    held = scan(messages=[{"role": "user", "content": "pay the bill"}])
    assert (held["verdict"], held["findings"][0]["kind"], held["findings"][0]["note"]) == (
        "escalate",
        "provenance",
        "to",
    )
    assert scan(messages=said, plan=["read"])["verdict"] == "block"
    assert scan(messages=said, tools=[{"name": "read"}])["findings"][0]["kind"] == "unknown-tool"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tool_call": {"arguments": {}}}, "tool_call.name"),
        ({"tool_call": {"name": "pay", "arguments": "{"}}, "tool_call.arguments"),
        ({"tool_call": CALL, "context": {"messages": "x"}}, "context.messages"),
        ({"tool_call": CALL, "context": {"plan": [1]}}, "context.plan"),
        ({"tool_call": CALL, "context": {"pins": {"a": 1}}}, "context.pins"),
    ],
)
def test_what_is_wrong_is_named(scanning: TestClient, body: dict[str, Any], field: str) -> None:
    answer = scanning.post("/api/guard/scan", json={"stage": "action", **body})
    assert (answer.status_code, answer.json()["field"]) == (400, field)


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Approvals]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    yield Approvals(metadata)
    metadata.close()


async def test_approvals_are_listed_shown_and_decided(queue: Approvals) -> None:
    call = ToolCall(tool="pay", arguments={"to": "x"})
    made = await queue.ask(call, conversation="c", reasons=["why"], wait=60, route="agent")
    app = Starlette(routes=approval_routes(queue), exception_handlers={TrimtabError: told})

    def use() -> list[tuple[int, Any]]:
        client = TestClient(app)
        seen = [client.get("/api/approvals"), client.get(f"/api/approvals/{made.id}"), client.get("/api/approvals/x")]
        seen += [
            client.post(f"/api/approvals/{made.id}", json={"decision": what}) for what in ("maybe", "approve", "refuse")
        ]
        seen += [
            client.get("/api/approvals"),
            client.get("/api/approvals?state=all"),
            client.get("/api/approvals?limit=a"),
        ]
        return [(answer.status_code, answer.json()) for answer in seen]

    listed, shown, missing, wrong, approved, late, left, every, bad = await asyncio.to_thread(use)
    assert [each["id"] for each in listed[1]["approvals"]] == [made.id]
    assert (shown[1]["arguments"], shown[1]["reasons"], shown[1]["route"]) == ({"to": "x"}, ["why"], "agent")
    assert (missing[0], wrong[0], approved[1]["state"], approved[1]["by"], late[0]) == (
        404,
        400,
        "approved",
        "api",
        409,
    )
    assert (left[1]["approvals"], every[1]["approvals"][0]["state"], bad[0]) == ([], "approved", 400)
    assert (await queue.take("c", call.digest)) is not None
    assert (await queue.take("c", call.digest)) is None
