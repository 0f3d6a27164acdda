"""OpenAI's embeddings: ``POST /v1/embeddings``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from trimtab.core import BadInput, Chunk, Message, Native
from trimtab.gateway.ask import Ask, asked, decode, wrong
from trimtab.gateway.keys import Key
from trimtab.gateway.live import LiveTrace
from trimtab.gateway.wire import error_bytes
from trimtab.providers import EMBEDDINGS

from .chat import ChatWriter
from .surface import Surface

_MEND = "Send text, a list of texts, or lists of token numbers."
#: Texts in one request, as the vendors have it.
MOST = 2048


def read_embeddings_ask(body: bytes, headers: Mapping[str, str], key: Key) -> Ask:
    """Read a request for embeddings. No prompt is put around what is to be embedded."""
    data = decode(body)
    runs = _runs(data.get("input"))
    native = Native(
        dialect=EMBEDDINGS,
        body={name: value for name, value in data.items() if name not in ("trimtab", "stream")},
        runs=runs,
    )
    messages = tuple(message for _, chat in runs for message in chat)
    ask = asked(data, headers, key, messages=messages, params={}, native=native)
    if ask.prompt or ask.variables:
        raise BadInput("has no place in a request for embeddings.", field="trimtab.prompt", mend="Leave it out.")
    return replace(ask, stream=False, pins={**ask.pins, "prompts": ""})


def _runs(given: object) -> tuple[tuple[tuple[Any, ...], tuple[Message, ...]], ...]:
    if given is None or given == "" or given == []:
        raise BadInput("is missing or empty.", field="input", mend=_MEND)
    if isinstance(given, str) or (isinstance(given, list) and all(_is_token(item) for item in given)):
        return (_run(given, "input"),)
    if not isinstance(given, list):
        raise wrong("input", "text or a list", given)
    if len(given) > MOST:
        raise BadInput(f"has more than {MOST} texts.", field="input", mend="Ask in several requests.")
    return tuple(_run(item, f"input[{n}]") for n, item in enumerate(given))


def _run(item: object, where: str) -> tuple[tuple[Any, ...], tuple[Message, ...]]:
    if isinstance(item, str) and item:
        return (item,), ({"role": "user", "content": item},)
    if isinstance(item, list) and item and all(_is_token(number) for number in item):
        return (item,), ({"role": "user", "content": ""},)  # token numbers: nothing that a guard could read
    raise BadInput("is neither text nor token numbers.", field=where, mend=_MEND)


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(chunk: Chunk, live: LiveTrace) -> bytes:
    return msgspec.json.encode(chunk.native or {"object": "list", "data": [], "model": live.ask.model})


EMBEDDINGS_SURFACE = Surface(read=read_embeddings_ask, whole=_whole, writer=ChatWriter, error=error_bytes)
