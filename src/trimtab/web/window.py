"""The stretch of time that a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """``since_ns`` to ``until_ns`` in ``cells`` cells of ``cell_s`` seconds; ``live`` when it ends now.

    Cells begin at whole multiples of their length, so that a cell holds the same minutes at every reload.
    """

    name: str
    cell_s: int
    cells: int
    since_ns: int
    until_ns: int
    live: bool

    def cell_of(self, time_ns: int) -> int | None:
        """The position of the cell that a time lies in."""
        at = (time_ns - self.since_ns) // (self.cell_s * SECOND)
        return int(at) if 0 <= at < self.cells else None

    @property
    def length_ns(self) -> int:
        """From its start to its end."""
        return self.until_ns - self.since_ns


#: (name, seconds of a cell, cells): multiples of the ten seconds that the store rolls up to.
SIZES = (("15m", 10, 90), ("1h", 60, 60), ("6h", 300, 72), ("24h", 1200, 72))
TITLES = {"15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d", "30d": "30 d", "90d": "90 d"}


def window(name: str, now_ns: int, until_ns: int = 0, *, sizes: Sequence[tuple[str, int, int]] = SIZES) -> Window:
    """The window of a name that ends at ``until_ns``, or with the cell in which now lies; unknown names give the first
    of ``sizes``."""
    known = next((size for size in sizes if size[0] == name), sizes[0])
    title, cell_s, cells = known
    live = until_ns <= 0 or until_ns >= now_ns
    cell_ns = cell_s * SECOND
    end = ((now_ns if live else until_ns) // cell_ns + 1) * cell_ns if live else -(-until_ns // cell_ns) * cell_ns
    return Window(name=title, cell_s=cell_s, cells=cells, since_ns=end - cells * cell_ns, until_ns=end, live=live)


def fitting(first_ns: int, now_ns: int, sizes: Sequence[tuple[str, int, int]] = SIZES) -> str:
    """The smallest window that holds everything since ``first_ns``."""
    for name, cell_s, cells in sizes:
        if now_ns - first_ns <= (cells - 1) * cell_s * SECOND:
            return name
    return sizes[-1][0]


def links(shown: Window, asked: str, sizes: Sequence[tuple[str, int, int]] = SIZES) -> Sequence[tuple[str, str, bool]]:
    """(name, title, current) of each size; nothing is current by link where the page chose by itself."""
    return [(name, TITLES[name], name == (asked or shown.name)) for name, _, _ in sizes]
