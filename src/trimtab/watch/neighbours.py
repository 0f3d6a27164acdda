"""What is told of requests only beside their neighbours: a document that is suddenly in many contexts, and a question
that the same person asks again. Pure.

Both remember a little: after a restart they say nothing until they know enough again.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

from trimtab.evals import content_words

from .observation import Observation
from .signals import ASKED_ONCE, SPREAD
from .told import Told, valued
from .traffic import SHOWN, Traffic

#: Newest contexts of a slice in which documents are counted, those before them, and by how much more of the newer ones
#: a document may stand in.
_NEW, _BEFORE, _SUDDEN = 64, 512, 0.3
#: Slices and sessions that are remembered.
_SLICES, _SESSIONS = 64, 20_000
#: Who asks again does so within this time, in so many of the same words.
_AGAIN_NS, _SAME = 600 * 10**9, 0.6


class _Contexts:
    """The documents of the newest contexts of a slice, and of those before them, counted."""

    __slots__ = ("before", "counts", "counts_before", "new")

    def __init__(self) -> None:
        self.new: deque[frozenset[str]] = deque()
        self.before: deque[frozenset[str]] = deque()
        self.counts: Counter[str] = Counter()
        self.counts_before: Counter[str] = Counter()

    def add(self, documents: frozenset[str]) -> float | None:
        """Take a context: 0 when one of its documents is suddenly in many, None while too few are known."""
        self.new.append(documents)
        self.counts.update(documents)
        if len(self.new) > _NEW:
            old = self.new.popleft()
            self.counts.subtract(old)
            self.before.append(old)
            self.counts_before.update(old)
        if len(self.before) > _BEFORE:
            self.counts_before.subtract(self.before.popleft())
            # What is counted no more would pile up.
            self.counts, self.counts_before = +self.counts, +self.counts_before
        if len(self.before) < _BEFORE:
            return None
        sudden = [self.counts[each] / _NEW - self.counts_before[each] / _BEFORE for each in documents]
        return float(max(sudden) <= _SUDDEN)


class _Asked(NamedTuple):
    """What a session asked last."""

    whose: Observation
    end_ns: int
    words: frozenset[str]


class Neighbours:
    """Reads requests in their order. Not thread-safe."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, str], _Contexts] = {}
        self._asked: OrderedDict[tuple[str, str], _Asked] = OrderedDict()

    def read(self, seen: Traffic, one: Observation) -> Iterator[Told]:
        """The values that a request brings: of its own documents, and of the question before it in its session. ``one``
        is an observation of it that says 1."""
        root = seen.root
        documents = frozenset(str(p["document"]) for p in seen.passages if p.get("document"))
        place = root.project, root.tags.get("topic", "")
        if documents and (place in self._contexts or len(self._contexts) < _SLICES):
            value = self._contexts.setdefault(place, _Contexts()).add(documents)
            if value is not None:
                yield Told(SPREAD, root.project, valued(one, value))
        if root.session and not seen.limited and root.input:
            yield from self._asked_again(seen, one)

    def _asked_again(self, seen: Traffic, one: Observation) -> Iterator[Told]:
        root = seen.root
        words = frozenset(content_words(root.input[:SHOWN]))
        before = self._asked.pop((root.project, root.session), None)
        self._asked[root.project, root.session] = _Asked(one, root.end_ns, words)
        if len(self._asked) > _SESSIONS:
            self._asked.popitem(last=False)
        if before is None or root.start_ns - before.end_ns > _AGAIN_NS or not before.words:
            return
        shared, either = len(words & before.words), len(words | before.words)
        yield Told(ASKED_ONCE, root.project, valued(before.whose, float(shared < _SAME * either)))
