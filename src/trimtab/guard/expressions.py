"""Compiling RE2 expressions: quiet, with room for their automata, and many at once.

RE2 needs time linear in the text whatever the pattern. ``Screen`` asks many patterns in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import re2

#: RE2's budget for one compiled pattern and its cache, bytes.
MEMORY = 64 << 20


def compiled(pattern: str, *, capture: bool = True) -> Any:
    """A compiled expression. Raises re2.error, TypeError or UnicodeEncodeError."""
    return re2.compile(pattern, options(capture=capture))


def options(*, capture: bool = True) -> Any:
    """RE2's options: nothing on standard error, captures only where they are needed."""
    chosen = re2.Options()
    chosen.log_errors = False
    chosen.max_mem = MEMORY
    chosen.never_capture = not capture
    return chosen


class Screen:
    """Many patterns: whether any occurs in a text, and which."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._size = len(patterns)
        self._any = compiled("|".join(f"(?:{pattern})" for pattern in patterns), capture=False) if patterns else None
        self._set = re2.Set.SearchSet(options(capture=False))
        for pattern in patterns:
            self._set.Add(pattern)
        if patterns:
            self._set.Compile()

    def silent(self, text: str) -> bool:
        """Whether none occurs: one pass, the common case."""
        return self._any is None or self._any.search(text) is None

    def which(self, text: str) -> Sequence[int]:
        """The positions of the patterns that may occur in a text in which some do.

        A set whose memory ends answers with none; then all are named.
        """
        return self._set.Match(text) or range(self._size)
