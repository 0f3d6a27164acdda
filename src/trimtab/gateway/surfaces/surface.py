"""A wire surface: how one dialect of clients is read, and how it is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from trimtab.core import Chunk, TrimtabError
from trimtab.gateway.ask import Ask
from trimtab.gateway.caller import Headers
from trimtab.gateway.keys import Key
from trimtab.gateway.live import LiveTrace


class Writer(Protocol):
    """Writes one stream, piece by piece."""

    def piece(self, chunk: Chunk) -> bytes:
        """The bytes that a piece of the answer makes, perhaps none."""

    def end(self) -> bytes:
        """What ends a stream that is whole."""

    def broke(self, error: TrimtabError) -> bytes:
        """What ends a stream that broke after it had begun."""


def _nothing_more(chunk: Chunk) -> Headers:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """One dialect. ``whole`` writes a plain reply and ``headers`` what its head says besides; ``error`` a refusal.

    ``request_id`` is the header in which its clients look for the id of a request.
    """

    read: Callable[[bytes, Mapping[str, str], Key], Ask]
    whole: Callable[[Chunk, LiveTrace], bytes]
    writer: Callable[[LiveTrace], Writer]
    error: Callable[[TrimtabError], bytes]
    headers: Callable[[Chunk], Headers] = _nothing_more
    request_id: bytes = b"x-request-id"
