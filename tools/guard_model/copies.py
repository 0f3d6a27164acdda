"""Near copies: collections of attacks copy each other, and a copy in training flatters the figures."""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict

#: Words of a shingle, and the share of a text's shingles that make it a copy: between sources, and within one set.
WORDS = 5
COPY = 0.5
SAME = 0.8
#: At most so many shingles of a text are kept: those with the lowest hashes.
KEPT = 200
_WORD = re.compile(r"\w+")


def shingles(text: str) -> frozenset[int]:
    """Hashes of the runs of five words of a text; of a shorter text, of its words."""
    words = _WORD.findall(text.casefold())
    runs = {" ".join(words[at : at + WORDS]) for at in range(max(1, len(words) - WORDS + 1))}
    return frozenset(sorted(zlib.crc32(run.encode()) for run in runs)[:KEPT])


class Copies:
    """Texts seen so far. ``share`` is how many of the shingles of the shorter text make two texts copies."""

    def __init__(self, share: float = COPY) -> None:
        self._share = share
        self._seen: list[int] = []
        self._owners: dict[int, list[int]] = defaultdict(list)

    def of(self, text: str) -> list[int]:
        """Numbers of the texts seen so far that this one is a near copy of."""
        mine = shingles(text)
        shared = Counter(owner for shingle in mine for owner in self._owners.get(shingle, ()))
        return [owner for owner, count in shared.items() if count >= self._share * min(len(mine), self._seen[owner])]

    def add(self, text: str) -> int:
        """See a text; its number."""
        mine = shingles(text)
        self._seen.append(len(mine))
        for shingle in mine:
            self._owners[shingle].append(len(self._seen) - 1)
        return len(self._seen) - 1

    def fresh(self, text: str) -> bool:
        """Whether no text so far is a near copy of this one, which is seen then."""
        if self.of(text):
            return False
        self.add(text)
        return True
