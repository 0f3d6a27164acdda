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
        ({"limits": {"budget_usd": 0}}, "limits.budget_usd"),
        ({"limits": {"budget_usd": "5"}}, "limits.budget_usd"),
        ({"limits": {"period": "week"}}, "limits.period"),
        ({"limits": {"max_queue": 3}}, "limits.max_queue"),
        ({"limits": {"queue_timeout": -1}}, "limits.queue_timeout"),
        ({"limits": {"smiles": 1}}, "limits.smiles"),
        ({"team": "a\n"}, "team"),
        ({"owner": "x" * 101}, "owner"),
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
        one = client.get(f"/api/keys/{body['id']}").json()
        assert (one["id"], one["limits"]) == (body["id"], body["limits"])
        for wrong in (b"{", b"[]", b'{"name": 3}', b'{"name": "x", "smiles": 3}', b'{"name": "x", "rpm": "many"}'):
            with pytest.raises(TrimtabError) as caught:
                client.post("/api/keys", content=wrong)
            assert isinstance(caught.value, BadInput)
            assert caught.value.field


async def test_a_key_is_changed_over_http_field_by_field(house: House) -> None:
    with TestClient(Starlette(routes=routes(house.keys))) as client:
        body = client.post("/api/keys", json={"name": "bot", "rpm": 5, "tpm": 100, "team": "web"}).json()
        changed = client.patch(f"/api/keys/{body['id']}", json={"rpm": None, "tpm": 200, "owner": "mara"}).json()
        assert changed["limits"] == {"tpm": 200}
        assert (changed["owner"], changed["team"], changed["name"]) == ("mara", "web", "bot")
        assert client.patch(f"/api/keys/{body['id']}", json={"routes": ["plain"]}).json()["limits"]["routes"] == [
            "plain"
        ]
        with pytest.raises(BadInput) as caught:
            client.patch(f"/api/keys/{body['id']}", json={"role": "king"})
        assert caught.value.field == "role"
        assert client.patch(f"/api/keys/{body['id']}", json={"disabled": True}).json()["disabled"]
        assert not client.patch(f"/api/keys/{body['id']}", json={"disabled": False}).json()["disabled"]
        with pytest.raises(BadInput, match="does not fit"):
            client.patch(f"/api/keys/{body['id']}")
        with pytest.raises(NotFound):
            client.get("/api/keys/key_none")


class Clock:
    now = 1_790_000_000_000_000_000

    def __call__(self) -> int:
        return self.now


async def test_a_rotated_key_has_two_secrets_until_the_overlap_ends(house: House) -> None:
    clock = Clock()
    keys = await Keys.load(house.metadata, clock=clock)
    key, first = await keys.create("bot", team="web", limits={"rpm": 5})
    rotated, second = await keys.rotate(key.id, overlap_s=60)
    assert (rotated.id, rotated.team, rotated.limits) == (key.id, key.team, key.limits)
    assert first != second
    # Also after a restart, and for another process.
    again = await Keys.load(house.metadata, clock=clock)
    for found in (keys, again):
        assert found.authenticate(f"Bearer {first}") == found.authenticate(f"Bearer {second}") == rotated
    clock.now += 60_000_000_000
    for found in (keys, again):
        with pytest.raises(Unauthorized):
            found.authenticate(f"Bearer {first}")
        assert found.authenticate(f"Bearer {second}") == rotated
    assert [k.id for k in keys.list()].count(key.id) == 1


async def test_a_second_rotation_shuts_the_first_secret_out_at_once(house: House) -> None:
    key, first = await house.keys.create("bot")
    _, second = await house.keys.rotate(key.id, overlap_s=60)
    _, third = await house.keys.rotate(key.id, overlap_s=60)
    with pytest.raises(Unauthorized):
        house.keys.authenticate(f"Bearer {first}")
    assert house.keys.authenticate(f"Bearer {second}").id == house.keys.authenticate(f"Bearer {third}").id
    _, fourth = await house.keys.rotate(key.id)
    for gone in (second, third):
        with pytest.raises(Unauthorized):
            house.keys.authenticate(f"Bearer {gone}")
    await house.keys.disable(key.id)
    with pytest.raises(Unauthorized, match="disabled"):
        house.keys.authenticate(f"Bearer {fourth}")
    for wrong in (-1.0, 31 * 86_400.0):
        with pytest.raises(BadInput):
            await house.keys.rotate(key.id, overlap_s=wrong)


async def test_who_listens_hears_of_every_change_before_it_is_answered(house: House) -> None:
    heard: list[int] = []

    async def tell() -> None:
        heard.append(len(house.keys.list()))

    house.keys.on_change.append(tell)
    key, _ = await house.keys.create("bot")
    await house.keys.change(key.id, owner="mara")
    await house.keys.rotate(key.id)
    await house.keys.disable(key.id)
    assert len(heard) == 4


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
        "team",
        "old_hash",
        "old_until_ns",
    }
