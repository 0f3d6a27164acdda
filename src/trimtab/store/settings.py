"""Small durable state by name: chore positions, baselines."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from .metadata import Metadata
from .tables import settings


class Settings:
    """A name, a JSON value; written whole."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def get(self, name: str) -> Any | None:
        """The value last put under ``name``, or None."""
        return await self._metadata.read(
            lambda connection: connection.scalar(select(settings.c.value).where(settings.c.name == name))
        )

    async def once(self, name: str, value: Any) -> Any:
        """The value under ``name``; where there is none, ``value`` is put there. Every process gets the same."""
        found = await self.get(name)
        if found is not None:
            return found

        def keep(connection: Connection) -> Any:
            there = connection.scalar(select(settings.c.value).where(settings.c.name == name))
            if there is None:
                connection.execute(insert(settings).values(name=name, value=value))
            return value if there is None else there

        return await self._metadata.write(keep)

    async def put(self, name: str, value: Any) -> None:
        """Replace the value; durable when this returns."""

        def replace(connection: Connection) -> None:
            connection.execute(delete(settings).where(settings.c.name == name))
            connection.execute(insert(settings).values(name=name, value=value))

        await self._metadata.write(replace)
