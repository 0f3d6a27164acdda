"""Embeddings in OpenAI's shape: the inputs stand as messages, so that the guard sees them, and change with them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from trimtab.core import Call, Chunk, Model, ModelError, Native, Usage

from .rejoin import rejoin
from .vendor import mapping, number, text

#: The dialect of a request for embeddings.
EMBEDDINGS = "openai-embeddings"


def inputs_of(call: Call, native: Native) -> list[Any]:
    """What to embed: each input as the client gave it, or as the guard left it."""
    inputs: list[Any] = []
    for items, chat in rejoin(call, native).turns:
        inputs += items if chat is None else [message["content"] for message in chat]
    return inputs


def embeddings_request(name: str, call: Call, native: Native) -> dict[str, Any]:
    """The client's body, with its inputs as they stand now."""
    inputs = inputs_of(call, native)
    if inputs == [item for items, _ in native.runs for item in items]:
        return {**native.body, "model": name}
    alone = isinstance(native.body.get("input"), str)
    return {**native.body, "model": name, "input": inputs[0] if alone else inputs}


async def embed(model: Model, texts: Sequence[str], seconds: float = 10.0) -> list[list[float]]:
    """The vectors of some texts, for Trimtab's own use. Raises what the model raises, ModelError if it is no list."""
    messages = tuple({"role": "user", "content": text} for text in texts)
    runs = tuple(((text,), (message,)) for text, message in zip(texts, messages, strict=True))
    native = Native(dialect=EMBEDDINGS, body={"input": list(texts), "encoding_format": "float"}, runs=runs)
    found: object = None
    call = Call(model="", messages=messages, native=native, timeout=seconds)
    async with aclosing(cast("Any", model(call))) as chunks:
        async for chunk in chunks:
            found = (chunk.native or {}).get("data")
    vectors = [mapping(item).get("embedding") for item in found] if isinstance(found, list) else []
    if len(vectors) != len(texts) or not all(isinstance(vector, list) for vector in vectors):
        raise ModelError("the model gave something else than a vector for each text.", retryable=False)
    return cast("list[list[float]]", vectors)


def embeddings_reply(body: Mapping[str, Any]) -> Chunk:
    """The list of embeddings as the one Chunk of its answer."""
    usage = mapping(body.get("usage"))
    tokens = Usage(input_tokens=number(usage.get("prompt_tokens") or usage.get("total_tokens")))
    return Chunk(finish="stop", usage=tokens, model=text(body.get("model")), native=body)


def embeddings_body(asked: Mapping[str, Any], vectors: list[list[float]], model: str, tokens: int) -> dict[str, Any]:
    """Vectors in OpenAI's shape, encoded as ``asked``: as numbers, or as base64 of 32-bit floats."""
    packed = asked.get("encoding_format") == "base64"
    shown = [_packed(vector) if packed else vector for vector in vectors]
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(shown)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
