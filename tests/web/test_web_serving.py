"""The server's surface: models at once, everything else when it is first asked for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab.core import Overloaded
from trimtab.web import application, server, vitals


def house_of(**rooms: Any) -> Any:
    return SimpleNamespace(
        config=SimpleNamespace(loopback=True, port=4100), role_of=lambda secret: roles.get(secret, ""), **rooms
    )


def scope_of(path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": sent}


roles = {"tt-viewer": "viewer", "tt-member": "member"}


async def test_pages_are_built_once_and_only_when_somebody_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    built: list[object] = []

    def answering(name: str) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            asked.append(f"{name} {scope['path']}")

        return app

    def front(house: object) -> Any:
        built.append(house)
        return answering("pages")

    monkeypatch.setattr(server, "front", front)
    house = house_of(gateway=SimpleNamespace(app=answering("models")))
    app = application(house)

    async def ask(path: str) -> None:
        await app(scope_of(path), None, None)  # type: ignore[arg-type]

    await ask("/v1/chat/completions")
    assert (asked, built) == (["models /v1/chat/completions"], [])
    await asyncio.gather(ask("/traces"), ask("/healthz"), ask("/v1/traces"))  # without a host: the door's business
    assert built == [house]
    assert sorted(asked[1:]) == ["pages /healthz", "pages /traces", "pages /v1/traces"]


async def test_what_fails_to_load_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    def front(house: object) -> Any:
        tries.append(house)
        raise RuntimeError("not now")

    monkeypatch.setattr(server, "front", front)
    house = house_of(gateway=SimpleNamespace(app=None))
    app = application(house)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not now"):
            await app(scope_of("/"), None, None)  # type: ignore[arg-type]
    assert tries == [house, house]


@pytest.mark.parametrize(
    ("loopback", "path", "method", "headers", "here"),
    [
        (True, "/healthz", "GET", {"host": "127.0.0.1:4100"}, True),
        (True, "/healthz", "POST", {"host": "127.0.0.1:4100"}, False),
        (True, "/metrics", "GET", {"host": "localhost:4100"}, True),
        (True, "/metrics", "GET", {"host": "evil.example"}, False),
        (True, "/", "GET", {"host": "127.0.0.1:4100"}, False),
        (False, "/healthz", "GET", {}, True),
        (False, "/metrics", "GET", {}, False),
        (False, "/metrics", "GET", {"authorization": "Bearer tt-viewer"}, True),
        (False, "/metrics", "GET", {"authorization": "Bearer tt-member"}, False),
        (False, "/metrics", "GET", {"authorization": "Basic tt-viewer"}, False),
    ],
)
async def test_vitals_are_told_without_the_pages_where_there_is_nothing_to_refuse(
    monkeypatch: pytest.MonkeyPatch, loopback: bool, path: str, method: str, headers: dict[str, str], here: bool
) -> None:
    async def figures(house: object) -> str:
        return "trimtab_up 1\n"

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        said.append("pages")

    async def send(message: Any) -> None:
        said.append(message)

    monkeypatch.setattr(vitals, "metrics_text", figures)
    said: list[Any] = []
    app = vitals.Vitals(house_of(), pages, loopback=loopback, port=4100, role=lambda secret: roles.get(secret, ""))
    await app(scope_of(path, method, **headers), None, send)  # type: ignore[arg-type]
    assert (said != ["pages"]) is here
    if here:
        assert said[0]["status"] == 200
        assert (b"x-content-type-options", b"nosniff") in said[0]["headers"]
        assert said[1]["body"] in (b"ok\n", b"trimtab_up 1\n")


@pytest.mark.parametrize(
    ("error", "told"), [(Overloaded("away"), b"does not answer"), (RuntimeError("a mistake of ours"), b"")]
)
async def test_a_store_that_is_away_does_not_matter_and_a_mistake_is_the_pages_business(
    error: Exception, told: bytes
) -> None:
    async def query(asked: object) -> None:
        raise error

    async def listed(limit: int) -> list[Any]:
        return []

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        said.append(scope["path"])

    async def send(message: Any) -> None:
        said.append(message)

    said: list[Any] = []
    house = house_of(spans=SimpleNamespace(query=query), desk=SimpleNamespace(list=listed), details=[])
    app = vitals.Vitals(house, pages, loopback=True, port=4100, role=str)
    await app(scope_of("/readyz", host="127.0.0.1:4100"), None, send)  # type: ignore[arg-type]
    if told:
        assert said[0]["status"] == 200
        assert told in said[1]["body"]
    else:
        assert said == ["/readyz"]
