"""Keys: only a hash is kept, and a key that may not pass does not."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from gateway_house import House
from starlette.applications import Starlette
from starlette.testclient import TestClient

from trimtab.core import BadInput, Forbidden, NotFound, TrimtabError, Unauthorized
from trimtab.gateway import Keys, routes
from trimtab.store import Metadata


async def test_the_secret_is_nowhere_on_disk_and_works_after_a_restart(house: House, tmp_path: Path) -> None:
    key, secret = await house.keys.create("bot", owner="mara", limits={"rpm": 60, "routes": ["support"]})
    assert secret.startswith("tt-")
    assert len(secret) > 40
    assert await house.keys.adopt("env", "a-secret-from-the-environment") != key
    written = on_disk(tmp_path)
    assert key.id.encode() in written
    assert secret.encode() not in written
    assert secret[8:].encode() not in written
    assert b"a-secret-from-the-environment" not in written
    again = await Keys.load(house.metadata)
    assert again.authenticate(f"Bearer {secret}") == key
    assert again.is_admin("a-secret-from-the-environment")
    assert not again.is_admin(secret)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer tt-nobody", "tt-nobody"])
async def test_who_has_no_key_is_told_so_without_an_echo(house: House, header: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        house.keys.authenticate(header)
    assert "nobody" not in str(caught.value)


async def test_disabled_and_expired_keys_and_those_who_only_look_are_kept_out(house: House) -> None:
    key, secret = await house.keys.create("old", expires_ns=1)
    with pytest.raises(Unauthorized, match="expired"):
        house.keys.authenticate(f"Bearer {secret}")
    await house.keys.disable(house.key.id)
    with pytest.raises(Unauthorized, match="disabled"):
        house.keys.authenticate(f"Bearer {house.secret}")
    with pytest.raises(Unauthorized, match="disabled"):
        (await Keys.load(house.metadata)).authenticate(f"Bearer {house.secret}")
    _, viewer = await house.keys.create("screen", role="viewer")
    assert house.keys.authenticate(f"bearer {viewer}").role == "viewer"
    with pytest.raises(Forbidden):
        house.keys.may_ask(f"Bearer {viewer}")
    with pytest.raises(NotFound):
        await house.keys.disable("key_none")
    assert key in house.keys.list()


async def test_adopting_twice_is_one_key_and_a_new_secret_shuts_the_old_one_out(house: House) -> None:
    first = await house.keys.adopt("env", "the-first-admin-secret")
    assert await house.keys.adopt("env", "the-first-admin-secret") == first
    await house.keys.adopt("env", "the-second-admin-secret")
    assert house.keys.is_admin("the-second-admin-secret")
    assert not house.keys.is_admin("the-first-admin-secret")
    await house.keys.adopt("env", "the-first-admin-secret")
    assert house.keys.is_admin("the-first-admin-secret")
    assert (await Keys.load(house.metadata)).is_admin("the-first-admin-secret")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"role": "king"}, "role"),
        ({"expires_ns": -1}, "expires_ns"),
        ({"limits": {"rpm": 0}}, "limits.rpm"),
        ({"limits": {"max_parallel": 1.5}}, "limits.max_parallel"),
        ({"limits": {"routes": "support"}}, "limits.routes"),
        ({"limits": {"budget_usd": 5}}, "limits.budget_usd"),
    ],
)
async def test_a_key_that_cannot_be_made_names_its_field(house: House, fields: dict[str, object], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        await house.keys.create(**{"name": "bot", **fields})  # type: ignore[arg-type]
    assert caught.value.field == field


async def test_keys_over_http(house: House) -> None:
    with TestClient(Starlette(routes=routes(house.keys))) as client:
        made = client.post("/api/keys", json={"name": "bot", "rpm": 5, "routes": ["support"]})
        assert made.status_code == 201
        body = made.json()
        assert body["limits"] == {"rpm": 5, "routes": ["support"]}
        listed = client.get("/api/keys").json()["keys"]
        assert body["id"] in [key["id"] for key in listed]
        assert body["secret"] not in json.dumps(listed)
        assert client.post(f"/api/keys/{body['id']}/disable").json()["disabled"] is True
        for wrong in (b"{", b"[]", b'{"name": 3}', b'{"name": "x", "budget_usd": 3}'):
            with pytest.raises(TrimtabError) as caught:
                client.post("/api/keys", content=wrong)
            assert isinstance(caught.value, BadInput)
            assert caught.value.field


def test_a_key_hides_nothing_it_has_not(tmp_path: Path) -> None:
    """The table's columns: none could hold a secret."""
    Metadata.open(tmp_path / "m.db").close()
    with sqlite3.connect(tmp_path / "m.db") as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(keys)")}
    connection.close()
    assert columns == {
        "id",
        "name",
        "hash",
        "prefix",
        "owner",
        "role",
        "created_ns",
        "expires_ns",
        "disabled",
        "limits",
    }
