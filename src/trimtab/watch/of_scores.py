"""What scores tell of those who give them: whether the judge's sample is fair, whether it is firm, and whether what was
drawn for it is judged. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence

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
        drawn: dict[str, list[Sequence[Observation]]] = {}
        for project, name in list(boxes):
            if name == VERDICT:
                self._judges = True
                found += [Told(FIRM, project, one) for one in self._firmness.read(boxes[project, VERDICT])]
                drawn.setdefault(project, []).append(_judged(boxes[project, VERDICT]))
            elif name == JUDGED:
                drawn.setdefault(project, []).append(boxes.pop((project, JUDGED)))
            elif "." in name:  # of a list of live scorers, whose own name may hold dots too, or of a judge's criterion
                drawn.setdefault(project, []).append(_judged(boxes[project, name]))
        for project, parts in drawn.items():
            found += [Told(JUDGED, project, one) for one in _worst(parts)]
        # Where no judge takes part there is no sample that could be fair.
        if self._judges:
            found += [
                Told(FAIR_SAMPLE, score.project, Observation(served(score), name, value))
                for score, name, value in self._fairness.read(scores)
            ]
        return found


def _judged(verdicts: Iterable[Observation]) -> list[Observation]:
    """A value of 1 for each verdict of a judge. That of a person or of code has no judge's version."""
    given = [one for one in verdicts if "judges" in one.served.pins]
    return [one if one.value == 1.0 else Observation(one.served, one.slice, 1.0) for one in given]


def _worst(parts: Sequence[Sequence[Observation]]) -> Sequence[Observation]:
    """A value for each answer that was drawn: an answer for several judges counts once, and is 0 if one of them gave
    no verdict, for what hinders one mostly hinders the others."""
    drawn = [one for part in parts for one in part]
    if len([part for part in parts if part]) > 1:  # a part by itself says the same of each of its answers
        drawn.sort(key=lambda one: (one.served.time_ns, one.value))
    found: dict[str, Observation] = {}
    for one in drawn:
        found.setdefault(one.served.trace_id, one)
    return list(found.values())
