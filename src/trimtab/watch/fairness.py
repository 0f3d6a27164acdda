"""Whether the judge's sample is a fair one: told from the scores alone. Pure.

Chance decides which answers a judge sees. So of two neighbouring answers either is as likely to be the one that was
drawn, whatever they are like. Two kinds of neighbours are compared: an answer that failed a check with one that passed
them all, and now and then an answer of one slice with one of another. A sampler, a budget or a judge that passes over
hard answers, or over a whole slice, makes the figures look good while nobody sees the harm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from trimtab.core import Score

#: The signal's name, and that of the verdicts.
FAIR_SAMPLE, VERDICT = "fair_sample", "quality"
#: Checks of which a failed one makes an answer doubtful. The last two look at its text: an answer without one of them
#: has none that a judge could read, or says that it does not know.
CHECKS = frozenset({"complete", "retrieved", "assertions", "grounded", "cites"})
_OF_TEXT = frozenset({"grounded", "cites"})
#: What is read here of all scores, and whether it is a check.
_READ = {VERDICT: False} | dict.fromkeys(CHECKS, True)
#: The slice of pairs of which the first failed a check.
DOUBTFUL = "doubtful answers"
#: How the scores say with which probability an answer was drawn, where all are.
_ALL_DRAWN = "drawn p=1"
#: Readings after which no verdict on an answer is waited for any more: the loop writes checks and verdicts together.
_WAITS = 3
#: Every so many answers one is compared with its neighbour of another slice.
_EVERY = 8
#: Answers that may wait.
_MOST = 20_000


class _Answer:
    """An answer until its verdict has come, or can come no more. ``drawn`` is the judge's probability in words, and
    ``told`` says that it has a text to be judged."""

    __slots__ = ("doubtful", "drawn", "read", "score", "told")

    def __init__(self, score: Score, read: int) -> None:
        self.score, self.read = score, read
        self.doubtful, self.drawn, self.told = False, "", False


class Fairness:
    """Pairs of neighbouring answers, each a value: 1 when the first was judged, 0 when only the second was.

    Pairs of which neither was judged say nothing, nor do pairs that were drawn with different probabilities. While the
    probability stays, the values of a fair sample have a mean that stays; so their slice names it.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, _Answer] = {}
        self._order: deque[_Answer] = deque()
        self._reading = self._answers = 0
        self._sound: _Answer | None = None
        self._before: _Answer | None = None

    def read(self, scores: Sequence[Score]) -> list[tuple[Score, str, float]]:
        """Take scores in the order they were committed; return values as (whose, slice, value)."""
        self._reading += 1
        waiting = self._waiting
        answer: _Answer | None = None
        trace_id = ""
        for score in scores:
            name = score.name
            check = _READ.get(name)
            if check is None:
                continue
            if check:
                if answer is None or score.trace_id != trace_id:
                    answer, trace_id = self._answer(score), score.trace_id
                if score.value < 0.5:
                    answer.doubtful = True
                if name in _OF_TEXT:
                    answer.told = True
            elif score.by.startswith("judge:"):
                self._answer(score).drawn = score.label if score.label.startswith("drawn ") else _ALL_DRAWN
        found: list[tuple[Score, str, float]] = []
        while self._order and (self._order[0].read <= self._reading - _WAITS or len(self._order) > _MOST):
            answer = self._order.popleft()
            del waiting[answer.score.trace_id]
            if answer.told:
                found += self._settled(answer)
        return found

    def _answer(self, score: Score) -> _Answer:
        known = self._waiting.get(score.trace_id)
        if known is None:
            known = self._waiting[score.trace_id] = _Answer(score, self._reading)
            self._order.append(known)
        return known

    def _settled(self, answer: _Answer) -> list[tuple[Score, str, float]]:
        """The pairs that an answer completes. Each answer is the second of one pair at most."""
        pairs: list[tuple[str, _Answer]] = []
        if not answer.doubtful:
            self._sound = answer
        elif self._sound is not None:
            pairs.append((DOUBTFUL, self._sound))
            self._sound = None
        self._answers += 1
        before, self._before = self._before, answer
        if before is not None and self._answers % _EVERY == 0 and before.score.slice != answer.score.slice:
            pairs.append((answer.score.slice, before))
        found = []
        for name, other in pairs:
            drawn = answer.drawn or other.drawn
            if drawn and other.drawn in ("", drawn):
                found.append((answer.score, f"{name}, {drawn}", float(bool(answer.drawn))))
        return found
