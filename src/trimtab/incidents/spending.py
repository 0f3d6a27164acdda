"""What replays of an incident cost, how far they may go by themselves, and what a person allowed beyond that. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from trimtab.core import BadInput

#: Calls of models that replays of one incident may make, and US dollars that they may cost, before somebody is asked.
MAX_CALLS, MAX_USD = 1000, 5.0
#: The most calls that one person's word can add.
MOST_MORE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """``calls`` were made, at about ``usd``: each request asked again is taken to cost what it did the first time, and
    ``unpriced`` calls had no known price. ``allowed`` calls and ``allowed_usd`` are the bound.

    ``wanted`` calls more would be made if they were allowed: the evidence has not decided and requests to ask are left.
    0 is that nobody has to be asked. ``resume`` says that somebody allowed more, and the replays have yet to go on.
    """

    calls: int = 0
    usd: float = 0.0
    unpriced: int = 0
    allowed: int = MAX_CALLS
    allowed_usd: float = MAX_USD
    wanted: int = 0
    resume: bool = False

    @property
    def left(self) -> int:
        """Calls that may still be made without asking; 0 once the dollars are spent."""
        return max(0, self.allowed - self.calls) if self.usd < self.allowed_usd else 0

    @property
    def usd_left(self) -> float:
        """US dollars that may still be spent without asking."""
        return max(0.0, self.allowed_usd - self.usd)

    @property
    def usd_a_call(self) -> float | None:
        """What a call has cost so far, in US dollars; None while no price is known."""
        priced = self.calls - self.unpriced
        return self.usd / priced if priced > 0 else None

    def estimate(self, calls: int) -> float | None:
        """What so many calls more would cost, in US dollars; None while no price is known."""
        each = self.usd_a_call
        return each * calls if each is not None else None

    def spent(self, calls: int, usd: float, unpriced: int) -> Self:
        """With so many calls more."""
        return replace(
            self, calls=self.calls + calls, usd=self.usd + usd, unpriced=self.unpriced + unpriced, wanted=0
        )  # fmt: skip

    def renewed(self) -> Self:
        """With the usual bound once more, on top of what was spent: the incident opened again."""
        return replace(
            self, allowed=self.calls + MAX_CALLS, allowed_usd=self.usd + MAX_USD, wanted=0, resume=False
        )  # fmt: skip

    def asking(self, calls: int) -> Self:
        """With a question: may so many calls more be made?"""
        return replace(self, wanted=calls)

    def consented(self, calls: int = 0) -> Self:
        """With so many calls more allowed, by default as many as are asked for, and the dollars that they will take at
        the price so far. Raises BadInput that names the field."""
        more = calls or self.wanted
        if not 0 < more <= MOST_MORE:
            mend = f"Give 1 to {MOST_MORE:,}." if calls else "Say how many calls; nothing is being asked for."
            raise BadInput(f"{calls} calls more is out of range.", field="calls", mend=mend)
        estimate = self.estimate(more)
        return replace(
            self, allowed=max(self.allowed, self.calls) + more, wanted=0, resume=True,
            allowed_usd=max(self.allowed_usd, self.usd) + (estimate if estimate is not None else MAX_USD),
        )  # fmt: skip


#: Nothing was asked again yet.
UNSPENT = Spending()
