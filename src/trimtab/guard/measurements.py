"""What a policy stopped when it was measured: kept, so that the last figures of every version can be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trimtab.core import Later, new_id, now_ns

if TYPE_CHECKING:
    from trimtab.store import Metadata

    from . import records
else:
    records = Later("trimtab.guard.records")

#: Measurements of one policy that are kept, and of one listing.
KEPT, MOST = 50, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measurement of a version of a policy: ``report`` is what ``measure`` told. ``time_ns`` is UTC."""

    id: str
    name: str
    number: int
    time_ns: int
    by: str
    report: Mapping[str, Any]

    def shown(self) -> dict[str, Any]:
        """As the control API shows it."""
        return {**asdict(self), "report": dict(self.report)}


class Measurements:
    """The measurements of all policies, in the metadata database."""

    def __init__(self, metadata: Metadata, clock: Callable[[], int] = now_ns) -> None:
        self._metadata = metadata
        self._clock = clock

    async def keep(self, name: str, number: int, report: Mapping[str, Any], by: str) -> Measurement:
        """Keep one; the oldest of a policy go."""
        made = Measurement(
            id=new_id("gt"), name=name, number=number, time_ns=self._clock(), by=by, report=dict(report)
        )  # fmt: skip
        await self._metadata.write(lambda c: records.place_measurement(c, made.shown(), KEPT))
        return made

    async def last(self, name: str, number: int = 0) -> Measurement | None:
        """The newest of a version; of any version where none is named."""
        found = await self.list(name, number=number, limit=1)
        return found[0] if found else None

    async def list(self, name: str = "", *, number: int = 0, limit: int = 50) -> list[Measurement]:
        """The newest, newest first: of a policy, of one of its versions, or of all."""
        limit = max(1, min(limit, MOST))
        rows = await self._metadata.read(lambda c: records.read_measurements(c, name, number, limit))
        return [Measurement(**row) for row in rows]
