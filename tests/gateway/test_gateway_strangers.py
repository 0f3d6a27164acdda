"""Requests whose key opens nothing: counted, some of them kept, and explained without any of the secret."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from gateway_house import House, user
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tenant_house import Clock, tenant

from trimtab.core import NotFound, Unauthorized
from trimtab.gateway import Key, LiveTrace, routes
from trimtab.gateway.strangers import BURST, EVERY_S, Strangers, said

SECOND = 10**9
BODY = {"model": "plain", "messages": user("x")}


async def test_an_unknown_key_is_explained_by_its_id_and_by_how_it_begins(house: House, tmp_path: Path) -> None:
    rooms = await tenant(house, Clock())
    house.gateway.limits = rooms.limits
    key, secret = await house.keys.create("bot")
    _, fresh = await house.keys.rotate(key.id)
    refused = await house.ask(BODY, key=secret)
    assert refused.status == 401
    found = await rooms.reports.refusal(refused.headers["x-trimtab-trace-id"])
    assert (found["status"], found["key"], found["code"]) == (401, secret[:7], "unauthorized")
    assert found["checks"][0]["verdict"] == "refused"
    assert "was rotated" in found["checks"][0]["said"]
    assert found == await rooms.reports.refusal(secret[:7]) == await rooms.reports.refusal(secret)
    assert (await house.ask(BODY, key=fresh[:20] + "typo" + fresh[24:])).status == 401
    assert "'bot' begins with" in (await rooms.reports.refusal(fresh[:7]))["checks"][0]["said"]
    with pytest.raises(NotFound, match="tt-none"):
        await rooms.reports.refusal("tt-none-of-these")
    assert rooms.limits.figures()["unauthorized"] == 2
    client = TestClient(Starlette(routes=routes(house.keys, rooms.limits.teams, rooms.reports)))
    assert client.get(f"/api/refusals/{secret[:7]}").json()["id"] == found["id"]
    await rooms.close()
    written = on_disk(tmp_path)
    assert secret[:7].encode() in written
    # In the file the next value follows at once, and may begin with the next letter: eight letters are asked of values.
    assert secret[:12].encode() not in written
    assert any(secret[:7] in line for line in values_in(tmp_path))
    assert not any(secret[:8] in line for line in values_in(tmp_path))


def values_in(folder: Path) -> list[str]:
    """Every row of every database, its values apart."""
    lines: list[str] = []
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            lines += connection.iterdump()
    return lines


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_a_flood_is_counted_and_only_some_of_it_kept() -> None:
    strangers, clock = Strangers(), Clock()

    def kept(n: int) -> int:
        error = Unauthorized("no")
        return sum(
            strangers.refusal(LiveTrace(clock), "Bearer tt-abcdefghijklmn", error, ()) is not None for _ in range(n)
        )

    assert kept(1000) == BURST
    clock.now += int(3 * EVERY_S * SECOND)
    assert kept(1000) == 3
    assert strangers.total == 2000


def test_no_part_of_a_vendors_key_is_kept() -> None:
    refusal = Strangers().refusal(LiveTrace(Clock()), "Bearer sk-proj-abcdefgh", Unauthorized("no"), ())
    assert refusal is not None
    assert "sk-" not in str(refusal)
    assert "no key of Trimtab" in refusal.checks[0].said
    assert said("", "", ()) == "there was no Authorization header"
    off = Key(id="k", name="bot", prefix="tt-abcd", disabled=True)
    assert said("Bearer tt-abcd...", "tt-abcd", [off]).endswith("is disabled")
