"""OpenAI's wire shapes, out: completions, pieces of a stream, errors, the list of models."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.core import Chunk, Forbidden, ModelError, TrimtabError, Unauthorized, Usage, evolve

from .attempt import merge_tool_call

DONE = b"data: [DONE]\n\n"
SECOND = 1_000_000_000

_TYPES: tuple[tuple[type[TrimtabError], str], ...] = (
    (Unauthorized, "authentication_error"),
    (Forbidden, "permission_error"),
)
_VENDOR_STATUSES = (400, 413, 422, 429)
_encode = msgspec.json.encode


async def whole(chunks: AsyncIterator[Chunk]) -> Chunk:
    """A plain reply as one piece: the only one there is, or all of them put together."""
    return joined([chunk async for chunk in chunks])


def joined(pieces: Sequence[Chunk]) -> Chunk:
    """Pieces of a plain reply as one."""
    if len(pieces) == 1:
        return pieces[0]
    calls: list[dict[str, Any]] = []
    for piece in pieces:
        for part in piece.tool_calls:
            merge_tool_call(calls, part)
    return Chunk(
        text="".join(piece.text for piece in pieces),
        finish=next((piece.finish for piece in reversed(pieces) if piece.finish), None),
        usage=next((piece.usage for piece in reversed(pieces) if piece.usage), None),
        model=next((piece.model for piece in pieces if piece.model), ""),
        fingerprint=next((piece.fingerprint for piece in pieces if piece.fingerprint), ""),
        tool_calls=tuple(calls),
    )


def rewritten(chunk: Chunk, change: Callable[[int, str, bool], str]) -> Chunk:
    """The piece with the text of each choice changed by ``change(index, text, whether it is that choice's end)``.

    The log-probabilities of a choice whose text changed are left out, since they spell the text.
    """
    if chunk.body is None:
        return evolve(chunk, text=change(0, chunk.text, chunk.finish is not None))
    first = ""
    changed = False
    choices = []
    for choice in chunk.body.get("choices") or ():
        part = "message" if "message" in choice else "delta"
        said = choice.get(part) or {}
        before = said.get("content")
        before = before if isinstance(before, str) else ""
        after = change(choice.get("index") or 0, before, bool(choice.get("finish_reason")))
        if after != before:
            changed = True
            choice = {**choice, part: {**said, "content": after}}
            if choice.get("logprobs"):
                choice["logprobs"] = None
        choices.append(choice)
        if not choice.get("index"):
            first = after
    if not changed and first == chunk.text:
        return chunk
    return evolve(chunk, text=first, body={**chunk.body, "choices": choices})


def completion(chunk: Chunk, trace_id: str, model: str, now_ns: int) -> bytes:
    """A ``chat.completion``: the vendor's own body where there is one."""
    if chunk.body is not None:
        return _encode(chunk.body)
    message: dict[str, Any] = {"role": "assistant", "content": chunk.text}
    if chunk.tool_calls:
        message["tool_calls"] = list(chunk.tool_calls)
    choice = {"index": 0, "message": message, "finish_reason": chunk.finish or "stop"}
    body = _envelope(chunk, "chat.completion", trace_id, model, now_ns, choice)
    if chunk.usage:
        body["usage"] = _usage(chunk.usage)
    return _encode(body)


def with_cost(body: Mapping[str, Any], cost: float | None) -> dict[str, Any]:
    """The last piece of a stream, with what the request cost: US dollars, null for a model without a price."""
    return {**body, "trimtab": {"cost_usd": None if cost is None else round(cost, 9)}}


def event(chunk: Chunk, trace_id: str, model: str, now_ns: int) -> bytes:
    """A ``chat.completion.chunk`` as an event of a stream; nothing for a piece the client did not ask for."""
    if chunk.body is not None:
        return b"data: " + _encode(chunk.body) + b"\n\n"
    if not chunk.text and not chunk.finish and not chunk.tool_calls:
        return b""
    delta: dict[str, Any] = {"content": chunk.text} if chunk.text else {}
    if chunk.tool_calls:
        delta["tool_calls"] = list(chunk.tool_calls)
    choice = {"index": 0, "delta": delta, "finish_reason": chunk.finish}
    return b"data: " + _encode(_envelope(chunk, "chat.completion.chunk", trace_id, model, now_ns, choice)) + b"\n\n"


def error_body(error: TrimtabError) -> dict[str, Any]:
    """OpenAI's error shape, with what Trimtab knows beside it."""
    return {
        "error": {
            "message": str(error),
            "type": error_type(error),
            "code": error.code,
            "param": error.field or None,
            "trimtab": {
                "layer": None if error.layer is None else int(error.layer),
                "field": error.field,
                "mend": error.mend,
            },
        }
    }


def error_bytes(error: TrimtabError) -> bytes:
    """The body of an error answer."""
    return _encode(error_body(error))


def error_event(error: TrimtabError) -> bytes:
    """The event that ends a stream which broke after it had begun."""
    return b"data: " + _encode(error_body(error)) + b"\n\n"


def error_type(error: TrimtabError) -> str:
    """OpenAI's name for the class of an error."""
    for kind, name in _TYPES:
        if isinstance(error, kind):
            return name
    status = error_status(error)
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "api_error"


def error_status(error: TrimtabError) -> int:
    """The HTTP status: the vendor's own where it blames the request or asks to wait, else that of our error."""
    if isinstance(error, ModelError) and error.vendor_status in _VENDOR_STATUSES:
        return error.vendor_status
    return error.status


def error_headers(error: TrimtabError) -> dict[str, str]:
    """``retry-after`` in whole seconds, rounded up, where it is known, and whether trying again makes sense at all."""
    headers = {"x-should-retry": "true" if error.retryable else "false"}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    return headers


def model_entry(name: str, owner: str, created_ns: int) -> dict[str, Any]:
    """One entry of the list of models."""
    return {"id": name, "object": "model", "created": created_ns // SECOND, "owned_by": owner}


def _envelope(
    chunk: Chunk, kind: str, trace_id: str, model: str, now_ns: int, choice: Mapping[str, Any]
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": f"chatcmpl-{trace_id}",
        "object": kind,
        "created": now_ns // SECOND,
        "model": chunk.model or model,
        "choices": [choice],
    }
    if chunk.fingerprint:
        body["system_fingerprint"] = chunk.fingerprint
    return body


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
