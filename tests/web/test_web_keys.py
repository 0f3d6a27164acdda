"""Keys and teams by hand: made, limited, rotated and disabled; a secret is shown once and is then nowhere."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_house import Answer, WebHouse, client_of

from trimtab.core import BadInput, Unauthorized
from trimtab.gateway import Key
from trimtab.web.keyform import read_key_form, typed_key
from trimtab.web.spending import route_row

DAY = 86_400 * 10**9
SECRET = re.compile(r'id="secret">(tt-[\w-]+)<')


async def post(house: WebHouse, path: str, **fields: str) -> Answer:
    return await client_of(house)("POST", path, form=urlencode(fields))


async def made(house: WebHouse, **fields: str) -> tuple[Key, str]:
    answer = await post(house, "/gateway/keys", **fields)
    assert answer.status == 200, answer.text[:600]
    assert answer.headers["cache-control"] == "no-store"
    found = SECRET.search(answer.text)
    assert found is not None
    return house.keys.authenticate(f"Bearer {found[1]}"), found[1]


async def test_a_key_is_made_and_its_secret_is_shown_once(house: WebHouse) -> None:
    key, secret = await made(
        house, name="bot", owner="mara", team="web", role="member", rpm="1,200", budget_usd="50.5", period="day",
        routes="support, openai/gpt-5\n", expires="2099-01-31",
    )  # fmt: skip
    assert (key.name, key.owner, key.team, key.role) == ("bot", "mara", "web", "member")
    assert key.limits == {"rpm": 1200, "budget_usd": 50.5, "period": "day", "routes": ["support", "openai/gpt-5"]}
    for path in (f"/gateway/keys/{key.id}", "/gateway", "/gateway/team?name=web"):
        page = (await client_of(house)("GET", path)).text
        assert secret not in page
        assert "bot" in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "1 to 100"), ({"name": "x", "rpm": "many"}, "whole number"),
        ({"name": "x", "rpm": "1.5"}, "whole number"), ({"name": "x", "budget_usd": "nan"}, "must be a number"),
        ({"name": "x", "budget_usd": "-3"}, "above 0"), ({"name": "x", "role": "king"}, "is not a role"),
        ({"name": "x", "expires": "soon"}, "must be a date"), ({"name": "x", "max_queue": "3"}, "nothing to wait for"),
        ({"name": "x", "expires": "0001-01-01"}, "too far back"), ({"name": "x", "rpm": "9" * 400}, "whole number"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_said_beside_what_was_typed(house: WebHouse, fields: dict[str, str], said: str) -> None:
    answer = await post(house, "/gateway/keys", owner="kept-as-typed", **fields)
    assert answer.status == 400
    assert said in answer.text
    assert 'value="kept-as-typed"' in answer.text
    assert not house.keys.list()


async def test_a_key_is_changed_and_nothing_else_of_it(house: WebHouse) -> None:
    key, secret = await made(house, name="bot", rpm="60")
    expires = house.clock.ns + 3 * DAY + 12345
    await house.keys.change(key.id, expires_ns=expires)
    shown = typed_key(house.keys.get(key.id))
    answer = await post(house, f"/gateway/keys/{key.id}", **shown | {"team": "data", "rpm": "", "tpm": "9000"})
    assert (answer.status, answer.headers["location"]) == (303, f"/gateway/keys/{key.id}?done=changed")
    changed = house.keys.authenticate(f"Bearer {secret}")
    assert (changed.name, changed.team, changed.limits) == ("bot", "data", {"tpm": 9000})
    assert changed.expires_ns == expires, "a date that was not touched moves nothing"
    refused = await post(house, f"/gateway/keys/{key.id}", **shown | {"name": "", "owner": "typed"})
    assert (refused.status, 'value="typed"' in refused.text) == (400, True)
    assert (await client_of(house)("GET", "/gateway/keys/key_none")).status == 404


async def test_a_secret_is_replaced_and_the_old_one_ends(house: WebHouse) -> None:
    key, old = await made(house, name="bot")
    answer = await post(house, f"/gateway/keys/{key.id}/rotate", overlap="1")
    found = SECRET.search(answer.text)
    assert found is not None
    assert found[1] != old
    assert old not in answer.text
    house.keys.authenticate(f"Bearer {old}")
    house.clock.ns += 3601 * 10**9
    with pytest.raises(Unauthorized):
        house.keys.authenticate(f"Bearer {old}")
    assert house.keys.authenticate(f"Bearer {found[1]}").id == key.id
    assert (await post(house, f"/gateway/keys/{key.id}/rotate", overlap="5")).status == 400
    env = await house.keys.adopt("env", "made-elsewhere")
    assert (await post(house, f"/gateway/keys/{env.id}/rotate", overlap="0")).status == 400
    assert "comes from the environment" in (await client_of(house)("GET", f"/gateway/keys/{env.id}")).text


async def test_a_key_is_disabled_after_a_confirmation_and_enabled_again(house: WebHouse) -> None:
    key, secret = await made(house, name="bot")
    asked = (await client_of(house)("GET", f"/gateway/keys/{key.id}?confirm=disable")).text
    assert f'action="/gateway/keys/{key.id}/disable"' in asked
    assert (await post(house, f"/gateway/keys/{key.id}/disable")).status == 303
    with pytest.raises(Unauthorized):
        house.keys.authenticate(f"Bearer {secret}")
    assert (await post(house, f"/gateway/keys/{key.id}/enable")).status == 303
    assert house.keys.authenticate(f"Bearer {secret}").id == key.id
    assert (await post(house, f"/gateway/keys/{key.id}/explode")).status == 404


async def test_a_team_gets_limits_and_loses_them(house: WebHouse) -> None:
    name = 'a/b "c" & d'
    assert (await post(house, "/gateway/team", name=name, budget_usd="800", period="month")).status == 303
    assert dict(house.tenancy.teams.list())[name] == {"budget_usd": 800.0, "period": "month"}
    page = await client_of(house)("GET", f"/gateway/team?{urlencode({'name': name})}")
    assert 'value="800"' in page.text
    refused = await post(house, "/gateway/team", name=name, rpm="none")
    assert (refused.status, "whole number" in refused.text) == (400, True)
    assert (await post(house, "/gateway/team/remove", name=name)).status == 303
    assert not house.tenancy.teams.list()
    assert (await post(house, "/gateway/team/remove", name=name)).status == 404


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "rpm": st.integers(1, 10**9), "tpm": st.integers(1, 10**9), "max_parallel": st.integers(1, 10**9),
        "queue_timeout": st.floats(0.01, 600).map(lambda x: round(x, 3)),
        "routes": st.lists(st.from_regex(r"[a-z]{1,8}(/[a-z0-9.:-]{1,8})?", fullmatch=True), min_size=1, max_size=4),
    },
)  # fmt: skip


@given(LIMITS, st.integers(0, 4_000_000_000 * 10**9), st.floats(0.01, 10**6), st.sampled_from(["day", "month"]))
def test_a_form_sent_back_untouched_changes_nothing(
    limits: dict[str, object], expires: int, budget: float, period: str
) -> None:
    limits |= {"budget_usd": round(budget, 4), "period": period}
    key = Key(id="k", name="bot", prefix="tt-abcd", expires_ns=expires, limits=limits)
    read = read_key_form(typed_key(key), key)
    assert (read["expires_ns"], read["limits"]) == (expires, limits)


@given(st.dictionaries(st.sampled_from(["name", "rpm", "budget_usd", "expires", "routes", "period"]), st.text()))
def test_any_text_is_read_or_refused_by_name(form: dict[str, str]) -> None:
    fault: BadInput | None = None
    try:
        read_key_form(form)
    except BadInput as refused:
        fault = refused
    assert fault is None or fault.field


def test_a_budget_that_lasts_says_what_will_be_left() -> None:
    noon = 1_790_000_000 // 86_400 * DAY + DAY // 2
    level = {"spent_usd": 10.0, "limit_usd": 40.0, "reserved_usd": 0.0}
    row = route_row("search", {"budget_usd": 40, "period": "day"}, level, 0.0, noon)
    assert (row.ends, row.pace) == ("", "lasts: about $20.00 by the end of the day")
    fast = route_row("search", {"budget_usd": 40, "period": "day"}, level | {"spent_usd": 30.0}, 0.0, noon)
    assert (fast.ends, fast.pace) == ("spent in about 4 h", "")
    early = route_row("search", {"budget_usd": 40, "period": "day"}, level, 0.0, noon - DAY // 2 + 1)
    assert early.pace == "too early in the day to foretell"
