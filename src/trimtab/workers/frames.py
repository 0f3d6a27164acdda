"""What control process and gateway workers say to each other: frames of a length and a message.

Four bytes say how long the message is (big endian), then comes msgpack. Every question has a number, and the answer
bears the same one, so many may be under way. What the control process says unasked has number 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.core import Score, Span
from trimtab.gateway import Refusal, RouteHealth, UsageRow
from trimtab.store import Answer, Demand, Purse

#: Bytes of the longest message: a batch of spans with their texts.
LONGEST = 256 * 1024 * 1024


class Acquire(msgspec.Struct, frozen=True, tag=True):
    """``SharedState.acquire``."""

    hold: str
    demands: tuple[Demand, ...]
    now_ns: int
    ttl_s: float


class Settle(msgspec.Struct, frozen=True, tag=True):
    """``SharedState.settle``."""

    hold: str
    demands: tuple[Demand, ...]
    amounts: tuple[int, ...]
    now_ns: int


class Seed(msgspec.Struct, frozen=True, tag=True):
    """``SharedState.seed``."""

    name: str
    spent: int
    ends_ns: int


class Look(msgspec.Struct, frozen=True, tag=True):
    """``SharedState.look``."""

    name: str
    now_ns: int


class Recount(msgspec.Struct, frozen=True, tag=True):
    """``SharedState.recount``."""

    name: str
    spent: int
    version: int


class Reserve(msgspec.Struct, frozen=True, tag=True):
    """``UsageLedger.reserve``."""

    row: UsageRow


class Rows(msgspec.Struct, frozen=True, tag=True):
    """``UsageLedger.note`` and ``settle``: once this is answered, ``Spent`` counts them."""

    rows: tuple[UsageRow, ...]


class End(msgspec.Struct, frozen=True, tag=True):
    """``UsageLedger.end``."""

    row: UsageRow


class Refused(msgspec.Struct, frozen=True, tag=True):
    """``UsageLedger.refuse``."""

    refusals: tuple[Refusal, ...]


class Spent(msgspec.Struct, frozen=True, tag=True):
    """``UsageLedger.spent``."""

    scope: str
    who: str
    first_day: int
    last_day: int


class Record(msgspec.Struct, frozen=True, tag=True):
    """Spans and scores; answered when they are on disk."""

    spans: tuple[Span, ...]
    scores: tuple[Score, ...]


class Report(msgspec.Struct, frozen=True, tag=True):
    """How a worker is doing. ``ready`` says that it accepts requests; ``routes`` are those that it served most."""

    pid: int
    ready: bool
    figures: Mapping[str, float] = {}
    notes: tuple[str, ...] = ()
    routes: tuple[RouteHealth, ...] = ()


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Said first: which life of the control process this is."""

    boot: str


class Changed(msgspec.Struct, frozen=True, tag=True):
    """Said unasked: keys, teams or the registry have changed. ``number`` is for the worker's ``Seen``."""

    number: int


class Seen(msgspec.Struct, frozen=True, tag=True):
    """The worker has read what had changed."""

    number: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """The answer to what has none."""


class Counted(msgspec.Struct, frozen=True, tag=True):
    """A number, or a yes (1) or no (0)."""

    value: int


class Answered(msgspec.Struct, frozen=True, tag=True):
    """The answer to Acquire."""

    answer: Answer


class Found(msgspec.Struct, frozen=True, tag=True):
    """The answer to Look."""

    purse: Purse


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The answer to End."""

    row: UsageRow | None


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It could not be done now."""

    message: str


Question = Acquire | Settle | Seed | Look | Recount | Reserve | Rows | End | Refused | Spent | Record | Report | Seen
Reply = Done | Counted | Answered | Found | Ended | Failed | Changed | Hello

_encoder = msgspec.msgpack.Encoder()
questions: msgspec.msgpack.Decoder[tuple[int, Question]] = msgspec.msgpack.Decoder(tuple[int, Question])
replies: msgspec.msgpack.Decoder[tuple[int, Reply]] = msgspec.msgpack.Decoder(tuple[int, Reply])


def frame(number: int, message: Any) -> bytes:
    """One message as it goes over the wire."""
    body = _encoder.encode((number, message))
    return len(body).to_bytes(4, "big") + body


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """The next message, not yet decoded. Raises ConnectionError where the other side is gone or talks nonsense."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > LONGEST:
            raise ConnectionError(f"a message of {length} bytes is none of ours")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the other side is gone") from error
