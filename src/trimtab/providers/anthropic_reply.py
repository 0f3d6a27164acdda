"""Anthropic's messages and their streams as Chunks: in OpenAI's shape, or as they came to a client of Anthropic's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.core import Chunk, ModelError, Usage

from .chat import Pieces, whole_body
from .vendor import complaint, mapping, number, text

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STATUS = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
}
_THOUGHTS = ("thinking", "redacted_thinking")


def reply_of(body: Mapping[str, Any], *, native: bool = False) -> Chunk:
    """A message as the one Chunk of a plain reply."""
    found = body.get("content")
    blocks = [mapping(block) for block in found] if isinstance(found, list) else []
    said = "".join(text(b.get("text")) for b in blocks if b.get("type") == "text")
    calls = tuple(_call(b, n) for n, b in enumerate(b for b in blocks if b.get("type") == "tool_use"))
    finish = finish_of(body.get("stop_reason"))
    usage = usage_of(mapping(body.get("usage")))
    model = text(body.get("model"))
    shown = None
    if not native:
        message: dict[str, Any] = {"role": "assistant", "content": said if said or not calls else None}
        if calls:
            message["tool_calls"] = [{k: v for k, v in call.items() if k != "index"} for call in calls]
        if thoughts := [block for block in blocks if block.get("type") in _THOUGHTS]:
            message["reasoning_content"] = "".join(text(block.get("thinking")) for block in thoughts)
            message["thinking_blocks"] = thoughts
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        if isinstance(body.get("stop_sequence"), str):
            choice["stop_reason"] = body["stop_sequence"]
        shown = whole_body({"id": text(body.get("id")), "model": model}, [choice], usage)
    return Chunk(
        text=said,
        finish=finish,
        usage=usage,
        model=model,
        tool_calls=calls,
        body=shown,
        native=body if native else None,
    )


def _call(block: Mapping[str, Any], index: int) -> dict[str, Any]:
    arguments = msgspec.json.encode(block.get("input") or {}).decode()
    function = {"name": text(block.get("name")), "arguments": arguments}
    return {"index": index, "id": text(block.get("id")), "type": "function", "function": function}


class Streamed:
    """The events of one streamed message as Chunks: with ``chat.completion.chunk`` bodies, or each as it came."""

    def __init__(self, show_usage: bool, *, native: bool = False) -> None:
        self._pieces = Pieces(show_usage)
        self._native = native
        self._usage: dict[str, Any] = {}
        self._block: Mapping[str, Any] = {}
        self._heard = ""  # what the open block said so far, if it is a thought or a call
        self._signature = ""
        self._calls = 0

    def take(self, event: Mapping[str, Any]) -> list[Chunk]:
        """The Chunks that an event makes. Those that say nothing in chat (pings, block ends) make none there."""
        made = self._take(event)
        if not self._native:
            return made
        one = Chunk(
            text="".join(chunk.text for chunk in made),
            finish=next((chunk.finish for chunk in made if chunk.finish), None),
            usage=next((chunk.usage for chunk in made if chunk.usage), None),
            model=self._pieces.model,
            tool_calls=tuple(call for chunk in made for call in chunk.tool_calls),
            native=event,
        )
        return [one]

    def _take(self, event: Mapping[str, Any]) -> list[Chunk]:
        kind = event.get("type")
        if kind == "message_start":
            message = mapping(event.get("message"))
            self._pieces.id, self._pieces.model = text(message.get("id")), text(message.get("model"))
            self._usage.update(mapping(message.get("usage")))
            return [self._pieces.piece({"role": "assistant", "content": ""})]
        if kind == "content_block_start":
            return self._open(mapping(event.get("content_block")))
        if kind == "content_block_delta":
            return self._delta(mapping(event.get("delta")))
        if kind == "content_block_stop":
            return self._close()
        if kind == "message_delta":
            self._usage.update({k: v for k, v in mapping(event.get("usage")).items() if v is not None})
            delta = mapping(event.get("delta"))
            more = {"stop_reason": delta["stop_sequence"]} if isinstance(delta.get("stop_sequence"), str) else {}
            end = self._pieces.piece({}, finish=finish_of(delta.get("stop_reason")), **more)
            return [end, self._pieces.usage(usage_of(self._usage))]
        return []

    def _open(self, block: Mapping[str, Any]) -> list[Chunk]:
        self._block, self._heard, self._signature = block, "", ""
        kind = block.get("type")
        if kind == "text" and block.get("text"):
            return [self._pieces.piece({"content": text(block["text"])})]
        if kind == "tool_use":
            self._calls += 1
            function = {"name": text(block.get("name")), "arguments": ""}
            call = {"index": self._calls - 1, "id": text(block.get("id")), "type": "function", "function": function}
            return [self._pieces.piece({"tool_calls": [call]})]
        return []

    def _delta(self, delta: Mapping[str, Any]) -> list[Chunk]:
        kind = delta.get("type")
        if kind == "text_delta" and (said := text(delta.get("text"))):
            return [self._pieces.piece({"content": said})]
        if kind == "thinking_delta" and (thought := text(delta.get("thinking"))):
            self._heard += thought
            return [self._pieces.piece({"reasoning_content": thought})]
        if kind == "signature_delta":
            self._signature += text(delta.get("signature"))
        if kind == "input_json_delta" and self._block.get("type") == "tool_use" and (part := delta.get("partial_json")):
            self._heard += text(part)
            return [self._arguments(text(part))]
        return []

    def _close(self) -> list[Chunk]:
        block, self._block = self._block, {}
        if block.get("type") == "tool_use" and not self._heard:  # a call without arguments still is JSON
            return [self._arguments(msgspec.json.encode(block.get("input") or {}).decode())]
        if block.get("type") == "thinking":
            thought = {**block, "thinking": self._heard, "signature": self._signature}
            return [self._pieces.piece({"thinking_blocks": [thought]})]
        if block.get("type") == "redacted_thinking":
            return [self._pieces.piece({"thinking_blocks": [block]})]
        return []

    def _arguments(self, part: str) -> Chunk:
        return self._pieces.piece({"tool_calls": [{"index": self._calls - 1, "function": {"arguments": part}}]})


def finish_of(reason: object) -> str | None:
    """Anthropic's stop reason in OpenAI's words; one we do not know ends the answer normally."""
    return _FINISH.get(reason, "stop") if isinstance(reason, str) else None


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Tokens; Anthropic counts cached ones beside the input, Trimtab (as OpenTelemetry) as parts of it."""
    cached = number(usage.get("cache_read_input_tokens"))
    written = number(usage.get("cache_creation_input_tokens"))
    kept = mapping(usage.get("cache_creation"))
    return Usage(
        input_tokens=number(usage.get("input_tokens")) + cached + written,
        output_tokens=number(usage.get("output_tokens")),
        cached_tokens=cached,
        reasoning_tokens=number(mapping(usage.get("output_tokens_details")).get("thinking_tokens")),
        written_tokens=written,
        hour_tokens=number(kept.get("ephemeral_1h_input_tokens")),
        batch=usage.get("service_tier") == "batch",
    )


def broken_off(event: Mapping[str, Any], vendor: str, secret: str) -> ModelError:
    """The error in an event of a stream."""
    error = mapping(event.get("error"))
    status = _STATUS.get(text(error.get("type")), 0)
    return complaint({**error, "code": status} if error else event.get("error"), vendor, secret)
