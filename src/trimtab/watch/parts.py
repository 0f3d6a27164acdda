"""A slice of a signal as its detectors see it, and what of it survives a restart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from trimtab.stats import EDetector, Seen, lower_bound

from .band import Band
from .clusters import Losses
from .reference import Reference, first_share
from .sessions import WAITS

_FAR = 1.7e308


class Asks(NamedTuple):
    """How many times the threshold detectors need: that of all slices, and those of each. What is told by several looks
    at one signal shares its budget, and those that tell less get less of it."""

    every: float = 1.0
    each: float = 1.0


ONCE = Asks()


class Group:
    """Slices that the detector of all slices bets on alike: against ``low``. ``ones`` wait to be taken by it, and
    ``owed`` is by how much their bounds must be lower together (see ``Losses``)."""

    __slots__ = ("low", "ones", "owed")

    def __init__(self, low: float) -> None:
        self.low = low
        self.ones = [0] * WAITS
        self.owed = 0.0


class Part:
    """A slice: its reference, its band if the signal is a level, and once it is armed its detector.

    Of the batch under way ``new`` counts the values, ``noted`` those that are no plain ones, by ``kinds``, and
    ``later`` the plain ones of a session that had values before (see ``WAITS``). ``own`` counts the ones that its
    detector has not taken yet, ``low`` is what that bets against, and ``group`` holds the same for the detector of all
    slices; ``above`` is how far what that one bets against lies above what is surely so (see ``allowance``).
    ``recent`` counts the newest values, of which the older weigh less, and ``taken`` all of them. ``losses`` are the
    failures that no session explains.
    """

    __slots__ = (
        "above", "armed_at", "band", "detector", "group", "kinds", "later", "losses", "low", "name",
        "new", "noted", "own", "recent", "reference", "taken", "values",
    )  # fmt: skip

    def __init__(self, name: str, first: int) -> None:
        self.name = name
        self.reference = Reference(first)
        self.values: list[float] = []
        self.band: Band | None = None
        self.detector: EDetector | None = None
        self.low = self.recent = self.above = 0.0
        self.new = self.noted = self.taken = 0
        self.kinds: dict[Kind, int] = {}
        self.later, self.own = [0] * WAITS, [0] * WAITS
        self.group = Group(0.0)
        self.losses = Losses()
        #: The stream's count of observations when this slice was armed: evidence before it was never bet on.
        self.armed_at = 0

    def clear(self) -> None:
        """The batch is over."""
        self.new = self.noted = 0
        self.later = [0] * WAITS
        self.losses.fresh = 0.0
        if self.kinds:
            self.kinds = {}


#: How often each value came with what it is bet against.
Counts = dict[Seen, int]
#: A value that is no plain one: itself, how many values its session had before, how much they lost, and the failure
#: rate of the slice before it where that counts.
Kind = tuple[float, int, float, float]


def kept_of(part: Part) -> dict[str, Any]:
    """What of a slice survives a restart, JSON-able."""
    kept = part.reference.state()
    if part.band is not None:
        band = part.band
        # JSON has no infinity: an open end is kept as the largest number there is.
        kept["band"] = [max(band.low, -_FAR), min(band.high, _FAR), band.mean, band.bound]
    elif part.values:
        kept["values"] = part.values
    return kept


def restored(name: str, kept: Mapping[str, Any], first: int, *, level: bool) -> Part:
    """The slice again, of a signal that is a ``level`` or is not. Raises KeyError, TypeError, ValueError or
    AttributeError for what ``kept_of`` did not make."""
    part = Part(name, first)
    if "band" in kept:
        low, high, mean, bound = map(float, kept["band"])
        part.band = Band(low=low, high=high, mean=mean, bound=bound)
    if "low" in kept:
        part.reference.restore(kept)
    elif part.band is not None:  # what a release before growing references kept: only the first part
        part.reference = Reference(first, part.band)
    elif not level and (n := int(kept["n"])) >= first:
        total, binary = float(kept["total"]), bool(kept["binary"])
        part.reference = Reference.known(n, total / n, lower_bound(total, n, first_share(), binary=binary))
    part.values = [float(value) for value in kept.get("values", ())]
    if level and part.band is None and part.reference.n:
        raise ValueError("band")
    return part
