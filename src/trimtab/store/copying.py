"""Moves everything of one span store into another, in the order of its commits, and compares the two afterwards.

It may be stopped at any moment and started again: how far it came and what it counted is kept in a small file, and rows
that are there already are known by their ids.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import msgspec

from trimtab.core import BadInput, Breakdown, Overloaded, Score, Span, SpanQuery

from .answers import Batch
from .door import Spans

_DAY_S = 86_400
_DAY_NS = _DAY_S * 10**9
#: Rows that are moved at once.
BATCH = 5000
#: How often a target that is away is tried again, and the longest pause between two tries, in seconds.
_TRIES, _LONGEST_S = 8, 30.0
#: Costs and scores may differ by this share and this much: sums of fractions depend on their order.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-6


class Day(msgspec.Struct):
    """What one UTC day holds: spans by their start, scores by their time."""

    spans: int = 0
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    scores: int = 0
    score_total: float = 0.0


class Progress(msgspec.Struct):
    """How far a copy came. ``refused`` counts the rows that the target cannot hold, ``why`` is said of the first."""

    between: str
    position: str = ""
    days: dict[int, Day] = {}
    refused: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A figure of a day (its start in nanoseconds UTC) that is not the same in both stores."""

    day_ns: int
    figure: str
    source: float
    target: float


@dataclass(slots=True)
class ArrivalClock:
    """The clock of the target: rows are filed under the day on which they came to the source, as far as that can be
    told, so that retention goes on as it would have."""

    real: Callable[[], int]
    at_ns: int = 0

    def __call__(self) -> int:
        return min(self.at_ns, self.real()) if self.at_ns else self.real()

    def follow(self, batch: Batch) -> None:
        """Most rows come at their end, so the middle one of a batch tells its day, whatever single clocks say."""
        times = [span.end_ns for span in batch.spans] + [score.time_ns for score in batch.scores]
        if times:
            self.at_ns = max(1, median_low(times))


class ProgressFile:
    """Keeps the progress of one copy. Addresses are kept as a digest only, for they may hold passwords."""

    def __init__(self, path: Path, source: str, target: str, since_ns: int) -> None:
        self._path = path
        self._between = hashlib.sha256(f"{source}\n{target}\n{since_ns}".encode()).hexdigest()

    def read(self) -> Progress:
        """The progress so far; a new one where there is none, or it is that of another copy."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Progress)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Progress(between=self._between)
        return found if found.between == self._between else Progress(between=self._between)

    def write(self, progress: Progress) -> None:
        """Replace it."""
        draft = self._path.with_name(self._path.name + ".draft")
        draft.write_bytes(msgspec.json.encode(progress))
        draft.replace(self._path)

    def forget(self) -> None:
        """The copy is complete."""
        self._path.unlink(missing_ok=True)


class Copy:
    """One copy. ``since_ns`` leaves out what is older: spans by their start, scores by their time."""

    def __init__(self, source: Spans, target: Spans, clock: ArrivalClock, *, since_ns: int = 0) -> None:
        self._source = source
        self._target = target
        self._clock = clock
        self._since_ns = since_ns

    async def total(self) -> int:
        """How many spans there are to copy."""
        every = SpanQuery(since_ns=self._since_ns, roots=False)
        (group,) = await self._source.groups(Breakdown(query=every))
        return int(group.values[0] or 0)

    async def run(self, progress: Progress, keep: Callable[[Progress, int], None]) -> None:
        """Move everything after the position in ``progress``; after each batch ``keep`` gets it and how many spans were
        moved. Raises Overloaded when the target stays away."""
        batch = await self._source.tail(progress.position, BATCH)
        while batch.spans or batch.scores:
            wanted = self._wanted(batch)
            self._clock.follow(wanted)
            following, refused = await asyncio.gather(
                self._source.tail(batch.position, BATCH), self._write(list(wanted.spans), list(wanted.scores))
            )
            _count(progress, wanted)
            for error in refused:
                progress.refused += 1
                progress.why = progress.why or str(error)
            progress.position = batch.position
            keep(progress, len(wanted.spans))
            batch = following

    async def differences(self, progress: Progress) -> list[Difference]:
        """What was copied, compared with what the target has by now, day by day."""
        have = await self._have()
        found = []
        for day_ns in sorted({*progress.days, *have}):
            mine, theirs = progress.days.get(day_ns, Day()), have.get(day_ns, Day())
            for figure in Day.__struct_fields__:
                source, target = getattr(mine, figure), getattr(theirs, figure)
                if abs(source - target) > max(_ABSOLUTE, _RELATIVE * abs(source)):
                    found.append(Difference(day_ns=day_ns, figure=figure, source=source, target=target))
        return found

    async def _have(self) -> dict[int, Day]:
        breakdown = Breakdown(
            query=SpanQuery(since_ns=self._since_ns, roots=False),
            by=(f"time:{_DAY_S}",),
            measures=("count", "sum:cost_usd", "sum:input_tokens", "sum:output_tokens"),
            limit=10_000,
        )
        days: dict[int, Day] = {}
        for group in await self._target.groups(breakdown):
            n, cost, read, written = (value or 0.0 for value in group.values)
            days[int(group.keys[0])] = Day(
                spans=int(n), cost_usd=cost, input_tokens=int(read), output_tokens=int(written)
            )
        for bucket in await self._target.score_series(since_ns=self._since_ns, until_ns=0, bucket_s=_DAY_S):
            day = days.setdefault(bucket.start_ns, Day())
            day.scores += bucket.n
            day.score_total += bucket.total
        return days

    def _wanted(self, batch: Batch) -> Batch:
        if not self._since_ns:
            return batch
        return Batch(
            spans=tuple(span for span in batch.spans if span.start_ns >= self._since_ns),
            scores=tuple(score for score in batch.scores if score.time_ns >= self._since_ns),
            position=batch.position,
        )

    async def _write(self, spans: list[Span], scores: list[Score]) -> list[BadInput]:
        """Write them; returns an error for each row that the target cannot hold."""
        try:
            await self._patiently(spans, scores)
        except BadInput as error:
            rows = len(spans) + len(scores)
            if rows == 1:
                return [error]
            first = await self._write(spans[: len(spans) // 2], scores[: len(scores) - len(scores) // 2])
            return first + await self._write(spans[len(spans) // 2 :], scores[len(scores) - len(scores) // 2 :])
        return []

    async def _patiently(self, spans: list[Span], scores: list[Score]) -> None:
        for tried in range(1, _TRIES + 1):
            try:
                await self._target.write(spans, scores)
                return
            except Overloaded as error:
                if tried == _TRIES:
                    raise
                await asyncio.sleep(min(error.retry_after or 1.0, _LONGEST_S))


def _count(progress: Progress, batch: Batch) -> None:
    def day_of(time_ns: int) -> Day:
        return progress.days.setdefault(time_ns // _DAY_NS * _DAY_NS, Day())

    for span in batch.spans:
        day = day_of(span.start_ns)
        day.spans += 1
        day.cost_usd += span.cost_usd or 0.0
        day.input_tokens += span.input_tokens or 0
        day.output_tokens += span.output_tokens or 0
    for score in batch.scores:
        day = day_of(score.time_ns)
        day.scores += 1
        day.score_total += score.value
