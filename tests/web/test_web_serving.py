"""The server's surface: models at once, everything else when it is first asked for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab.web import application, server


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
    house: Any = SimpleNamespace(gateway=SimpleNamespace(app=answering("models")))
    app = application(house)

    async def ask(path: str) -> None:
        await app({"type": "http", "path": path}, None, None)  # type: ignore[arg-type]

    await ask("/v1/chat/completions")
    assert (asked, built) == (["models /v1/chat/completions"], [])
    await asyncio.gather(ask("/traces"), ask("/healthz"), ask("/v1/traces"))
    assert built == [house]
    assert sorted(asked[1:]) == ["pages /healthz", "pages /traces", "pages /v1/traces"]


async def test_what_fails_to_load_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    def front(house: object) -> Any:
        tries.append(house)
        raise RuntimeError("not now")

    monkeypatch.setattr(server, "front", front)
    house: Any = SimpleNamespace()
    app = application(house)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not now"):
            await app({"type": "http", "path": "/"}, None, None)  # type: ignore[arg-type]
    assert tries == [house, house]
