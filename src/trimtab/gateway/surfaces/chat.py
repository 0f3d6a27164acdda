"""OpenAI's chat completions: the dialect that the house itself speaks."""

from __future__ import annotations

from trimtab.core import Chunk, TrimtabError, evolve
from trimtab.gateway.ask import read_ask
from trimtab.gateway.live import LiveTrace
from trimtab.gateway.wire import DONE, completion, error_bytes, error_event, event, with_cost

from .surface import Surface


class ChatWriter:
    """Pieces of a stream as ``chat.completion.chunk`` events."""

    __slots__ = ("_live",)

    def __init__(self, live: LiveTrace) -> None:
        self._live = live

    def piece(self, chunk: Chunk) -> bytes:
        live = self._live
        if chunk.usage is not None and chunk.body is not None and (chunk.finish or not chunk.body.get("choices")):
            chunk = evolve(chunk, body=with_cost(chunk.body, live.cost))
        return event(chunk, live.trace_id, live.ask.model, live.start_ns)

    def end(self) -> bytes:
        return DONE

    def broke(self, error: TrimtabError) -> bytes:
        return error_event(error)


def _whole(chunk: Chunk, live: LiveTrace) -> bytes:
    return completion(chunk, live.trace_id, live.ask.model, live.start_ns)


CHAT = Surface(read=read_ask, whole=_whole, writer=ChatWriter, error=error_bytes)
