"""A Breakdown, checked, and its groups put together from what the parts of a store count. Pure.

Every store counts in its own SQL and then hands its rows to ``Groups``: counts, sums and histograms are added, the
statistics are made from them, and the groups are put into the asked order here, so that all stores agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from trimtab.core import GROUPABLE, NUMBERS, STATISTICS, BadInput, Breakdown

from .answers import Group
from .buckets import quantile

#: Groups that are compared at most; who asks for more gets BadInput.
MOST_GROUPS: Final = 100_000
_PLAIN: Final = ("count", "errors", "refused")
_MOST_BY: Final = 4
_MOST_MEASURES: Final = 64
_MOST_LIMIT: Final = 10_000
_MOST_SECONDS: Final = 366 * 86_400
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,7}")
_PERCENTILE: Final = re.compile(r"p([0-9]{2})")

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """``count``, ``errors`` or ``refused`` (no column), or a statistic of a number column or ``score:NAME``."""

    statistic: str
    column: str = ""

    @property
    def percentile(self) -> float | None:
        """0.95 for p95; None for what is no percentile."""
        found = _PERCENTILE.fullmatch(self.statistic)
        return int(found[1]) / 100 if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A checked Breakdown. ``order`` is a place in ``by`` or a measure. ``numbers`` are the number columns that are
    counted, ``scores`` the names of scores, ``spread`` those of both (as ``score:NAME``) that need a histogram."""

    by: tuple[str, ...]
    measures: tuple[Measure, ...]
    order: int | Measure
    descending: bool
    limit: int
    numbers: tuple[str, ...]
    scores: tuple[str, ...]
    spread: tuple[str, ...]


def plan(breakdown: Breakdown) -> Plan:
    """Check a Breakdown, but for its query. Raises BadInput, naming the field and what would be right."""
    if len(breakdown.by) > _MOST_BY:
        raise BadInput(f"{len(breakdown.by)} columns to group by.", field="by", mend=f"Use at most {_MOST_BY}.")
    for place, column in enumerate(breakdown.by):
        _check_group(column, f"by[{place}]")
        if column in breakdown.by[:place]:
            raise BadInput(f"{column!r} is there twice.", field=f"by[{place}]", mend="Name each column once.")
    if not 1 <= len(breakdown.measures) <= _MOST_MEASURES:
        raise BadInput(f"{len(breakdown.measures)} measures.", field="measures", mend=f"Use 1 to {_MOST_MEASURES}.")
    if not 1 <= breakdown.limit <= _MOST_LIMIT:
        raise BadInput(f"{breakdown.limit} is no limit.", field="limit", mend=f"Use 1 to {_MOST_LIMIT}.")
    measures = tuple(measure_of(text, f"measures[{place}]") for place, text in enumerate(breakdown.measures))
    wanted = breakdown.order.removeprefix("-")
    order = breakdown.by.index(wanted) if wanted in breakdown.by else measure_of(wanted, "order")
    every = dict.fromkeys((*measures, *(() if isinstance(order, int) else (order,))))
    columns = dict.fromkeys(one.column for one in every if one.column)
    return Plan(
        by=breakdown.by,
        measures=measures,
        order=order,
        descending=breakdown.order.startswith("-"),
        limit=breakdown.limit,
        numbers=tuple(column for column in columns if not column.startswith("score:")),
        scores=tuple(column[len("score:") :] for column in columns if column.startswith("score:")),
        spread=tuple(dict.fromkeys(one.column for one in every if one.percentile is not None)),
    )


def seconds_of(column: str) -> int | None:
    """The seconds of ``time:SECONDS``, 1 to 366 days; None for any other column."""
    kind, _, text = column.partition(":")
    if kind != "time" or not _SECONDS.fullmatch(text) or int(text) > _MOST_SECONDS:
        return None
    return int(text)


