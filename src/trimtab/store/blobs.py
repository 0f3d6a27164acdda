"""Blobs: bytes under the name of their own SHA-256."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, insert, select

from trimtab.core import NotFound

from .metadata import Metadata
from .tables import blobs


class Blobs:
    """Immutable bytes in the metadata database; the same bytes are kept once."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def put(self, data: bytes) -> str:
        """Keep the bytes; returns their SHA-256 in hex once they are committed."""
        digest = hashlib.sha256(data).hexdigest()

        def keep(connection: Connection) -> None:
            if connection.scalar(select(blobs.c.digest).where(blobs.c.digest == digest)) is None:
                connection.execute(insert(blobs).values(digest=digest, data=data))

        await self._metadata.write(keep)
        return digest

    async def get(self, digest: str) -> bytes:
        """The bytes under this digest. Raises NotFound."""

        def find(connection: Connection) -> bytes | None:
            return connection.scalar(select(blobs.c.data).where(blobs.c.digest == digest))

        data = await self._metadata.read(find)
        if data is None:
            raise NotFound(f"there is no blob {digest!r}.", field="digest", mend="Use a digest that put returned.")
        return bytes(data)
