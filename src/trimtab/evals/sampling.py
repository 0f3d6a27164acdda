"""Which live answers a judge looks at, and what the looked-at ones say of all.

The share that is drawn rises while there is evidence of trouble. Each verdict carries the probability with which its
answer was drawn, and figures weigh it by one over that (Horvitz and Thompson 1952; Hajek 1971): raising the share
where things go badly then does not make the whole look bad. The probability depends on the past only, never on the
answer itself.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from trimtab.core import BadInput, Score
from trimtab.stats import Interval, rate_interval
from trimtab.stats.intervals import z_of

from .results import PASS
from .spending import Spend

#: Evidence of a detector above which more is drawn. A detector of healthy traffic gets there at most once in as many
#: observations, on average.
WARNING = 1_000.0
#: The score of an answer that was drawn for a judge and got no verdict, which is always 0; and characters of the reason
#: that it is kept with.
JUDGED, REASON = "judged", 300
_DAY_NS = 86_400 * 10**9
_DRAWN = re.compile(r"drawn p=([0-9.e-]+)")
_WHOLE = ""


class Sampling:
    """Draws answers for a scorer: ``share`` of them in quiet times, ``raised`` while ``evidence`` is above WARNING.

    ``budget_usd`` bounds what verdicts may cost in a day (UTC); when it is spent nothing is drawn until the next day,
    and ``resting`` says so. A verdict without a known price costs nothing here and is counted in ``unpriced``. What is
    under way when the budget ends still ends: it is overspent by that at most. ``spend`` is what was spent today, which
    outlives this object; ``who`` is how the notes call the scorer.
    """

    def __init__(  # house: parameters because each is a setting of its own
        self,
        share: float,
        *,
        rng: Callable[[], float],
        clock: Callable[[], int],
        raised: float = 0.0,
        budget_usd: float | None = None,
        evidence: Callable[[], float] = lambda: 0.0,
        spend: Spend | None = None,
        who: str = "The judge",
    ) -> None:
        for name, value in (("sample", share), ("sample_raised", raised)):
            if not 0.0 <= value <= 1.0:
                raise BadInput(f"{value} is no share.", field=name, mend="Give 0 to 1.")
        if budget_usd is not None and not budget_usd > 0.0:
            raise BadInput(f"{budget_usd} is no budget.", field="budget_usd", mend="Leave it out for no limit.")
        self.share = share
        self.raised = max(share, raised)
        self.budget_usd = budget_usd
        self.evidence = evidence
        self.spend = spend if spend is not None else Spend()
        self._who = who
        self._rng = rng
        self._clock = clock

    @property
    def spent_usd(self) -> float:
        """What verdicts cost today, US dollars."""
        self._turn_day()
        return self.spend.usd

    @property
    def unpriced(self) -> int:
        """Today's verdicts without a known price."""
        self._turn_day()
        return self.spend.unpriced

    @property
    def resting(self) -> bool:
        """Whether today's budget is spent."""
        return self.budget_usd is not None and self.spent_usd >= self.budget_usd

    def probability(self) -> float:
        """With which probability the next answer is drawn."""
        if self.resting:
            return 0.0
        return self.raised if self.raised > self.share and self.evidence() >= WARNING else self.share

    def wanted(self) -> float:
        """The same, whether or not the budget allows it. Rest does not raise it: nothing would come of it."""
        return self.share if self.resting else self.probability()

    def draw(self, probability: float) -> bool:
        """Whether one answer is drawn."""
        return probability > 0.0 and self._rng() < probability

    @property
    def note(self) -> str:
        """What a reader of the scores has to know, a sentence; "" in quiet times."""
        if self.resting:
            return f"{self._who} rests until midnight UTC: today's budget of ${self.budget_usd:g} is spent."
        if self.raised > self.share and self.evidence() >= WARNING:
            seen = f"{self._who} sees {self.raised:.0%} of the answers and not {self.share:.0%}"
            return f"{seen}: there is evidence of trouble."
        return ""

    def _turn_day(self) -> None:
        self.spend.turn(self._clock() // _DAY_NS)


def drawn_label(probability: float) -> str:
    """The probability as it stands in a score's ``label``."""
    return f"drawn p={probability:.6g}"


def weight_of(score: Score) -> float:
    """For how many answers a score stands: one over the probability with which its answer was drawn; 1 for others."""
    found = _DRAWN.fullmatch(score.label)
    probability = float(found[1]) if found else 1.0
    return 1.0 / probability if 0.0 < probability <= 1.0 else 1.0


def weighted_rate(scores: Sequence[Score], *, level: float = 0.95) -> Interval:
    """The mean over all answers from the drawn ones: Hajek's ratio.

    Scores with the same weight are a stratum. Their Wilson intervals are put together by the square-and-add rule
    (Zou and Donner 2008), which keeps its level where failures are few, and what is not known of the strata's sizes is
    added: n (1 - p) / p^2 each. Equal weights give the plain mean. Raises BadInput without scores.
    """
    if not scores:
        raise BadInput("nothing was scored.", field="scores", mend="Wait for traffic.")
    strata: dict[float, list[float]] = defaultdict(list)
    for score in scores:
        strata[weight_of(score)].append(min(1.0, max(0.0, score.value)))
    parts = [(weight, rate_interval(values, level=level)) for weight, values in strata.items()]
    if len(parts) == 1:
        return parts[0][1]
    total = sum(weight * part.n for weight, part in parts)
    mean = min(1.0, sum(weight * part.n * part.value for weight, part in parts) / total)
    sizes = sum(part.n * weight * (weight - 1.0) * ((part.value - mean) / total) ** 2 for weight, part in parts)
    z = z_of(level)
    below = sum((weight * part.n / total * (part.value - part.low)) ** 2 for weight, part in parts)
    above = sum((weight * part.n / total * (part.high - part.value)) ** 2 for weight, part in parts)
    return Interval(
        value=mean, low=max(0.0, mean - math.sqrt(below + z * z * sizes)),
        high=min(1.0, mean + math.sqrt(above + z * z * sizes)), n=len(scores),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRate:
    """One slice of live traffic ("" is all of it): the judge's weighted rate, and what users said of the same answers.

    ``judge`` counts the verdicts of one judge version only, the latest that judged; ``others`` are those left out.
    ``corrected`` is the rate behind the judge where this very digest was calibrated. ``thumbs`` is the users' rate
    whenever their word came; ``agree`` is how often judge and users agree on an answer that both judged. None where
    there is nothing.
    """

    slice: str
    judge: Interval | None
    thumbs: Interval | None
    agree: Interval | None
    others: int = 0
    corrected: Interval | None = None


def live_rates(
    judged: Iterable[Score], thumbs: Iterable[Score], *, most: int = 50, project: str = "",
    correct: Callable[[Sequence[Score]], Interval | None] | None = None,
) -> tuple[LiveRate, ...]:  # fmt: skip
    """Judge and users side by side, all traffic first, then the slices with the most verdicts, at most ``most``.

    A user's word is joined by its trace, however late it came; the last one counts. Verdicts of two judge versions are
    two measures, so they are not averaged: the version that judged last stands for all. ``correct`` makes the rate
    behind that version from its verdicts.
    """
    judged = [score for score in judged if not project or score.project == project]
    version = max(judged, key=lambda s: s.time_ns).by_version if judged else ""
    others: Counter[str] = Counter()
    verdicts: dict[str, list[Score]] = defaultdict(list)
    for score in judged:
        for name in {_WHOLE, score.slice}:
            if score.by_version == version:
                verdicts[name].append(score)
            else:
                others[name] += 1
    last: dict[str, Score] = {}
    for score in sorted(thumbs, key=lambda s: s.time_ns):
        if not project or score.project == project:
            last[score.trace_id] = score
    said: dict[str, list[Score]] = defaultdict(list)
    for score in last.values():
        said[_WHOLE].append(score)
        if score.slice:
            said[score.slice].append(score)
    names = sorted({*verdicts, *said, *others} - {_WHOLE}, key=lambda name: (-len(verdicts[name]), name))[:most]
    found = (_live(name, verdicts[name], said[name], last, others[name]) for name in (_WHOLE, *names))
    return tuple(
        replace(one, corrected=correct(verdicts[one.slice])) if correct and verdicts[one.slice] else one
        for one in found
    )


def _live(name: str, verdicts: Sequence[Score], said: Sequence[Score], last: dict[str, Score], others: int) -> LiveRate:
    both = [
        float((score.value >= PASS) == (last[score.trace_id].value >= PASS))
        for score in verdicts
        if score.trace_id in last
    ]
    return LiveRate(
        slice=name,
        judge=weighted_rate(verdicts) if verdicts else None,
        thumbs=rate_interval([min(1.0, max(0.0, score.value)) for score in said]) if said else None,
        agree=rate_interval(both) if both else None,
        others=others,
    )
