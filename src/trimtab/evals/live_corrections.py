"""What live rates are worth: a judge's rate on traffic, corrected by what calibrating that very judge found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from trimtab.core import Score, TrimtabError
from trimtab.registry import Registry
from trimtab.stats import Interval, rogan_gladen

from .estimate import KnownRates
from .judge import judge_digest
from .results import PASS
from .sampling import weight_of, weighted_rate

#: Error rates of a judge by its name, its digest and a criterion; None where nobody calibrated that digest.
RatesOf = Callable[[str, str, str], Awaitable[KnownRates | None]]


class Corrections:
    """Looks up what a judge version's rate has to be corrected by."""

    def __init__(self, registry: Registry, rates_of: RatesOf) -> None:
        self._registry = registry
        self._rates_of = rates_of

    async def known(self, by: str, pin: str, criterion: str) -> KnownRates | None:
        """Of the judge version that gave a score; None for code, and where a rate cannot be corrected."""
        name, _, number = pin.rpartition("/")
        if not by.startswith("judge:") or not name:
            return None
        try:
            await self._registry.ready(pin, kind="judges")
            content = self._registry.version("judges", name, int(number)).content
            found = await self._rates_of(name, judge_digest(content), criterion)
        except (TrimtabError, ValueError):  # a judge that is gone: what it said stands uncorrected
            return None
        return found if found is not None and found.usable else None


def corrected_live(scores: Sequence[Score], known: KnownRates) -> Interval | None:
    """The rate behind a judge by Rogan and Gladen, from verdicts that were drawn with known chances; ``n`` are those.
    None where no true rate gives what is seen: then the judge errs otherwise on traffic than on its labels.

    It holds where the judge errs on traffic as often as on the labels that it was calibrated by. Unequal weights cost
    what Kish (1965) says: n * sum(w^2) / sum(w)^2. Raises BadInput without scores.
    """
    if not known.explains(weighted_rate(scores)):
        return None
    weights = [weight_of(score) for score in scores]
    whole, n = sum(weights), len(scores)
    passed = sum(weight for weight, score in zip(weights, scores, strict=True) if score.value >= PASS)
    design = n * sum(weight * weight for weight in weights) / (whole * whole)
    found = rogan_gladen(known.rates, round(n * passed / whole), n, design=max(1.0, design))
    return Interval(value=found.value, low=found.low, high=found.high, n=n)
