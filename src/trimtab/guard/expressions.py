"""Compiling RE2 expressions: quiet, with room for their automata, and many at once.

RE2 needs time linear in the text whatever the pattern. ``Screen`` asks many patterns in one pass. The guard's own
patterns are some hundreds, and most policies use a part of them: each is compiled when it is first asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import re2

#: RE2's budget for one compiled pattern and its cache, bytes.
MEMORY = 64 << 20


def compiled(pattern: str, *, capture: bool = True) -> Any:
    """An expression known to be right, as if compiled: that happens at its first use."""
    return _Expression(pattern, capture)


def checked(pattern: str) -> Any:
    """An expression compiled at once. Raises re2.error, TypeError or UnicodeEncodeError."""
    return re2.compile(pattern, options())


def options(*, capture: bool = True) -> Any:
    """RE2's options: nothing on standard error, captures only where they are needed."""
    chosen = re2.Options()
    chosen.log_errors = False
    chosen.max_mem = MEMORY
    chosen.never_capture = not capture
    return chosen


class _Expression:
    """What ``re2`` offers on an expression; whatever was asked for once is an attribute from then on."""

    def __init__(self, pattern: str, capture: bool) -> None:
        self.pattern = pattern
        self._capture = capture

    @cached_property
    def _made(self) -> Any:
        return re2.compile(self.pattern, options(capture=self._capture))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._made, name)
        setattr(self, name, value)
        return value


class Screen:
    """Many patterns, known to be right: which of them occur in a text, in one pass.

    One more pattern that occurs everywhere shows that the automaton has not run out of memory: where it has, or where
    it cannot have so much, every pattern is named.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)

    @cached_property
    def _set(self) -> Any:
        made = re2.Set.SearchSet(options(capture=False))
        for pattern in (*self._patterns, ""):
            made.Add(pattern)
        try:
            made.Compile()
        except re2.error:  # too many for one automaton
            return None
        return made

    def silent(self, text: str) -> bool:
        """Whether none occurs: the common case."""
        return not self.which(text)

    def which(self, text: str) -> Sequence[int]:
        """The positions of the patterns that occur, in order."""
        size = len(self._patterns)
        if not size:
            return ()
        every = self._set
        seen: Sequence[int] = (every.Match(text) or ()) if every is not None else ()
        if size not in seen:
            return range(size)
        return sorted(number for number in seen if number < size) if len(seen) > 1 else ()
