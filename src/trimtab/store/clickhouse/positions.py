"""Positions in the order of commits, where many processes write and nobody numbers for all of them. Pure.

Every writer numbers its own rows upwards and from the clock, and inserts one batch after the other, so what is visible
of one writer is always the beginning of what it wrote. Between writers there is no such order for as long as an insert
may take. A position therefore says up to which number everything was read, the ``floor``, which stays a while behind
the clock, and how far each writer was read beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Numbers in a microsecond, so that those of two writers differ.
PER_US = 1024
#: Microseconds after which no insert with an older number can still come: an insert that takes longer has failed, and
#: clocks may differ by less.
SETTLED_US = 600 * 10**6


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to ``floor`` and, by writer, up to the numbers in ``read`` was read."""

    floor: int
    read: Mapping[str, int]

    @classmethod
    def of(cls, text: str) -> Position:
        """Read what ``str`` wrote; empty text is the beginning."""
        floor, *parts = text.split(".")
        read = (part.partition("-") for part in parts)
        return cls(int(floor or 0), {writer: int(seq) for writer, _, seq in read})

    def __str__(self) -> str:
        return ".".join([str(self.floor), *(f"{writer}-{seq}" for writer, seq in sorted(self.read.items()))])

    def where(self, settled: int, ends: Mapping[str, int]) -> tuple[str, tuple[Any, ...]]:
        """The condition on rows that come after this position: what is settled, and of each writer what is visible."""
        sql = "seq > %s AND seq <= %s"
        parameters: list[Any] = [self.floor, settled]
        for writer, seq in self.read.items():
            sql += " AND NOT (writer = %s AND seq <= %s)"
            parameters += (writer, seq)
        parts = [sql]
        for writer, end in ends.items():
            parts.append("writer = %s AND seq > %s AND seq <= %s")
            parameters += (writer, max(self.read.get(writer, self.floor), self.floor, settled), end)
        return " OR ".join(f"({part})" for part in parts), tuple(parameters)

    def after(
        self, settled: int, ends: Mapping[str, int], taken: Iterable[tuple[str, int]], *, whole: bool
    ) -> Position:
        """The position once rows were taken, in the order of their numbers; ``whole`` says that these were all."""
        if not (taken := list(taken)):
            return self  # The same place has one text, so that nobody keeps it again and again.
        read = dict(self.read)
        last = self.floor
        for writer, seq in taken:
            read[writer] = max(read.get(writer, 0), seq)
            last = max(last, seq)
        if whole:
            read |= ends
            floor = max(self.floor, settled)
        else:
            # Another writer may have the same number, so the floor stays below the last one.
            floor = max(self.floor, min(last - 1, settled))
        return Position(floor, {writer: seq for writer, seq in read.items() if seq > floor})
