"""Two windows or two versions side by side: the groups of two Breakdowns with the same ``by``. Pure.

A rate is compared with an interval: errors and refusals per span by Newcombe's (1998), the mean of a score within
[0, 1] by Agresti and Caffo's (2000), which is conservative for graded values. Sums, percentiles and means without such
bounds have a difference and the number of spans that they rest on, and no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.core import Breakdown, Filter
from trimtab.stats import Stratum, difference_interval, newcombe_difference
from trimtab.store import Group

_RATES = ("errors", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One measure on both sides: ``errors`` and ``refused`` as shares of the spans, anything else as it was measured.

    ``n_before`` and ``n_after`` are the spans (for a score or column, the values) that it rests on. ``difference`` is
    after minus before, None where a side has no value; ``low`` and ``high`` are its 95 % interval, where it has one.
    """

    measure: str
    before: float | None
    after: float | None
    n_before: int
    n_after: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval excludes no difference."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One group on both sides, its deltas in the order of the asked measures."""

    keys: tuple[str | int, ...]
    deltas: tuple[Delta, ...]


def widened(breakdown: Breakdown) -> Breakdown:
    """The Breakdown with the measures that a comparison needs besides: how many, and a score's bounds. All its groups,
    for the first ones of one side need not be those of the other; what is first is decided by the side after."""
    more = dict.fromkeys((*breakdown.measures, "count"))
    for measure in breakdown.measures:
        column = measure.partition(":")[2]
        if column:
            more[f"count:{column}"] = None
        if measure.startswith("avg:score:"):
            more |= dict.fromkeys((f"min:{column}", f"max:{column}"))
    return replace(breakdown, measures=tuple(more), limit=10_000)


def windows(breakdown: Breakdown) -> tuple[Breakdown, Breakdown]:
    """The window before and the window itself. Both ends of it must be given."""
    query = breakdown.query
    length = query.until_ns - query.since_ns
    earlier = replace(query, since_ns=max(1, query.since_ns - length), until_ns=query.since_ns)
    return replace(breakdown, query=earlier), breakdown


def versions(breakdown: Breakdown, before: Filter, after: Filter) -> tuple[Breakdown, Breakdown]:
    """The Breakdown under either condition."""
    query = breakdown.query
    one, other = (replace(query, filters=(*query.filters, condition)) for condition in (before, after))
    return replace(breakdown, query=one), replace(breakdown, query=other)


def compare(asked: Breakdown, before: Sequence[Group], after: Sequence[Group], *, shift_ns: int = 0) -> list[Compared]:
    """Put the groups of ``widened(asked)`` on both sides together, in the order of the side after; groups that only the
    side before has come last, by their keys. ``shift_ns`` is added to the times of the side before."""
    measures = widened(asked).measures
    shifted = tuple(column.startswith("time:") for column in asked.by)
    earlier = {_moved(group.keys, shifted, shift_ns): group for group in before}
    later = {group.keys: group for group in after}
    order = [*later, *sorted(keys for keys in earlier if keys not in later)]
    return [
        Compared(
            keys=keys,
            deltas=tuple(
                _delta(measure, _values(measures, earlier.get(keys)), _values(measures, later.get(keys)))
                for measure in asked.measures
            ),
        )
        for keys in order[: asked.limit]
    ]


def _moved(keys: tuple[str | int, ...], times: Sequence[bool], shift_ns: int) -> tuple[str | int, ...]:
    return tuple(
        key + shift_ns if time and isinstance(key, int) else key for key, time in zip(keys, times, strict=True)
    )


def _values(measures: Sequence[str], group: Group | None) -> dict[str, float | None]:
    return dict(zip(measures, group.values, strict=True)) if group else {"count": 0.0}


def _delta(measure: str, before: dict[str, float | None], after: dict[str, float | None]) -> Delta:
    column = measure.partition(":")[2]
    counted = f"count:{column}" if column else "count"
    n_before, n_after = int(before.get(counted) or 0), int(after.get(counted) or 0)
    old, new = before.get(measure), after.get(measure)
    if measure == "count" or measure.startswith("count:"):
        old, new = old or 0.0, new or 0.0
    if measure in _RATES:
        return _rate(measure, (int(old or 0), n_before), (int(new or 0), n_after))
    plain = Delta(measure=measure, before=old, after=new, n_before=n_before, n_after=n_after)
    if old is None or new is None:
        return plain
    plain = replace(plain, difference=new - old)
    if measure.startswith("avg:score:") and _within_one(column, before) and _within_one(column, after):
        arms = Stratum(n_exposed=n_after, sum_exposed=new * n_after, n_unexposed=n_before, sum_unexposed=old * n_before)
        if (estimate := difference_interval([arms])) is not None:
            return replace(plain, low=estimate.low, high=estimate.high)
    return plain


def _rate(measure: str, before: tuple[int, int], after: tuple[int, int]) -> Delta:
    (bad_before, n_before), (bad_after, n_after) = before, after
    plain = Delta(
        measure=measure,
        before=bad_before / n_before if n_before else None,
        after=bad_after / n_after if n_after else None,
        n_before=n_before,
        n_after=n_after,
    )
    if not n_before or not n_after:
        return plain
    interval = newcombe_difference(bad_after, n_after, bad_before, n_before)
    return replace(plain, difference=interval.value, low=interval.low, high=interval.high)


def _within_one(column: str, values: dict[str, float | None]) -> bool:
    low, high = values.get(f"min:{column}"), values.get(f"max:{column}")
    return low is not None and high is not None and low >= 0 and high <= 1
