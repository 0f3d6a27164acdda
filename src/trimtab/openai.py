"""``trimtab.openai.autolog()``: every call of the official ``openai`` client becomes a span.

Chat completions, responses and embeddings; plain, streaming, sync and async; asked and answering model, tokens,
messages, tools, answer and error. The client's own behaviour stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import ConfigError
from trimtab.sdk import LiveSpan, Place, Reader, as_json, dumped, patch, plain_messages


def autolog(disable: bool = False) -> None:
    """Start recording (again is harmless), or with ``disable`` put the client back as it was.

    Raises ConfigError when the ``openai`` package is not installed.
    """
    try:
        from openai.resources.chat.completions import AsyncCompletions, Completions
        from openai.resources.embeddings import AsyncEmbeddings, Embeddings
        from openai.resources.responses import AsyncResponses, Responses
    except ImportError:
        raise ConfigError("the openai package is not installed", mend="Run: pip install openai") from None
    places = [Place(owner, name, Chat) for owner in (Completions, AsyncCompletions) for name in ("create", "parse")]
    places += [Place(owner, name, Response) for owner in (Responses, AsyncResponses) for name in ("create", "parse")]
    places += [Place(owner, "create", Embedding) for owner in (Embeddings, AsyncEmbeddings)]
    patch(places, disable=disable)


class Chat(Reader):
    """``chat.completions``."""

    provider = "openai"

    def __init__(self, span: LiveSpan) -> None:
        super().__init__(span)
        self._texts: list[str] = []
        self._tools: dict[int, dict[str, str]] = {}

    def ask(self, kwargs: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The messages, and the tools that are offered."""
        tools = kwargs.get("tools")
        self.note(gen_ai__tool__definitions=as_json(tools) if isinstance(tools, list) else None)
        return [_message(message) for message in plain_messages(kwargs.get("messages"))]

    def whole(self, body: Any) -> None:
        """Read a plain answer."""
        self._facts(body)
        choices = getattr(body, "choices", None) or []
        messages = [_message(choice.message) for choice in choices if getattr(choice, "message", None) is not None]
        self.note(gen_ai__response__finish_reasons=[str(c.finish_reason) for c in choices if c.finish_reason] or None)
        if messages:
            self.note(gen_ai__output__messages=as_json(messages))

    def piece(self, chunk: Any) -> None:
        """Read one piece of a stream."""
        self._facts(chunk)
        for choice in getattr(chunk, "choices", None) or []:
            delta = getattr(choice, "delta", None)
            text = getattr(delta, "content", None)
            if text:
                self.first()
                self._texts.append(str(text))
            for call in getattr(delta, "tool_calls", None) or []:
                self._tool(call)
            if getattr(choice, "finish_reason", None):
                self.note(gen_ai__response__finish_reasons=[str(choice.finish_reason)])

    def close(self) -> None:
        """Put a streamed answer together."""
        if self._texts or self._tools:
            parts: list[dict[str, str]] = [{"type": "text", "content": "".join(self._texts)}] if self._texts else []
            parts += [{"type": "tool_call", **call} for _, call in sorted(self._tools.items())]
            self.note(gen_ai__output__messages=as_json([{"role": "assistant", "parts": parts}]))

    def _tool(self, call: Any) -> None:
        known = self._tools.setdefault(int(call.index or 0), {"id": "", "name": "", "arguments": ""})
        known["id"] = known["id"] or str(call.id or "")
        if call.function is not None:
            known["name"] += call.function.name or ""
            known["arguments"] += call.function.arguments or ""

    def _facts(self, body: Any) -> None:
        self.note(
            gen_ai__response__model=getattr(body, "model", None),
            gen_ai__response__id=getattr(body, "id", None),
            openai__response__system_fingerprint=getattr(body, "system_fingerprint", None),
        )
        usage = getattr(body, "usage", None)
        if usage is not None:
            read = getattr(usage, "prompt_tokens_details", None)
            written = getattr(usage, "completion_tokens_details", None)
            self.note(
                gen_ai__usage__input_tokens=getattr(usage, "prompt_tokens", None),
                gen_ai__usage__output_tokens=getattr(usage, "completion_tokens", None),
                gen_ai__usage__cache_read__input_tokens=getattr(read, "cached_tokens", None),
                gen_ai__usage__cache_creation__input_tokens=getattr(read, "cache_write_tokens", None),
                gen_ai__usage__reasoning__output_tokens=getattr(written, "reasoning_tokens", None),
            )


