"""A clock that tests move, spans and scores with only what a test cares about, and stores that are closed again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moving_clock import NOON, Clock

from trimtab.core import Score, Span
from trimtab.store import SpanStore, indexing


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_store(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., SpanStore]]:
    """Opens stores on one folder (``spans`` in tmp_path) with the movable clock, and closes what a test left open."""
    opened: list[SpanStore] = []

    def open_(**options: Any) -> SpanStore:
        opened.append(SpanStore.open(tmp_path / "spans", clock=clock, **options))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's own thread writes down no words before a test is over."""
    monkeypatch.setattr(indexing, "_LOOK_S", 3600.0)
    monkeypatch.setattr(indexing, "_GLANCE_S", 3600.0)


@pytest.fixture
def make_span() -> Callable[..., Span]:
    number = itertools.count(1)

    def make(**fields: Any) -> Span:
        n = next(number)
        plain: dict[str, Any] = {
            "trace_id": f"{n:032x}",
            "span_id": f"{n:016x}",
            "name": "ask",
            "kind": "chain",
            "start_ns": NOON + n,
        }
        merged = plain | fields
        merged.setdefault("end_ns", merged["start_ns"] + 5_000_000)
        return Span(**merged)

    return make


@pytest.fixture
def make_score() -> Callable[..., Score]:
    number = itertools.count(1)

    def make(**fields: Any) -> Score:
        n = next(number)
        plain: dict[str, Any] = {
            "id": f"score-{n}",
            "trace_id": f"{n:032x}",
            "name": "quality",
            "value": 0.5,
            "by": "check:x",
            "time_ns": NOON + n,
        }
        return Score(**plain | fields)

    return make
