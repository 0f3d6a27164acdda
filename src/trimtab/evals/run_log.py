"""The pen of a run: rows are written many at a time, one transaction after another, without a pause between them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Sink(Protocol):
    """Where rows go: they are on disk when it returns."""

    async def write(self, outputs: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]) -> None: ...


class Pen:
    """Writes what it is given. At most ``limit`` answers are on their way to the disk: so many, and those that were
    under way, are what a crash can lose."""

    def __init__(self, sink: Sink, limit: int) -> None:
        self._sink = sink
        self._limit = limit
        self._unwritten = 0
        self._outputs: list[Mapping[str, Any]] = []
        self._scores: list[Mapping[str, Any]] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Write from now on."""
        self._task = asyncio.create_task(self._write_all(), name="trimtab-eval-pen")

    def output(self, row: Mapping[str, Any]) -> None:
        """Queue an answer."""
        self._outputs.append(row)
        self._unwritten += 1
        if self._unwritten >= self._limit:
            self._room.clear()
        self._news.set()

    def score(self, row: Mapping[str, Any]) -> None:
        """Queue a score."""
        self._scores.append(row)
        self._news.set()

    async def room(self) -> None:
        """Until another answer may be asked for. Raises what writing raised: without its log a run ends."""
        if not self._room.is_set():
            await self._room.wait()
        if self._task is not None and self._task.done() and not self._closing:
            await self._task

    async def close(self) -> None:
        """Write what is queued and end. Raises what writing raised."""
        self._closing = True
        self._news.set()
        if self._task is not None:
            await self._task

    async def _write_all(self) -> None:
        try:
            while not (self._closing and not (self._outputs or self._scores)):
                await self._news.wait()
                self._news.clear()
                outputs, self._outputs = self._outputs, []
                scores, self._scores = self._scores, []
                if outputs or scores:
                    await self._sink.write(outputs, scores)
                self._unwritten -= len(outputs)
                if self._unwritten < self._limit:
                    self._room.set()
        finally:
            self._room.set()
