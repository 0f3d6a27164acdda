"""The stores that the contract is put to, and each of them filled with the same world.

A new store is one line in ``STORES``: how to open an empty one with a clock, closed again at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from moving_clock import NOON, Clock
from span_reference import Reference
from span_world import commits

from servers import fresh_clickhouse, fresh_database
from trimtab.store import Spans, SpanStore
from trimtab.store.clickhouse import ClickHouseSpans
from trimtab.store.postgres import PostgresSpans

#: The store whose words are written down once it is filled, so that it searches by them.
WITH_WORDS = "sqlite with words"
Opener = Callable[[pytest.FixtureRequest, Path, Clock], AbstractContextManager[Spans]]


def _sqlite(_request: pytest.FixtureRequest, folder: Path, clock: Clock) -> AbstractContextManager[Spans]:
    return contextlib.closing(SpanStore.open(folder / "spans", clock=clock))


@contextlib.contextmanager
def _postgres(request: pytest.FixtureRequest, _folder: Path, clock: Clock) -> Iterator[Spans]:
    with (
        fresh_database(request.getfixturevalue("_postgres")) as url,
        contextlib.closing(PostgresSpans.open(url, clock=clock, capacity=50_000)) as store,
    ):
        yield store


@contextlib.contextmanager
def _clickhouse(request: pytest.FixtureRequest, _folder: Path, clock: Clock) -> Iterator[Spans]:
    with (
        fresh_clickhouse(request.getfixturevalue("clickhouse")) as url,
        contextlib.closing(ClickHouseSpans.open(url, clock=clock, capacity=50_000)) as store,
    ):
        yield store


STORES: dict[str, Opener] = {
    "sqlite": _sqlite,
    WITH_WORDS: _sqlite,
    "postgresql": _postgres,
    "clickhouse": _clickhouse,
}


@pytest.fixture(scope="session", params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    """Each store in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def reference() -> Reference:
    """The world in plain Python."""
    clock = Clock()
    filled = Reference(clock)
    for commit in commits():
        clock.now = NOON + commit.after_ns
        filled.write(commit.spans, commit.scores)
    return filled


@pytest.fixture(scope="session")
def spans(store_name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spans]:
    """A store with the world in it. Tests only read it."""
    clock = Clock()

    async def fill(store: Spans) -> None:
        for commit in commits():
            clock.now = NOON + commit.after_ns
            await store.write(commit.spans, commit.scores)

    with STORES[store_name](request, tmp_path_factory.mktemp("world"), clock) as store:
        asyncio.run(fill(store))
        if store_name == WITH_WORDS and isinstance(store, SpanStore):
            assert asyncio.run(store.index(today=True)) > 0
        yield store


@pytest.fixture
def fresh(store_name: str, request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Spans]:
    """An empty store of the test's own; the test moves its ``clock``."""
    with STORES[store_name](request, tmp_path, clock) as store:
        yield store
