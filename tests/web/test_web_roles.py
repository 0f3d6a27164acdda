"""What a viewer and a member may do beyond loopback: look, and send."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from web_house import Client

from trimtab.web import Door
from trimtab.web.roles import may

ROLES = {"admin-secret": "admin", "viewer-secret": "viewer", "member-secret": "member"}


async def inside(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    request = Request(scope, receive)
    said = f"{request.scope['trimtab.actor']} as {request.scope['trimtab.role']}"
    await PlainTextResponse(said)(scope, receive, send)


def remote() -> Client:
    door = Door(
        inside,
        loopback=False,
        port=4100,
        admin=lambda secret: ROLES.get(secret) == "admin",
        role=lambda secret: ROLES.get(secret, ""),
    )
    return Client(door, "trimtab.example")


@pytest.mark.parametrize(
    ("secret", "method", "path", "status"),
    [
        ("admin-secret", "POST", "/api/keys", 200),
        ("viewer-secret", "GET", "/api/keys", 200),
        ("viewer-secret", "GET", "/traces", 200),
        ("viewer-secret", "POST", "/api/spans/query", 200),
        ("viewer-secret", "POST", "/api/keys", 403),
        ("viewer-secret", "POST", "/api/scores", 403),
        ("viewer-secret", "POST", "/incidents/1/rollback", 403),
        ("viewer-secret", "POST", "/v1/traces", 403),
        ("member-secret", "POST", "/v1/traces", 200),
        ("member-secret", "POST", "/api/scores", 200),
        ("member-secret", "GET", "/api/versions/prompts/a", 200),
        ("member-secret", "GET", "/api/labels", 200),
        ("member-secret", "GET", "/api/labelsmith", 403),
        ("member-secret", "POST", "/api/labels", 403),
        ("member-secret", "GET", "/api/traces", 403),
        ("member-secret", "GET", "/", 403),
        ("nobody", "GET", "/api/keys", 401),
    ],
)
async def test_a_bearer_token_opens_what_its_role_may(secret: str, method: str, path: str, status: int) -> None:
    page = await remote()(method, path, headers={"authorization": f"Bearer {secret}", "accept": "application/json"})
    assert page.status == status
    if status == 403:
        assert page.json["field"] == "authorization"


async def test_a_viewer_signs_in_to_look_and_a_member_does_not() -> None:
    ask = remote()
    page = await ask("POST", "/login", form="key=viewer-secret")
    cookie = {"cookie": page.headers["set-cookie"].partition(";")[0]}
    assert (await ask("GET", "/", headers=cookie)).text == "viewer as viewer"
    assert (await ask("POST", "/prompts/a/rollback", headers=cookie)).status == 403
    forged = {"cookie": cookie["cookie"].replace("viewer-", "admin-")}
    assert (await ask("GET", "/api/keys", headers=forged)).status == 401
    refused = await ask("POST", "/login", form="key=member-secret")
    assert refused.status == 401
    assert "set-cookie" not in refused.headers


def test_an_unknown_role_may_nothing() -> None:
    assert not may("", "GET", "/")
    assert not may("king", "GET", "/api/keys")
