"""What conversations were recognised as, for clients that send only their newest message and name a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.core import now_ns
from trimtab.guard import records
from trimtab.store import Metadata

from .flows import Turn

#: Turns of one conversation that are kept, and for how long after the last one.
MOST_TURNS = 200
_KEEP_NS = 30 * 86_400 * 1_000_000_000


class Conversations:
    """In the metadata database, so that every process knows them. What is kept is intents, never a text."""

    def __init__(self, metadata: Metadata, clock: Callable[[], int] = now_ns) -> None:
        self._metadata = metadata
        self._clock = clock

    async def recall(self, conversation: str) -> tuple[Turn, ...]:
        """The turns so far; none for a conversation that is new or long over."""
        found = await self._metadata.read(lambda c: records.read_conversation(c, conversation))
        return tuple(Turn(str(intent), tuple(took)) for intent, took in found)

    async def keep(self, conversation: str, turns: Sequence[Turn]) -> None:
        """Keep the newest turns; conversations that are long over go."""
        now = self._clock()
        written = [[turn.intent, list(turn.took)] for turn in turns[-MOST_TURNS:]]
        await self._metadata.write(lambda c: records.keep_conversation(c, conversation, written, now, now - _KEEP_NS))
