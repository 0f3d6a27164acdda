"""Anthropic's messages, written: a plain reply, and what both replies and streams say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.core import Chunk, TrimtabError, Usage
from trimtab.gateway.caller import Headers
from trimtab.gateway.live import LiveTrace
from trimtab.gateway.wire import error_status

from .answer import arguments_of, name_of, said
from .dividing import divided

_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def message_bytes(chunk: Chunk, live: LiveTrace) -> bytes:
    """A whole message: the vendor's own where it speaks the dialect, else written from chat."""
    if chunk.native is not None:
        return msgspec.json.encode(_as_passed(chunk.native, chunk.text))
    read = said(chunk)
    content: list[Any] = []
    if wants_thoughts(live):
        content += read.thoughts or ([thinking(read.thought)] if read.thought else [])
    text = read.text or read.refusal
    if text or not read.calls:
        content.append({"type": "text", "text": text})
    content += [_use(call, live, n) for n, call in enumerate(read.calls)]
    message = opening(live, chunk.model) | {"content": content}
    reason, sequence = stop_of(chunk.finish, bool(read.calls), read.stop, live)
    message |= {"stop_reason": reason, "stop_sequence": sequence, "usage": usage_of(chunk.usage or Usage())}
    return msgspec.json.encode(message)


def count_bytes(chunk: Chunk, live: LiveTrace) -> bytes:
    """The answer to a request for a count of tokens."""
    found = chunk.native or {}
    return msgspec.json.encode({"input_tokens": found.get("input_tokens", 0)})


def count_headers(chunk: Chunk) -> Headers:
    """Whether the tokens were counted by the provider or estimated here."""
    return [(b"x-trimtab-token-count", b"estimate" if (chunk.native or {}).get("estimated") else b"provider")]


def opening(live: LiveTrace, model: str) -> dict[str, Any]:
    """A message of which nothing is known yet."""
    return {
        "id": f"msg_{live.trace_id}",
        "type": "message",
        "role": "assistant",
        "model": model or live.ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def thinking(text: str) -> dict[str, Any]:
    """A thought that nobody signed."""
    return {"type": "thinking", "thinking": text, "signature": ""}


def wants_thoughts(live: LiveTrace) -> bool:
    """Whether the model's thoughts are shown: unless the client turned thinking off."""
    asked = live.ask.native.body.get("thinking") if live.ask.native else None
    return not (isinstance(asked, Mapping) and asked.get("type") == "disabled")


def stop_of(finish: str | None, called: bool, sequence: str, live: LiveTrace) -> tuple[str, str | None]:
    """Stop reason and stop sequence. Some servers say ``stop`` where they stopped to call a tool."""
    if called and finish in (None, "stop"):
        return "tool_use", None
    asked = live.ask.params.get("stop")
    if finish == "stop" and sequence and isinstance(asked, list) and sequence in asked:
        return "stop_sequence", sequence
    return _STOP.get(finish or "stop", "end_turn"), None


def usage_of(usage: Usage) -> dict[str, Any]:
    """Tokens as Anthropic counts them: those read from a cache stand beside the input."""
    shown: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.written_tokens),
        "cache_creation_input_tokens": usage.written_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        shown["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return shown


def call_id(call: Mapping[str, Any], live: LiveTrace, number: int) -> str:
    """The call's own id, or one made here where the server gave none."""
    found = call.get("id")
    return found if isinstance(found, str) and found else f"toolu_{live.trace_id[:20]}_{number}"


def error_body(error: TrimtabError) -> dict[str, Any]:
    """Anthropic's error shape, with what Trimtab knows beside it."""
    status = error_status(error)
    kind = _ERRORS.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    layer = None if error.layer is None else int(error.layer)
    ours = {"code": error.code, "layer": layer, "field": error.field, "mend": error.mend}
    return {"type": "error", "error": {"type": kind, "message": str(error), "trimtab": ours}}


def error_bytes(error: TrimtabError) -> bytes:
    """The body of an error answer."""
    return msgspec.json.encode(error_body(error))


def _use(call: Mapping[str, Any], live: LiveTrace, number: int) -> dict[str, Any]:
    arguments = arguments_of(call)
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        value = None
    # What a model wrote that is no JSON object is handed on as Anthropic advises for its own.
    made = value if isinstance(value, dict) else {"INVALID_JSON": arguments}
    return {"type": "tool_use", "id": call_id(call, live, number), "name": name_of(call), "input": made}


def _as_passed(body: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    """The vendor's message with the text that the guard let through; untouched where that is all of it. A block of
    which nothing is left goes: the vendor takes none without text back. One always stays."""
    content = body.get("content")
    blocks = content if isinstance(content, list) else []
    places = [place for place, block in enumerate(blocks) if isinstance(block, Mapping) and block.get("type") == "text"]
    texts = [str(blocks[place].get("text", "")) for place in places]
    if "".join(texts) == text:
        return body
    if not places:
        return {**body, "content": [{"type": "text", "text": text}, *blocks]}
    shown = dict(zip(places, divided(text, texts), strict=True))
    kept = [
        block if place not in shown or shown[place] == block.get("text") else {"type": "text", "text": shown[place]}
        for place, block in enumerate(blocks)
        if shown.get(place) != "" or (not text and place == places[0])
    ]
    return {**body, "content": kept}