class Response(Reader):
    """``responses``: items in, items out."""

    provider = "openai"

    def __init__(self, span: LiveSpan) -> None:
        super().__init__(span)
        self._texts: list[str] = []

    def ask(self, kwargs: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The instructions and the input's items as messages, and the tools that are offered."""
        tools, told, given = kwargs.get("tools"), kwargs.get("instructions"), kwargs.get("input")
        self.note(
            gen_ai__tool__definitions=as_json(tools) if isinstance(tools, list) else None,
            gen_ai__conversation__id=_conversation(kwargs.get("conversation")),
            openai__request__previous_response_id=_text(kwargs.get("previous_response_id")),
        )
        messages = [{"role": "system", "parts": [_words(told)]}] if isinstance(told, str) else []
        if isinstance(given, str):
            return [*messages, {"role": "user", "parts": [_words(given)]}]
        return messages + [_item(item) for item in plain_messages(given)]

    def whole(self, body: Any) -> None:
        """Read a plain answer, or the one that the last event of a stream carries."""
        usage = getattr(body, "usage", None)
        read = getattr(usage, "input_tokens_details", None)
        self.note(
            gen_ai__response__model=getattr(body, "model", None),
            gen_ai__response__id=getattr(body, "id", None),
            gen_ai__usage__input_tokens=getattr(usage, "input_tokens", None),
            gen_ai__usage__output_tokens=getattr(usage, "output_tokens", None),
            gen_ai__usage__cache_read__input_tokens=getattr(read, "cached_tokens", None),
            gen_ai__usage__cache_creation__input_tokens=getattr(read, "cache_write_tokens", None),
            gen_ai__usage__reasoning__output_tokens=getattr(
                getattr(usage, "output_tokens_details", None), "reasoning_tokens", None
            ),
        )
        items = [_item(dumped(item)) for item in getattr(body, "output", None) or []]
        parts = [part for item in items if item["role"] == "assistant" for part in item["parts"]]
        if parts:
            self._texts.clear()
            self.note(gen_ai__output__messages=as_json([{"role": "assistant", "parts": parts}]))
        error = getattr(body, "error", None)
        if error is not None:
            self.span.status, self.span.error = "error", str(getattr(error, "message", error))[:2000]

    def piece(self, chunk: Any) -> None:
        """Read one event of a stream."""
        kind = str(getattr(chunk, "type", ""))
        if kind == "response.output_text.delta":
            self.first()
            self._texts.append(str(chunk.delta))
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self.whole(chunk.response)

    def close(self) -> None:
        """A stream that was left before its end: what came of it."""
        if self._texts:
            self.note(
                gen_ai__output__messages=as_json([{"role": "assistant", "parts": [_words("".join(self._texts))]}])
            )


class Embedding(Reader):
    """``embeddings``; the vectors themselves are not kept."""

    title = "embeddings"
    kind = "embedding"
    provider = "openai"

    def ask(self, kwargs: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """What is embedded."""
        self.span.set_inputs(kwargs.get("input"))
        return ()

    def whole(self, body: Any) -> None:
        """The model and the tokens."""
        self.note(
            gen_ai__response__model=getattr(body, "model", None),
            gen_ai__usage__input_tokens=getattr(getattr(body, "usage", None), "prompt_tokens", None),
        )


def _message(message: Any) -> dict[str, Any]:
    """A message in OpenTelemetry's shape: a role and parts."""
    known = message if isinstance(message, Mapping) else dumped(message)
    role, content = str(known.get("role") or "assistant"), known.get("content")
    parts: list[Any] = []
    if role == "tool":
        parts.append({"type": "tool_call_response", "id": known.get("tool_call_id"), "response": content})
    elif isinstance(content, str):
        parts.append(_words(content))
    elif isinstance(content, Sequence):
        parts.extend(content)
    if known.get("refusal"):
        parts.append(_words(known["refusal"]))
    for call in known.get("tool_calls") or ():
        function = call.get("function") or {}
        named = {"name": function.get("name"), "arguments": function.get("arguments")}
        parts.append({"type": "tool_call", "id": call.get("id"), **named})
    return {"role": role, "parts": parts}


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item of the responses API in OpenTelemetry's shape."""
    kind = item.get("type", "message")
    if kind == "function_call":
        call = {"id": item.get("call_id"), "name": item.get("name"), "arguments": item.get("arguments")}
        return {"role": "assistant", "parts": [{"type": "tool_call", **call}]}
    if kind == "function_call_output":
        given = {"id": item.get("call_id"), "response": item.get("output")}
        return {"role": "tool", "parts": [{"type": "tool_call_response", **given}]}
    if kind != "message":
        # Reasoning, calls of the vendor's own tools and whatever comes next: kept as it is.
        return {"role": "assistant", "parts": [dict(item)]}
    content = item.get("content")
    if isinstance(content, str):
        parts: list[Any] = [_words(content)]
    else:
        listed = content if isinstance(content, Sequence) else ()
        parts = [_words(part["text"]) if isinstance(part, Mapping) and "text" in part else part for part in listed]
    return {"role": str(item.get("role") or "user"), "parts": parts}


def _words(text: Any) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _conversation(value: Any) -> str | None:
    found = value.get("id") if isinstance(value, Mapping) else value
    return _text(found)
