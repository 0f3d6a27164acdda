"""Recorded bytes played to an adapter, split as a test likes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from trimtab.providers import HttpClient
from trimtab.providers.exchange import Response

WIRE = Path(__file__).parents[1] / "wire"


class Played(Response):
    """An answer whose body comes in the given pieces."""

    def __init__(self, pieces: Iterable[bytes], status: int, kind: str) -> None:
        self.status = status
        self._headers = {"content-type": kind}
        self._pieces_to_come = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        for piece in self._pieces_to_come:
            yield piece

    async def close(self) -> None:
        return None


class Player(HttpClient):
    """Stands where the HTTP client is. ``asked`` holds (url, headers, body) of every request."""

    def __init__(self, pieces: Iterable[bytes] = (), *, status: int = 200, kind: str = "text/event-stream") -> None:
        self.pieces, self.status, self.kind = list(pieces), status, kind
        self.asked: list[tuple[str, Mapping[str, str], Any]] = []
        self.limits: list[float] = []

    def way(self, method: str, url: str, headers: Mapping[str, str]) -> Any:
        assert method == "POST"
        return url, headers

    async def send(self, way: Any, body: bytes, **limits: Any) -> Response:
        url, headers = way
        self.asked.append((url, headers, json.loads(body)))
        self.limits.append(limits["timeout"])
        return Played(self.pieces, self.status, self.kind)


def recorded(name: str) -> bytes:
    """The bytes of a file under ``tests/wire``."""
    return (WIRE / name).read_bytes()


def plain(name: str, status: int = 200) -> Player:
    """A player of one plain reply."""
    return Player([recorded(name)], status=status, kind="application/json")
