"""What a viewer and a member may do beyond loopback: look, and send."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from web_house import Client

from trimtab.core import actor_of, person_of
from trimtab.web.door import Door
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


OWNERS = {"mara-secret": ("member", "mara"), "ilse-secret": ("viewer", "ilse"), "kim-secret": ("admin", "kim")}


def remote_people() -> Client:
    door = Door(
        whoever,
        loopback=False,
        port=4100,
        admin=lambda secret: secret == "admin-secret" or OWNERS.get(secret, ("",))[0] == "admin",
        role=lambda secret: OWNERS.get(secret, (ROLES.get(secret, ""), ""))[0],
        owner=lambda secret: OWNERS.get(secret, ("", ""))[1],
    )
    return Client(door, "trimtab.example")


async def whoever(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    said = f"{actor_of(scope, 'somebody else')}/{person_of(scope)}/{scope['trimtab.role']}"
    await PlainTextResponse(said)(scope, receive, send)


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("kim-secret", "kim/kim/admin"),
        ("ilse-secret", "ilse/ilse/viewer"),
        ("mara-secret", "mara/mara/member"),
        ("viewer-secret", "viewer//viewer"),
        ("admin-secret", "somebody else//admin"),
    ],
)
async def test_the_owner_of_the_key_acts_and_only_an_admin_without_one_may_claim_a_name(secret: str, said: str) -> None:
    path = "/api/review/queues" if secret == "mara-secret" else "/api/incidents"
    answer = await remote_people()("GET", path, headers={"authorization": f"Bearer {secret}"})
    assert answer.text == said


async def test_an_admin_key_of_nobody_is_called_admin_where_nobody_is_named() -> None:
    scope = {"trimtab.actor": "admin", "trimtab.role": "admin", "trimtab.claims": True}
    assert actor_of(scope) == "admin"
    assert actor_of(scope, " mara ") == "mara"
    assert actor_of({"trimtab.actor": "viewer", "trimtab.claims": False}, "mara") == "viewer"
    assert actor_of({}, "") == "api"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/review", 200),
        ("GET", "/review/q1", 200),
        ("GET", "/review/q1/end", 200),
        ("POST", "/review/q1/save", 200),
        ("POST", "/api/review/queues/q1/marks", 200),
        ("POST", "/api/review/queues/q1/finish", 200),
        ("GET", "/api/review/queues/q1/next", 200),
        ("GET", "/review/q1/report", 403),
        ("POST", "/review/q1/settle", 403),
        ("POST", "/api/review/queues", 403),
        ("POST", "/api/review/queues/q1/close", 403),
        ("GET", "/api/review/queues/q1/report", 403),
        ("POST", "/review/q1/save/more", 403),
        ("GET", "/", 403),
        ("GET", "/traces", 403),
    ],
)
async def test_a_member_who_signed_in_reviews_and_sees_nothing_else(method: str, path: str, status: int) -> None:
    ask = remote_people()
    page = await ask("POST", "/login", form="key=mara-secret")
    assert page.headers["location"] == "/review"
    cookie = {"cookie": page.headers["set-cookie"].partition(";")[0], "accept": "application/json"}
    answer = await ask(method, path, headers=cookie)
    assert answer.status == status
    if status == 200:
        assert answer.text == "mara/mara/member"


async def test_a_session_cannot_be_given_to_somebody_else() -> None:
    ask = remote_people()
    page = await ask("POST", "/login", form="key=ilse-secret")
    cookie = page.headers["set-cookie"].partition(";")[0]
    assert (await ask("GET", "/review", headers={"cookie": cookie})).text == "ilse/ilse/viewer"
    assert (await ask("POST", "/review/q1/save", headers={"cookie": cookie})).status == 403, "a viewer only looks"
    forged = cookie.replace(b"ilse".hex(), b"mara".hex())
    assert (await ask("GET", "/api/review/queues", headers={"cookie": forged})).status == 401


def test_a_member_key_of_nobody_does_not_review() -> None:
    assert not may("member", "POST", "/api/review/queues/q1/marks")
    assert may("member", "POST", "/api/review/queues/q1/marks", person=True)
    assert not may("viewer", "POST", "/api/review/queues/q1/marks", person=True)
