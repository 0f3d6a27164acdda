"""What the terminal shows of the story: a progress bar while the monitors learn, then one line an event."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

_STYLES = {
    "change": "yellow",
    "alarm": "red",
    "verdict": "magenta",
    "action": "cyan",
    "cases": "green",
    "done": "green",
}


class Terminal:
    """Writes to ``out``; everything that is not the result goes to standard error when the result is JSON."""

    def __init__(self, *, json: bool) -> None:
        out: TextIO = sys.stderr if json else sys.stdout
        self._console = Console(file=out, highlight=False, soft_wrap=True)
        self._start = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def say(self, kind: str, text: str) -> None:
        """One line: the time since the start, what kind of event, the event."""
        self._end_progress()
        at = time.monotonic() - self._start
        line = Text(f"{int(at // 60):02d}:{at % 60:04.1f}  ")
        line.append(f"{kind:<9}", style=_STYLES.get(kind, "bold"))
        line.append(text)
        self._console.print(line)

    def learning(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._progress is None:
            self._progress = Progress(
                TextColumn("         watching "),
                BarColumn(bar_width=32),
                MofNCompleteColumn(),
                TextColumn("requests"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task("watching", total=total)
        assert self._task is not None
        self._progress.update(self._task, completed=done, total=total)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._end_progress()

    def _end_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress, self._task = None, None
