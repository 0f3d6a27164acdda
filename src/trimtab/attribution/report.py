"""What attribution says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from trimtab.stats import Estimate

#: Evidence that counts as proof: five layers may be tested at 1 % in total, so 5 / 0.01.
PROVEN_AT = 500.0

Certainty = Literal["proven", "likely", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One explanation. ``change_id`` "" is: no recorded change. ``layer`` is 1 to 5, None where no change is named.

    ``posterior`` is its share of belief among all candidates, ``effect`` exposed minus unexposed answers, ``e_value``
    the evidence of a randomised exposure (1 without), ``cleared`` why it is not the cause ("" if it may be).
    """

    change_id: str
    kind: str
    layer: int | None
    asset: str
    before: str
    after: str
    title: str
    posterior: float
    effect: Estimate | None
    e_value: float
    randomised: bool
    cleared: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of asking failing requests again. ``layer`` None: nothing changed (or everything).

    ``restored`` says what was put back, ``passed`` of ``n`` passed, ``e_value`` is the paired evidence against the arm
    in which nothing changed.
    """

    layer: int | None
    restored: str
    passed: int
    n: int
    e_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceEffect:
    """A slice's means in both arms, over answers that can be compared."""

    slice: str
    exposed: float
    unexposed: float
    effect: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Who did it, how sure, how bad, since when.

    The onset lies between ``onset_low_ns`` and ``onset_high_ns`` (95 %). ``now`` and ``baseline`` are means over the
    ``n`` observations since the detector's onset; ``affected`` counts those of them below .5 that the cause reached.
    ``candidates`` are best first; ``not_tested`` says in sentences what this report does not know.
    """

    signal: str
    slice: str
    onset_low_ns: int
    onset_high_ns: int
    baseline: float
    now: float
    n: int
    affected: int
    cause: Candidate | None
    certainty: Certainty
    candidates: tuple[Candidate, ...]
    slices: tuple[SliceEffect, ...]
    arms: tuple[Arm, ...]
    not_tested: tuple[str, ...]

    def evolve(self, **changes: object) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
