"""What attribution says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from trimtab.stats import Estimate

#: Evidence that counts as proof: five layers may be tested at 1 % in total, so 5 / 0.01.
PROVEN_AT = 500.0


def proof_at(tests: int) -> float:
    """The evidence that counts as proof where so many explanations were tested: 1 % in total, for five at least."""
    return max(PROVEN_AT, 100.0 * tests)


Certainty = Literal["proven", "likely", "unknown"]
#: How exposed and unexposed answers were compared: ``chance`` decided in the same minutes, ``elsewhere`` answers that
#: could not be reached say what else moved, or nothing but what was ``before``.
Compared = Literal["chance", "elsewhere", "before"]
#: How two causes act: a ``pair`` each breaks answers by itself, of a ``chain`` taking back either mends them, and what
#: stands ``beside`` explains what the first leaves over, as likely as records alone can make it.
Together = Literal["", "pair", "chain", "beside"]
Role = Literal["same", "restore", "all", "break"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One explanation. ``change_id`` "" is: no recorded change. ``layer`` is 1 to 5, None where no change is named.

    ``posterior`` is its share of belief among all candidates, ``effect`` exposed minus unexposed answers, ``e_value``
    the evidence of a randomised exposure (1 without), ``cleared`` why it is not the cause ("" if it may be).
    ``compared`` says how exposed and unexposed were told apart. ``since_ns`` is set where only time tells whom it
    reached.
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
    compared: Compared = "before"
    since_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of asking requests again. ``layer`` None: nothing changed, or everything was put back (``role`` all).

    ``restored`` says what was put back; in a ``break`` arm everything was but that. ``passed`` of the ``n`` requests
    that had failed passed; of ``sound`` requests that had passed, ``spoilt`` failed. ``e_value`` is the paired evidence
    over all of them: against the arm in which nothing changed, of a ``break`` arm against the one with all put back.
    ``change_id`` is the change that the arm is about.
    """

    layer: int | None
    restored: str
    passed: int
    n: int
    e_value: float
    role: Role = "restore"
    change_id: str = ""
    sound: int = 0
    spoilt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBelief:
    """How much of the belief falls to a layer, whether or not a change of it is named."""

    layer: int
    belief: float


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
    ``candidates`` are best first; ``not_tested`` says in sentences what this report does not know. ``signals`` are all
    that the cause explains, harm first; ``apart`` says in sentences what else moved and is something else's doing.
    ``layers`` is the belief in each layer, most first; ``guesses`` is what it is where nothing is recorded. ``also``
    are causes beside ``cause``, and ``together`` says how they act.

    ``certainty`` is that of the cause. Without one it is that of the layer: "likely" where several changes of one layer
    are left, and the layer is not in doubt.
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
    signals: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    layers: tuple[LayerBelief, ...] = ()
    guesses: tuple[LayerBelief, ...] = ()
    also: tuple[Candidate, ...] = ()
    together: Together = ""

    @property
    def layer(self) -> int | None:
        """The cause's layer; without a named change the one that more than half of the belief falls to, else None."""
        if self.cause is not None and self.cause.layer is not None:
            return self.cause.layer
        return self.layers[0].layer if self.layers and self.layers[0].belief > 0.5 else None

    @property
    def claimed(self) -> int | None:
        """The layer that is claimed, of a cause or alone; None where nothing is claimed."""
        return self.layer if self.certainty != "unknown" else None

    def evolve(self, **changes: object) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
