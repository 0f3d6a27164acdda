"""Teams: limits that several keys share. In memory, written through to the metadata database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from trimtab.core import BadInput, NotFound
from trimtab.store import Metadata

from . import records
from .limitset import NO_LIMITS, LimitSet, read_limits


class Teams:
    """Every team that has limits. A key may name a team that has none."""

    def __init__(self, metadata: Metadata | None = None) -> None:
        self._metadata = metadata
        self._raw: dict[str, Mapping[str, Any]] = {}
        self._read: dict[str, LimitSet] = {}
        self.on_change: list[Callable[[], Awaitable[None]]] = []

    @classmethod
    async def load(cls, metadata: Metadata) -> Self:
        """Read every team."""
        teams = cls(metadata)
        await teams.reload()
        return teams

    async def reload(self) -> None:
        """Read every team again."""
        if self._metadata is not None:
            raw = await self._metadata.read(records.read_teams)
            read = {name: read_limits(limits) for name, limits in raw.items()}
            self._raw, self._read = dict(raw), read

    def limits(self, name: str) -> LimitSet:
        """What limits a team; nothing where it is not known."""
        return self._read.get(name, NO_LIMITS)

    def get(self, name: str) -> Mapping[str, Any]:
        """The limits of a team as they were written. Raises NotFound."""
        if name not in self._raw:
            there = ", ".join(sorted(self._raw)[:30]) or "none"
            raise NotFound(f"There is no team {name[:100]!r}.", field="team", mend=f"There is {there}.")
        return self._raw[name]

    def list(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Every team with its limits, by name."""
        return sorted(self._raw.items())

    async def put(self, name: str, limits: Mapping[str, Any]) -> None:
        """Set the limits of a team, from the next request on. Raises BadInput naming the field."""
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise BadInput("must be 1 to 100 printable characters.", field="team")
        kept = {key: value for key, value in limits.items() if value is not None}
        read = read_limits(kept)
        if self._raw.get(name) == kept:
            return
        if self._metadata is not None:
            await self._metadata.write(lambda connection: records.put_team(connection, name, kept))
        self._raw[name], self._read[name] = kept, read
        for tell in self.on_change:
            await tell()

    async def remove(self, name: str) -> None:
        """Take a team's limits away. Raises NotFound."""
        self.get(name)
        if self._metadata is not None:
            await self._metadata.write(lambda connection: records.delete_team(connection, name))
        del self._raw[name], self._read[name]
        for tell in self.on_change:
            await tell()
