"""What is known of conversations between two of their requests: intents that flows recognised, plans under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trimtab.core import now_ns
from trimtab.guard import records
from trimtab.store import Metadata

from .flows import Turn

#: Turns of one conversation that are kept, and for how long after the last one.
MOST_TURNS = 200
_KEEP_NS = 30 * 86_400 * 1_000_000_000


class Conversations:
    """In the metadata database, so that every process knows them. Of flows intents are kept, never a text."""

    def __init__(self, metadata: Metadata, clock: Callable[[], int] = now_ns) -> None:
        self._metadata = metadata
        self._clock = clock

    async def recall(self, conversation: str) -> tuple[Turn, ...]:
        """The turns so far; none for a conversation that is new or long over."""
        return tuple(Turn(str(intent), tuple(took)) for intent, took in await self.recall_any(conversation))

    async def keep(self, conversation: str, turns: Sequence[Turn]) -> None:
        """Keep the newest turns."""
        await self.keep_any(conversation, [[turn.intent, list(turn.took)] for turn in turns[-MOST_TURNS:]])

    async def recall_any(self, name: str) -> list[Any]:
        """What was kept under a name; nothing where that is new or long over."""
        since = self._clock() - _KEEP_NS
        return await self._metadata.read(lambda c: records.read_conversation(c, name, since))

    async def keep_any(self, name: str, what: Sequence[Any]) -> None:
        """Keep a list of what JSON can hold under a name. What is long over goes."""
        now = self._clock()
        await self._metadata.write(lambda c: records.keep_conversation(c, name, what, now, now - _KEEP_NS))
