"""What the scores of one trace come to. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trimtab.core import Score, Span
from trimtab.watch import SIGNALS

from .banner import signal_title

#: Scores that say nothing about whether this answer was good: who answered, and how the judge itself is doing.
NOT_ABOUT_THE_ANSWER = frozenset({"first_choice", "judge_agreement", "judged"})
PASS_FROM = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``word`` and ``css`` are shown as glyph and word; ``worst`` is the lowest score about the answer."""

    word: str
    css: str
    worst: Score | None

    @property
    def worst_title(self) -> str:
        """The worst score's name, in lower case."""
        return signal_title(self.worst.name).lower() if self.worst else ""


def verdict(root: Span, scores: Iterable[Score]) -> Verdict:
    """Refused and failed requests say so; else the worst score decides; without scores it is not scored."""
    known = [s for s in scores if s.name not in NOT_ABOUT_THE_ANSWER]
    order = list(SIGNALS)
    # Among equals the first of the signals speaks: a layer's own says more than the outcome after it.
    worst = min(known, key=lambda s: (s.value, order.index(s.name) if s.name in order else len(order)), default=None)
    if root.status == "refused":
        return Verdict(word="refused", css="none", worst=worst)
    if root.status == "error":
        return Verdict(word="error", css="fail", worst=worst)
    if worst is None:
        return Verdict(word="not scored", css="unsure", worst=None)
    return Verdict(word="fail", css="fail", worst=worst) if worst.value < PASS_FROM else _passed(worst)


def _passed(worst: Score) -> Verdict:
    return Verdict(word="pass", css="pass", worst=worst)
