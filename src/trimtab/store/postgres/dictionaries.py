"""The dictionaries that payloads are compressed with, in a table: every process reads what any has learnt."""

from __future__ import annotations

from trimtab.core import ConfigError

from .connection import FIELD, Place, rows
from .schema import SCHEMA


class TableDictionaries:
    """Opens a connection for each call: there are a handful in the life of a database."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def all(self) -> dict[int, bytes]:
        with self._place.connect() as connection:
            found = rows(connection, f"SELECT number, content FROM {SCHEMA}.dictionaries")
        return {int(number): bytes(content) for number, content in found}

    def keep(self, number: int, content: bytes) -> bytes:
        with self._place.connect() as connection:
            connection.execute(
                f"INSERT INTO {SCHEMA}.dictionaries VALUES (%s, %s) ON CONFLICT DO NOTHING".encode(), (number, content)
            )
            ((kept,),) = rows(connection, f"SELECT content FROM {SCHEMA}.dictionaries WHERE number = %s", (number,))
        return bytes(kept)

    def missing(self, number: int) -> ConfigError:
        return ConfigError(
            f"{SCHEMA}.dictionaries has no dictionary {number}, and spans were compressed with it.",
            field=FIELD,
            mend="Put the row back from a backup of the database.",
        )
