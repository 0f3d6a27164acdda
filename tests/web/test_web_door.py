"""Who gets in: local names only on loopback, an admin key anywhere else."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from web_house import SECRET, Client

from trimtab.web.door import LOGIN_FAILURES, SESSION_S, Door, local_path

PORT = 4100


async def inside(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    request = Request(scope, receive)
    await PlainTextResponse(f"inside as {request.scope['trimtab.actor']}")(scope, receive, send)


class Time:
    now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


def local(host: str = f"127.0.0.1:{PORT}") -> Client:
    return Client(Door(inside, loopback=True, port=PORT, admin=lambda secret: secret == SECRET), host)


def remote(clock: Time | None = None) -> Client:
    door = Door(inside, loopback=False, port=PORT, admin=lambda secret: secret == SECRET, clock=clock or Time())
    return Client(door, "trimtab.example")


@pytest.mark.parametrize("host", ["127.0.0.1:4100", "localhost:4100", "[::1]:4100", "LOCALHOST:4100"])
async def test_local_names_with_the_port_get_in(host: str) -> None:
    assert (await local(host)("GET", "/")).text == "inside as local operator"


@pytest.mark.parametrize("host", ["evil.example:4100", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:4100", ""])
async def test_a_rebound_name_is_refused_with_the_mend(host: str) -> None:
    page = await local(host)("GET", "/")
    assert page.status == 403
    assert "http://127.0.0.1:4100/" in page.text
    api = await local(host)("GET", "/api/traces")
    assert api.status == 403
    assert api.json["field"] == "host"
    assert api.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:4100"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:4100"}, 200),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
async def test_only_our_own_pages_may_change_something(headers: dict[str, str], status: int) -> None:
    assert (await local()("POST", "/incidents/1/rollback", headers=headers)).status == status
    assert (await local()("GET", "/", headers=headers)).status == 200


async def test_elsewhere_a_page_leads_to_the_login_and_the_api_says_401() -> None:
    ask = remote()
    page = await ask("GET", "/traces?q=a%20b")
    assert page.status == 303
    assert parse_qs(urlsplit(page.headers["location"]).query)["next"] == ["/traces?q=a%20b"]
    for path in ("/api/traces", "/metrics", "/v1/traces"):
        answer = await ask("GET", path)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json["mend"]
    assert (await ask("POST", "/incidents/1/rollback")).status == 401


async def test_elsewhere_the_admin_key_gets_in_as_a_bearer_token() -> None:
    ask = remote()
    assert (await ask("GET", "/", headers={"authorization": f"Bearer {SECRET}"})).text == "inside as admin"
    for wrong in (f"Bearer {SECRET}x", f"Basic {SECRET}", "Bearer ", SECRET):
        assert (await ask("GET", "/api/keys", headers={"authorization": wrong})).status == 401


async def test_health_and_static_files_need_no_key() -> None:
    for path in ("/healthz", "/readyz", "/static/style.css"):
        assert (await remote()("GET", path)).status == 200


async def signed_in(ask: Client, key: str = SECRET, target: str = "/traces") -> tuple[str, str]:
    answer = await ask("POST", "/login", form=f"key={key}&next={target}")
    assert answer.status == 303
    return answer.headers["location"], answer.headers["set-cookie"]


async def test_the_login_sets_a_strict_cookie_that_does_not_hold_the_key() -> None:
    clock = Time()
    ask = remote(clock)
    where, cookie = await signed_in(ask)
    assert where == "/traces"
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert SECRET not in cookie
    value = cookie.partition(";")[0]
    assert (await ask("GET", "/", headers={"cookie": value})).text == "inside as admin"
    for broken in (value[:-1] + ("0" if value[-1] != "0" else "1"), value.replace("=1", "=9", 1), "trimtab_session=x"):
        assert (await ask("GET", "/", headers={"cookie": broken})).status == 303
    clock.now += SESSION_S + 1
    assert (await ask("GET", "/", headers={"cookie": value})).status == 303


async def test_a_session_of_another_process_is_worth_nothing() -> None:
    _, cookie = await signed_in(remote())
    assert (await remote()("GET", "/", headers={"cookie": cookie.partition(";")[0]})).status == 303


async def test_a_foreign_page_cannot_sign_anybody_in() -> None:
    answer = await remote()("POST", "/login", headers={"origin": "https://evil.example"}, form=f"key={SECRET}")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


async def test_a_wrong_key_is_not_shown_again_and_many_of_them_make_the_form_rest() -> None:
    clock = Time()
    ask = remote(clock)
    for _ in range(LOGIN_FAILURES):
        answer = await ask("POST", "/login", form="key=tt-not-this-one&next=/")
        assert answer.status == 401
        assert "tt-not-this-one" not in answer.text
    answer = await ask("POST", "/login", form=f"key={SECRET}")
    assert answer.status == 429
    assert answer.headers["retry-after"] == "60"
    clock.now += 61
    await signed_in(ask)


async def test_a_form_that_is_no_form_is_refused() -> None:
    ask = remote()
    assert (await ask("POST", "/login", form="key=" + "x" * 5000)).status == 403
    assert (await ask("POST", "/login", form="next=/traces")).status == 401


async def test_signing_out_takes_the_cookie_back() -> None:
    answer = await remote()("POST", "/logout")
    assert answer.status == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nb", "\\\\evil"],
)
def test_a_login_never_leads_to_another_site(target: str) -> None:
    assert local_path(target) == "/"


def test_a_login_leads_back_to_where_it_began() -> None:
    assert local_path("/traces?q=a%20b") == "/traces?q=a%20b"


async def test_without_a_key_to_ask_for_only_the_names_are_checked() -> None:
    ask = Client(Door(inside, loopback=False, port=PORT, admin=None), "trimtab.example")
    assert (await ask("POST", "/v1/chat/completions")).text == "inside as client"
    assert (await ask("POST", "/v1/chat/completions", headers={"origin": "https://evil.example"})).status == 403


async def test_every_answer_of_the_door_carries_the_policy() -> None:
    for answer in (await local("evil")("GET", "/"), await remote()("GET", "/login"), await remote()("GET", "/")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
