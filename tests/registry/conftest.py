"""A metadata database on each engine, a clock that a test moves, and a registry on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trimtab.registry import Registry
from trimtab.store import Metadata


class Clock:
    """A clock that a test moves; one nanosecond passes at each look."""

    def __init__(self) -> None:
        self.ns = 1_000

    def __call__(self) -> int:
        self.ns += 1
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a database of this test's own is."""
    if request.param == "sqlite":
        return tmp_path / "metadata.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def open_metadata(target: Path | str) -> Iterator[Callable[[], Metadata]]:
    """Opens the database once more, as another process would; all are closed with the test."""
    opened: list[Metadata] = []

    def open_() -> Metadata:
        opened.append(Metadata.open(target))
        return opened[-1]

    yield open_
    for metadata in opened:
        metadata.close()


@pytest.fixture
def metadata(open_metadata: Callable[[], Metadata]) -> Metadata:
    return open_metadata()


@pytest.fixture
async def registry(metadata: Metadata, clock: Clock) -> Registry:
    return await Registry.load(metadata, clock=clock)
