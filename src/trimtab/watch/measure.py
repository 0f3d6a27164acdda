"""What a measure is: a pure function of a gateway trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trimtab.core import Layer

from .band import Worse
from .traffic import Traffic

Rule = Callable[[Traffic], float | None]

#: Calls of tools and models that a request is looked at for.
MOST_SPANS = 200
#: ``Measure.dear`` of measures that look through whole texts or only explain, and of those that compare texts.
SOME, FEW = 5, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """``dear`` ones take long: of a busy server's measured requests they are read of one in so many.

    ``worse`` None is a test. ``tolerance`` is the part by which a level may move before it is news, ``least`` the
    same in its own unit: the smallest change that anybody would act on, not what a detector could see. ``harm`` says
    that a move of it hurts by itself; the others explain incidents and open none. ``tells`` and ``rare``: see
    ``Signal``."""

    name: str
    layer: Layer | None
    title: str
    unit: str
    help: str
    of: Rule
    worse: Worse | None = None
    tolerance: float = 0.0
    least: float = 0.0
    dear: int = 1
    harm: bool = False
    tells: float | None = None
    rare: bool = False
