"""Chat messages in the shapes that spans carry them in, as plain ``{"role", "content"}`` and as what a person reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def messages_of(value: Any) -> list[dict[str, Any]] | None:
    """OpenTelemetry's messages (``parts``) or OpenAI's (``content``), as JSON text or decoded, in OpenAI's shape.

    None when it is neither. Text parts are joined; what is not text keeps its part under ``parts``.
    """
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return None
    if not isinstance(value, list) or not value:
        return None
    found = []
    for item in value:
        if not isinstance(item, Mapping) or not ("parts" in item or "content" in item or "tool_calls" in item):
            return None
        found.append(_message(item))
    return found


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": str(item.get("role") or "user")}
    parts = item.get("parts") if "parts" in item else item.get("content")
    if isinstance(parts, list):
        texts = [_part_text(part) for part in parts]
        message["content"] = "\n".join(filter(None, texts))
        if not all(texts):
            message["parts"] = [part for part, text in zip(parts, texts, strict=True) if not text]
    else:
        message["content"] = "" if parts is None else str(parts)
    if item.get("tool_calls"):
        message["tool_calls"] = item["tool_calls"]
    for name in ("tool_call_id", "name"):
        if isinstance(item.get(name), str):
            message[name] = item[name]
    return message


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type", "text") == "text":
        text = part.get("content", part.get("text"))
        return text if isinstance(text, str) else ""
    return ""


def text_of(message: Mapping[str, Any]) -> str:
    """What a person reads of one message: its text, else the calls it makes."""
    content = message.get("content")
    if isinstance(content, str) and content:
        return content
    calls = message.get("tool_calls") or message.get("parts")
    return compact(calls) if calls else ""


def compact(value: Any) -> str:
    """JSON text without spaces; empty when the value has no JSON form."""
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, RecursionError, OverflowError):
        return _other_json(value)


def _other_json(value: Any) -> str:
    """What the fast encoder refuses and JSON can hold: half a surrogate pair, an integer of any length."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return ""


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last message of role user; of the last message when no user speaks."""
    asked = [message for message in messages if message.get("role") == "user"]
    # Some libraries hand the result of a tool back as the user: what a person wrote is text.
    spoken = [message for message in asked if isinstance(message.get("content"), str) and message["content"]]
    for message in reversed(spoken or asked):
        if text_of(message):
            return text_of(message)
    return text_of(messages[-1]) if messages else ""


def question(text: str) -> str:
    """What a person asked, from a span's input: the last user message of JSON messages, any other text as it is."""
    if not text.startswith("[{"):
        return text
    messages = messages_of(text)
    return text if messages is None else last_user_text(messages)
