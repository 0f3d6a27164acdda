"""Whether another model answers behind a name: one-token answers against a frozen reference. Pure.

Inputs whose first token is almost a tie between two (border inputs) react to the smallest change of a model: Chauvin et
al., "Token-efficient change detection in LLM APIs" (2026, arXiv 2602.11083). What they ask with a fixed number of
samples a day is here a bet that may be looked at after every answer.

The bet. An input is drawn by chance. A set of tokens S is fixed before it is asked: those that the reference never
gave, and those that came more often of late. Were the model the same, an answer would fall into S as often as in the
reference. By the definition of total variation (TV), any model whose distribution of first tokens lies at most d from
the reference, on average over the inputs, answers in S at most d more often. So "in S" is bet on as a coin that shows 1
with at most that probability (a sequential two-sample test with a learned witness: Podkopaev and Ramdas 2023, arXiv
2305.00143), by the house's own e-detector. ``d`` is the tolerance: real endpoints wobble, and a test of equality
rejects a third of their healthy days.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab.stats import EDetector

#: Latest answers of one input from which the witness learns, and how many it needs to learn anything.
RECENT, LEARNS_FROM = 8, 2
#: By how much more often a known token must come of late to join the witness.
MORE_OFTEN = 0.25
#: Answers that are kept for a restart and for the figure on the page.
KEPT, SHOWN = 256, 50
#: An input whose reference leaves more than this to tokens never seen says nothing.
VAGUE = 0.3
#: The warning is given at this part of the tolerance.
HINT = 0.25
#: Evidence from which the onset of a move may be told.
NOTABLE = 1000.0
#: The length of the reference in answers below which log-probabilities are not used.
_LEAST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input and its frozen reference: how often each first token came, and what the log-probabilities were.

    ``spread`` is the largest distance that one reference answer's log-probabilities had from the others' mean; 0 where
    the provider gives none.
    """

    text: str
    counts: Mapping[str, int]
    logprobs: Mapping[str, float]
    spread: float = 0.0

    @property
    def n(self) -> int:
        """Answers in the reference."""
        return sum(self.counts.values())

    @property
    def border(self) -> bool:
        """Whether the reference itself gave more than one token."""
        return len(self.counts) > 1

    @property
    def unseen(self) -> float:
        """What may be left to tokens that the reference never gave: Good-Turing's estimate with one more single."""
        singles = sum(count == 1 for count in self.counts.values())
        return (singles + 1.0) / (self.n + 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of a probe: which input, its first token, and whether its log-probabilities were far off."""

    at: int
    token: str
    far: bool = False


class Drift:
    """The bets on one endpoint. ``threshold`` is the number of answers to a false alarm, on average, at least.

    ``seen`` are the latest answers of an earlier life: what they proved is won again. Not thread-safe.
    """

    def __init__(
        self, inputs: Sequence[Input], *, tolerance: float, threshold: float, seen: Sequence[Answer] = ()
    ) -> None:
        self.inputs = tuple(inputs)
        self.tolerance = tolerance
        self._expected = [_unseen(one) for one in self.inputs]
        usual = 1.0 - sum(self._expected) / max(1, len(self._expected))
        self._alarm = EDetector(threshold, max(0.05, usual - tolerance))
        self._hint = EDetector(threshold, max(0.05, usual - tolerance * HINT))
        self._recent = [deque[str](maxlen=RECENT) for _ in self.inputs]
        self.seen: deque[Answer] = deque(maxlen=KEPT)
        self._excess: deque[float] = deque(maxlen=SHOWN)
        for answer in seen:
            if 0 <= answer.at < len(self.inputs):
                self.take(answer)

    def draw(self, rng: random.Random) -> int:
        """Which input is asked next: by chance, each as likely, which the guarantee rests on."""
        return rng.randrange(len(self.inputs))

    def take(self, answer: Answer) -> None:
        """Bet on one answer, then learn from it."""
        one, recent = self.inputs[answer.at], self._recent[answer.at]
        strange, expected = _witness(one, recent, self._expected[answer.at])
        hit = answer.far or answer.token not in one.counts or answer.token in strange
        x = 0.0 if hit else 1.0
        self._alarm.update(x, max(0.0, 1.0 - expected - self.tolerance))
        self._hint.update(x, max(0.0, 1.0 - expected - self.tolerance * HINT))
        self._excess.append((1.0 - x) - expected)
        recent.append(answer.token)
        self.seen.append(answer)

    @property
    def evidence(self) -> float:
        """The e-value for a move beyond the tolerance."""
        return self._alarm.value

    @property
    def threshold(self) -> float:
        """The evidence that an alarm needs."""
        return self._alarm.threshold

    @property
    def swapped(self) -> bool:
        """Whether the answers moved beyond the tolerance."""
        return self._alarm.fired

    @property
    def moved(self) -> bool:
        """Whether the answers moved at all, by a quarter of the tolerance."""
        return self._hint.fired

    @property
    def distance(self) -> float:
        """How far the latest answers lie from the reference at least, in total variation, 0 to 1; those since the
        likeliest onset where there is evidence of a move."""
        latest = list(self._excess)
        if self._alarm.value > NOTABLE:
            latest = latest[-max(LEARNS_FROM, self._alarm.n_since) :]
        return min(1.0, max(0.0, sum(latest) / len(latest))) if latest else 0.0


def _unseen(one: Input) -> float:
    far = 1.0 / (one.n + 1.0) if one.logprobs else 0.0
    return min(1.0, one.unseen + far)


def _witness(one: Input, recent: Sequence[str], unseen: float) -> tuple[frozenset[str], float]:
    """The known tokens that came more often of late, and how likely the reference is to answer in the whole set."""
    if len(recent) < LEARNS_FROM:
        return frozenset(), unseen
    n, of_late = one.n, Counter(recent)
    strange = frozenset(
        token for token, count in of_late.items()
        if token in one.counts and count / len(recent) - one.counts[token] / n > MORE_OFTEN
    )  # fmt: skip
    if not strange:
        return strange, unseen
    share = sum(one.counts[token] for token in strange) / n
    # What the set's share may be off by: the set was chosen after a look at the same counts.
    return strange, min(1.0, share + math.sqrt(share * (1.0 - share) / n) + unseen)


def logprob_distance(reference: Mapping[str, float], seen: Mapping[str, float]) -> float:
    """The mean distance of log-probabilities over the reference's tokens; one that is missing counts as the lowest."""
    if not reference or not seen:
        return 0.0
    floor = min(seen.values())
    return sum(abs(seen.get(token, floor) - value) for token, value in reference.items()) / len(reference)


def frozen(text: str, tokens: Sequence[str], logprobs: Sequence[Mapping[str, float]]) -> Input:
    """The reference of one input, of its answers. Log-probabilities are used where every answer brought them."""
    full = len(logprobs) == len(tokens) >= _LEAST and all(logprobs)
    mean = _mean(logprobs) if full else {}
    spread = 0.0
    if mean:
        spread = max(
            logprob_distance(_mean([*logprobs[:i], *logprobs[i + 1 :]]), one) for i, one in enumerate(logprobs)
        )
    return Input(text=text, counts=Counter(tokens), logprobs=mean, spread=spread)


def is_far(one: Input, seen: Mapping[str, float]) -> bool:
    """Whether log-probabilities lie further off than any of the reference did, with room for an endpoint's noise."""
    return bool(one.logprobs and seen) and logprob_distance(one.logprobs, seen) > 2.0 * one.spread + 0.05


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    common = set(rows[0]).intersection(*rows[1:]) if rows else set()
    return {token: sum(row[token] for row in rows) / len(rows) for token in sorted(common)}
