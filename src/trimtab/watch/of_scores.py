"""What scores tell of those who give them: whether the judge's sample is fair, whether it is firm, and whether what was
drawn for it is judged. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence

from trimtab.core import Score

from .fairness import FAIR_SAMPLE, VERDICT, Fairness
from .firmness import OF_CHECK, Firmness
from .observation import Observation, Served
from .signals import FIRM, JUDGED
from .told import Told

#: The observations of one reading by project and name of the score.
Boxes = MutableMapping[tuple[str, str], list[Observation]]


class OfScores:
    """Reads scores in the order they were committed."""

    def __init__(self) -> None:
        self._fairness, self._firmness, self._judges = Fairness(), Firmness(), False

    def failed(self, check: str, trace_id: str) -> None:
        """A check found fault with an answer."""
        if check == OF_CHECK:
            self._firmness.failed(trace_id)

    def read(self, scores: Sequence[Score], boxes: Boxes, served: Callable[[Score], Served]) -> list[Told]:
        """The values that scores bring. What is not a score of its own is taken out of the ``boxes``."""
        found: list[Told] = []
        for project, name in list(boxes):
            if name == VERDICT:
                self._judges = True
                found += [Told(FIRM, project, one) for one in self._firmness.read(boxes[project, VERDICT])]
                found += self._drawn(project, boxes.get((project, JUDGED), []), boxes[project, VERDICT])
            elif name == JUDGED:
                missed = boxes.pop((project, JUDGED))
                if (project, VERDICT) not in boxes:
                    found += self._drawn(project, missed, ())
        # Where no judge takes part there is no sample that could be fair.
        if self._judges:
            found += [
                Told(FAIR_SAMPLE, score.project, Observation(served(score), name, value))
                for score, name, value in self._fairness.read(scores)
            ]
        return found

    def _drawn(self, project: str, missed: Sequence[Observation], verdicts: Sequence[Observation]) -> Iterator[Told]:
        """A value for each answer that was drawn for the judge. A verdict of a person has no judge's version."""
        given = [one if one.value == 1.0 else Observation(one.served, one.slice, 1.0) for one in verdicts]
        judged = [one for one in given if "judges" in one.served.pins]
        for one in sorted([*judged, *missed], key=lambda one: one.served.time_ns) if missed else judged:
            yield Told(JUDGED, project, one)
