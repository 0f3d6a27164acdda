"""Whether the instructions that a request brings along are known: for prompts outside the registry. Pure.

What the registry renders is a version, and the ledger knows when it changed. Instructions that an application writes
itself change without a word to anybody; their hash tells.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache

from trimtab.core import Span

from .observation import Observation
from .signals import KNOWN_PROMPT
from .told import Told, valued
from .traffic import SHOWN, Traffic

#: First requests of a project whose instructions are taken for known, and requests for which others are new.
_LEARNT, _NEW = 200, 2000
#: Instructions of a project that are remembered, and projects.
_MOST, _PROJECTS = 512, 64
_INSTRUCTIONS = frozenset({"system", "developer"})
_NUMBER = re.compile(r"\d+")


class _Known:
    """The hashes of a project's instructions by the request that brought them first, the last used at the end."""

    __slots__ = ("first", "n")

    def __init__(self) -> None:
        self.n = 0
        self.first: OrderedDict[int, int] = OrderedDict()

    def add(self, key: int) -> float | None:
        """The next request: 0 when its instructions are new, None while nobody knows what is usual."""
        self.n += 1
        at = self.first.setdefault(key, self.n)
        self.first.move_to_end(key)
        if len(self.first) > _MOST:
            self.first.popitem(last=False)
        if self.n <= _LEARNT:
            return None
        return float(at <= _LEARNT or self.n - at >= _NEW)


class Wordings:
    """Reads requests in their order. After a restart it says nothing until it knows enough again."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def read(self, seen: Traffic, one: Observation, found: list[Told]) -> None:
        """Add the value of a request that brings its own instructions and has no prompt of the registry."""
        root = seen.root
        if root.stamp.prompt or seen.limited or not (text := instructions_of(root)):
            return
        known = self._known.get(root.project)
        if known is None:
            if len(self._known) >= _PROJECTS:
                return
            known = self._known[root.project] = _Known()
        value = known.add(_hash(text))
        if value is not None:
            found.append(Told(KNOWN_PROMPT, root.project, valued(one, value)))


def instructions_of(root: Span) -> str:
    """The instructions among the messages that were asked, as far as they are looked at."""
    ask = root.attributes.get("ask")
    messages = ask.get("messages") if isinstance(ask, Mapping) else None
    if not isinstance(messages, list | tuple):
        return ""
    found = [
        content[:SHOWN]
        for each in messages[:20]
        if isinstance(each, Mapping) and each.get("role") in _INSTRUCTIONS
        and isinstance(content := each.get("content"), str)
    ]  # fmt: skip
    return "\n".join(found)


@lru_cache(maxsize=256)
def _hash(text: str) -> int:
    """The same for texts that differ in numbers and in spaces only: the date of today makes no prompt a new one."""
    return hash(_NUMBER.sub("0", " ".join(text.split())))
