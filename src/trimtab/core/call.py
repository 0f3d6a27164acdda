"""A call to a model, the pieces that come back, and the one seam to any model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .swift import swift

#: A chat message in OpenAI's shape: ``{"role": ..., "content": ...}`` and whatever else the client sent.
Message = Mapping[str, Any]


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call. Cached and reasoning tokens are *parts of* the totals (OpenTelemetry GenAI), never added.

    ``written_tokens`` is input that was put into the vendor's cache, which some vendors charge extra for, and
    ``hour_tokens`` the part of it that stays there for an hour. ``batch`` says that the vendor charges what a batch
    costs.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    written_tokens: int = 0
    hour_tokens: int = 0
    batch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """A request as its client wrote it in a dialect other than chat completions, beside its translation into chat.

    A provider that speaks the same ``dialect`` sends ``body``, changed only where the house changed the chat messages
    since; every other provider sends the chat. ``head`` are the chat messages that stand for the system prompt;
    ``runs`` pairs the client's own messages with the chat messages that stand for them, in order. ``params`` are the
    chat params that were made of the body. ``only`` names the fields that chat has no words for. ``headers`` are
    those of the client that belong to the dialect.
    """

    dialect: str
    body: Mapping[str, Any]
    head: tuple[Message, ...] = ()
    runs: tuple[tuple[tuple[Any, ...], tuple[Message, ...]], ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked of a model.

    ``params`` holds every other field of the client's body (temperature, tools, ...) untouched, without ``model``,
    ``messages``, ``stream`` and ``trimtab``. ``timeout`` is seconds for the whole call. ``native`` is there when the
    client spoke another dialect than chat completions.
    """

    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    timeout: float = 60.0
    native: Native | None = None


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One piece of an answer; a plain reply is a stream of one piece.

    ``body`` is the provider's own decoded JSON (a ``chat.completion`` for a plain reply, a ``chat.completion.chunk``
    for a piece of a stream) so that fields unknown to us reach the client untouched; the other fields are what
    Trimtab reads from it. ``finish`` is set on the piece that ends the answer. ``native`` takes the place of ``body``
    when client and provider share another dialect: one event of its stream, or its whole reply. ``more`` says that the
    piece after this one has arrived already.
    """

    text: str = ""
    finish: str | None = None
    usage: Usage | None = None
    model: str = ""
    fingerprint: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    body: Mapping[str, Any] | None = None
    native: Mapping[str, Any] | None = None
    more: bool = field(default=False, compare=False)


#: The one seam to any LLM: a provider, a fallback chain, the simulated model, the gateway itself for a judge.
Model = Callable[[Call], AsyncIterator[Chunk]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A collected stream."""

    text: str
    finish: str | None
    usage: Usage | None
    model: str
    fingerprint: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()


async def collect(chunks: AsyncIterator[Chunk]) -> Reply:
    """Read a stream to its end. Raises what the model raises."""
    text: list[str] = []
    tools: list[Mapping[str, Any]] = []
    finish: str | None = None
    usage: Usage | None = None
    model = fingerprint = ""
    async for chunk in chunks:
        text.append(chunk.text)
        tools.extend(chunk.tool_calls)
        finish = chunk.finish or finish
        usage = chunk.usage or usage
        model = chunk.model or model
        fingerprint = chunk.fingerprint or fingerprint
    return Reply(
        text="".join(text),
        finish=finish,
        usage=usage,
        model=model,
        fingerprint=fingerprint,
        tool_calls=tuple(tools),
    )