def measure_of(text: str, field: str) -> Measure:
    """One measure. Raises BadInput for ``field``."""
    statistic, _, column = text.partition(":")
    if text in _PLAIN:
        return Measure(text)
    if statistic in STATISTICS and (column in NUMBERS or (column.startswith("score:") and len(column) > len("score:"))):
        return Measure(statistic, column)
    raise BadInput(
        f"{text!r} is no measure.",
        field=field,
        mend=f"Use {', '.join(_PLAIN)} or STATISTIC:COLUMN, such as p95:duration_ms or avg:score:NAME; the statistics"
        f" are {', '.join(STATISTICS)}, the columns {', '.join(NUMBERS)} and score:NAME.",
    )


def _check_group(column: str, field: str) -> None:
    if column in GROUPABLE or (column.startswith("tag:") and len(column) > len("tag:")) or seconds_of(column):
        return
    raise BadInput(
        f"{column!r} makes no groups.",
        field=field,
        mend=f"Use {', '.join(GROUPABLE)}, tag:NAME or time:SECONDS.",
    )


@dataclass(slots=True)
class Numbers:
    """What is known of the values of one column: how many, their sum, the least, the greatest, and how many in each
    bucket of ``bucket_of``."""

    n: int = 0
    total: float = 0.0
    low: float | None = None
    high: float | None = None
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, n: int, total: float, low: float | None = None, high: float | None = None) -> None:
        """Add values that were counted elsewhere."""
        self.n += n
        self.total += total
        if low is not None:
            self.low = low if self.low is None else min(self.low, low)
        if high is not None:
            self.high = high if self.high is None else max(self.high, high)

    def spread(self, counts: Mapping[int, int]) -> None:
        """Add to the histogram."""
        for bucket, n in counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + n

    def value(self, measure: Measure) -> float | None:
        """The statistic, None where no span has the value."""
        if (at := measure.percentile) is not None:
            return quantile(self.counts, at) if self.counts else None
        if measure.statistic == "count":
            return float(self.n)
        if not self.n:
            return None
        found = {"sum": self.total, "avg": self.total / self.n, "min": self.low, "max": self.high}
        return found[measure.statistic]


@dataclass(slots=True)
class Tally:
    """What was counted of one group."""

    count: int = 0
    errors: int = 0
    refused: int = 0
    columns: dict[str, Numbers] = field(default_factory=dict)

    def of(self, column: str) -> Numbers:
        """The numbers of a column or of ``score:NAME``."""
        if (found := self.columns.get(column)) is None:
            found = self.columns[column] = Numbers()
        return found

    def value(self, measure: Measure) -> float | None:
        """A measure of this group."""
        if measure.column:
            return self.of(measure.column).value(measure)
        return float({"count": self.count, "errors": self.errors, "refused": self.refused}[measure.statistic])


class Groups:
    """The groups of a Breakdown, added up from many parts."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tallies: dict[Keys, Tally] = {}

    def at(self, keys: Keys) -> Tally:
        """The group with these keys, to be added to. Raises BadInput when there are more than can be compared."""
        if (found := self._tallies.get(keys)) is None:
            if len(self._tallies) >= MOST_GROUPS:
                raise BadInput(
                    f"there are more than {MOST_GROUPS} groups.",
                    field="by",
                    mend="Group by fewer columns or longer times, or ask for a shorter window.",
                )
            found = self._tallies[keys] = Tally()
        return found

    def answer(self) -> list[Group]:
        """The groups that hold a span, in the asked order, as many as asked for."""
        held = [(keys, tally) for keys, tally in self._tallies.items() if tally.count]
        if not held and not self._plan.by:
            held = [((), Tally())]
        return [
            Group(keys=keys, values=tuple(tally.value(measure) for measure in self._plan.measures))
            for keys, tally in self._ordered(held)[: self._plan.limit]
        ]

    def _ordered(self, held: Iterable[tuple[Keys, Tally]]) -> list[tuple[Keys, Tally]]:
        rows = sorted(held, key=lambda row: row[0])
        order, down = self._plan.order, self._plan.descending
        if isinstance(order, int):
            return sorted(rows, key=lambda row: row[0][order], reverse=down)
        valued = [(row[1].value(order), row) for row in rows]
        some = [(value, row) for value, row in valued if value is not None]
        # ``reverse`` keeps equals in the order they came in, so they stay ordered by their keys.
        some.sort(key=lambda one: one[0], reverse=down)
        return [row for _, row in some] + [row for value, row in valued if value is None]
