"""Anthropic's messages API behind the OpenAI shape: text in and out, streaming or not; tools are refused by name."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.core import BadInput, Call, Chunk, Message, Model, ModelError, Usage, now_ns

from .http import HttpClient
from .openai import wants_usage
from .sse import EventDecoder
from .vendor import complaint, decode, mapping, number, refusal, text

DEFAULT_URL = "https://api.anthropic.com/v1"
API_VERSION = "2023-06-01"
#: Anthropic demands ``max_tokens``; this is sent when the client names none.
DEFAULT_MAX_TOKENS = 4096

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_SAME = frozenset({"temperature", "top_p", "top_k", "service_tier", "thinking"})
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1, None),
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "logprobs": (False, None),
    "response_format": ({"type": "text"}, None),
    "tools": ([], None),
    "tool_choice": ("none", None),
}


class Anthropic:
    """One endpoint of the messages API: ``POST {base_url}/messages``."""

    def __init__(self, name: str, base_url: str, api_key: str, http: HttpClient) -> None:
        self._name = name
        self._url = (base_url or DEFAULT_URL).rstrip("/") + "/messages"
        self._key = api_key
        self._http = http

    def model(self, name: str) -> Model:
        """The model of that name; the vendor itself knows which names there are."""
        return functools.partial(self._answer, name)

    async def _answer(self, name: str, call: Call) -> AsyncIterator[Chunk]:
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "trimtab",
            "anthropic-version": API_VERSION,
            "x-api-key": self._key,
        }
        body = msgspec.json.encode(request_of(name, call))
        response = await self._http.request("POST", self._url, headers, body, timeout=call.timeout)
        try:
            if response.status >= 300:
                raise await refusal(response, self._name, self._key)
            if not call.stream:
                yield reply_of(decode(await response.read(), self._name))
                return
            decoder = EventDecoder()
            answer = Streamed(wants_usage(call))
            async for data in response:
                for event in decoder.feed(data):
                    found = decode(event.data, self._name)
                    if found.get("type") == "error":
                        raise _broken_off(found, self._name, self._key)
                    for chunk in answer.take(found):
                        yield chunk
        finally:
            await response.close()


def request_of(name: str, call: Call) -> dict[str, Any]:
    """The Call as a body of the messages API. Raises BadInput naming what has no counterpart there."""
    body: dict[str, Any] = {"model": name, "max_tokens": DEFAULT_MAX_TOKENS, "stream": call.stream}
    for field, value in call.params.items():
        if field in _SAME:
            body[field] = value
        elif field in ("max_tokens", "max_completion_tokens"):
            body["max_tokens"] = DEFAULT_MAX_TOKENS if value is None else value
        elif field == "stop":
            if value is not None:
                body["stop_sequences"] = [value] if isinstance(value, str) else value
        elif field == "user":
            body["metadata"] = {"user_id": value}
        elif field != "stream_options" and value not in _NEUTRAL.get(field, ()):
            raise BadInput(
                f"an Anthropic model cannot be asked with {field!r} through this gateway.",
                field=field,
                mend="Leave it out, or route to an OpenAI-compatible model.",
            )
    system, messages = _split(call.messages)
    if system:
        body["system"] = system
    body["messages"] = messages
    return body


def _split(messages: Sequence[Message]) -> tuple[str, list[dict[str, Any]]]:
    system: list[str] = []
    rest: list[dict[str, Any]] = []
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        role = message.get("role")
        if role in ("system", "developer"):
            system.append("".join(part["text"] for part in _parts(message.get("content"), where, images=False)))
        elif role in ("user", "assistant") and not message.get("tool_calls"):
            rest.append({"role": role, "content": _parts(message.get("content"), f"{where}", images=role == "user")})
        else:
            raise BadInput(
                "tool messages and tool calls have no way to Anthropic through this gateway.",
                field=f"{where}.{'tool_calls' if message.get('tool_calls') else 'role'}",
                mend="Route conversations with tools to an OpenAI-compatible model.",
            )
    return "\n\n".join(system), rest


def _parts(content: object, where: str, *, images: bool) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise BadInput("must be text or a list of parts.", field=f"{where}.content")
    parts: list[dict[str, Any]] = []
    for position, part in enumerate(content):
        found = mapping(part)
        if found.get("type") == "text" and isinstance(found.get("text"), str):
            parts.append({"type": "text", "text": found["text"]})
        elif images and found.get("type") == "image_url":
            parts.append({"type": "image", "source": _image(text(mapping(found.get("image_url")).get("url")))})
        else:
            raise BadInput(
                f"a part of type {found.get('type')!r} has no way to Anthropic here.",
                field=f"{where}.content[{position}].type",
            )
    return parts


def _image(url: str) -> dict[str, str]:
    inline = re.match(r"data:([\w/.+-]+);base64,", url)
    if inline:
        return {"type": "base64", "media_type": inline[1], "data": url[inline.end() :]}
    return {"type": "url", "url": url}


def reply_of(body: Mapping[str, Any]) -> Chunk:
    """A message as the one Chunk of a plain reply, with a ``chat.completion`` as its body."""
    blocks = body.get("content")
    said = "".join(text(mapping(b).get("text")) for b in blocks) if isinstance(blocks, list) else ""
    finish = finish_of(body.get("stop_reason"))
    usage = usage_of(mapping(body.get("usage")))
    model = text(body.get("model"))
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish, "logprobs": None}
    shown = {
        "id": text(body.get("id")),
        "object": "chat.completion",
        "created": now_ns() // 1_000_000_000,
        "model": model,
        "choices": [choice],
        "usage": shown_usage(usage),
    }
    return Chunk(text=said, finish=finish, usage=usage, model=model, body=shown)


class Streamed:
    """The events of one streamed message as Chunks with ``chat.completion.chunk`` bodies."""

    def __init__(self, show_usage: bool) -> None:
        self._show_usage = show_usage
        self._id = self._model = ""
        self._created = now_ns() // 1_000_000_000
        self._usage: dict[str, Any] = {}

    def take(self, event: Mapping[str, Any]) -> list[Chunk]:
        """The Chunks that an event makes; events that carry no text (pings, thinking, block ends) make none."""
        kind = event.get("type")
        if kind == "message_start":
            message = mapping(event.get("message"))
            self._id, self._model = text(message.get("id")), text(message.get("model"))
            self._usage.update(mapping(message.get("usage")))
            return [self._chunk({"role": "assistant", "content": ""})]
        if kind == "content_block_delta":
            said = text(mapping(event.get("delta")).get("text"))
            return [self._chunk({"content": said}, said=said)] if said else []
        if kind == "message_delta":
            self._usage.update({k: v for k, v in mapping(event.get("usage")).items() if v is not None})
            finish = finish_of(mapping(event.get("delta")).get("stop_reason"))
            return [self._chunk({}, finish=finish), self._usage_chunk()]
        return []

    def _chunk(self, delta: Mapping[str, Any], *, said: str = "", finish: str | None = None) -> Chunk:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
        return Chunk(text=said, finish=finish, model=self._model, body=self._body(choices))

    def _usage_chunk(self) -> Chunk:
        usage = usage_of(self._usage)
        shown = {**self._body([]), "usage": shown_usage(usage)} if self._show_usage else None
        return Chunk(usage=usage, model=self._model, body=shown)

    def _body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }


def finish_of(reason: object) -> str | None:
    """Anthropic's stop reason in OpenAI's words; one we do not know ends the answer normally."""
    return _FINISH.get(reason, "stop") if isinstance(reason, str) else None


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Tokens; Anthropic counts cached ones beside the input, Trimtab (as OpenTelemetry) as parts of it."""
    cached = number(usage.get("cache_read_input_tokens"))
    written = number(usage.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=number(usage.get("input_tokens")) + cached + written,
        output_tokens=number(usage.get("output_tokens")),
        cached_tokens=cached,
    )


def shown_usage(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _broken_off(event: Mapping[str, Any], vendor: str, secret: str) -> ModelError:
    error = mapping(event.get("error"))
    status = {"overloaded_error": 529, "rate_limit_error": 429, "api_error": 500}.get(text(error.get("type")), 0)
    return complaint({**error, "code": status} if error else event.get("error"), vendor, secret)
