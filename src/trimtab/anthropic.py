"""``trimtab.anthropic.autolog()``: every message of the official ``anthropic`` client becomes an ``llm`` span.

Plain, streaming (``stream=True`` and ``messages.stream``), sync and async; asked and answering model, tokens (the cache
as a part of the input), messages, tools, answer and error. The client's own behaviour stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import ConfigError
from trimtab.sdk import LiveSpan, Place, Reader, as_json, dumped, patch, plain_messages


def autolog(disable: bool = False) -> None:
    """Start recording (again is harmless), or with ``disable`` put the client back as it was.

    Raises ConfigError when the ``anthropic`` package is not installed.
    """
    try:
        from anthropic.resources.beta.messages import AsyncMessages as AsyncBeta
        from anthropic.resources.beta.messages import Messages as Beta
        from anthropic.resources.messages import AsyncMessages, Messages
    except ImportError:
        raise ConfigError("the anthropic package is not installed", mend="Run: pip install anthropic") from None
    places = []
    for owner in (Messages, AsyncMessages, Beta, AsyncBeta):
        places += [Place(owner, "create", Claude), Place(owner, "parse", Claude), Place(owner, "stream", Claude, True)]
    patch(places, disable=disable)


class Claude(Reader):
    """``messages``."""

    provider = "anthropic"

    def __init__(self, span: LiveSpan) -> None:
        super().__init__(span)
        self._blocks: dict[int, dict[str, Any]] = {}
        self._counts: dict[str, int] = {}

    def ask(self, kwargs: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The system's part and the messages, and the tools that are offered."""
        tools, system = kwargs.get("tools"), kwargs.get("system")
        self.note(gen_ai__tool__definitions=as_json(list(tools)) if isinstance(tools, Sequence) else None)
        told = _parts(system) if isinstance(system, str | Sequence) and system else []
        return ([{"role": "system", "parts": told}] if told else []) + [
            {"role": str(message.get("role") or "user"), "parts": _parts(message.get("content"))}
            for message in plain_messages(kwargs.get("messages"))
        ]

    def whole(self, body: Any) -> None:
        """Read a plain answer."""
        self._facts(body)
        self._usage(getattr(body, "usage", None))
        parts = _parts([dumped(block) for block in getattr(body, "content", None) or []])
        if parts:
            self.note(gen_ai__output__messages=as_json([{"role": "assistant", "parts": parts}]))

    def piece(self, chunk: Any) -> None:
        """Read one event of a stream."""
        kind = getattr(chunk, "type", "")
        if kind == "message_start":
            self._facts(chunk.message)
            self._usage(getattr(chunk.message, "usage", None))
        elif kind == "content_block_start":
            self._blocks[int(chunk.index)] = {**dumped(chunk.content_block), "pieces": []}
        elif kind == "content_block_delta":
            self._more(int(chunk.index), chunk.delta)
        elif kind == "message_delta":
            self._facts(chunk.delta)
            self._usage(getattr(chunk, "usage", None))

    def close(self) -> None:
        """Put a streamed answer together."""
        blocks = []
        for _, block in sorted(self._blocks.items()):
            said = "".join(block.pop("pieces"))
            name = {"text": "text", "thinking": "thinking", "tool_use": "input"}.get(block.get("type", ""))
            blocks.append({**block, name: said or block.get(name)} if name else block)
        parts = _parts(blocks)
        if parts:
            self.note(gen_ai__output__messages=as_json([{"role": "assistant", "parts": parts}]))

    def _more(self, index: int, delta: Any) -> None:
        block = self._blocks.setdefault(index, {"type": "text", "pieces": []})
        for name in ("text", "partial_json", "thinking"):
            text = getattr(delta, name, None)
            if isinstance(text, str) and text:
                self.first()
                block["pieces"].append(text)

    def _facts(self, body: Any) -> None:
        reason = getattr(body, "stop_reason", None)
        self.note(
            gen_ai__response__model=getattr(body, "model", None),
            gen_ai__response__id=getattr(body, "id", None),
            gen_ai__response__finish_reasons=[str(reason)] if reason else None,
        )

    def _usage(self, usage: Any) -> None:
        """Anthropic counts its cache beside the input; the last count of each is the whole."""
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            count = getattr(usage, name, None)
            if isinstance(count, int):
                self._counts[name] = count
        known = self._counts
        if "input_tokens" in known:
            beside = known.get("cache_read_input_tokens", 0) + known.get("cache_creation_input_tokens", 0)
            self.note(gen_ai__usage__input_tokens=known["input_tokens"] + beside)
        self.note(
            gen_ai__usage__output_tokens=known.get("output_tokens"),
            gen_ai__usage__cache_read__input_tokens=known.get("cache_read_input_tokens"),
            gen_ai__usage__cache_creation__input_tokens=known.get("cache_creation_input_tokens"),
        )


def _parts(content: Any) -> list[Any]:
    """Content blocks as OpenTelemetry's parts."""
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    return [_part(block if isinstance(block, Mapping) else dumped(block)) for block in content or ()]


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    match block.get("type"):
        case "text":
            return {"type": "text", "content": block.get("text")}
        case "thinking":
            return {"type": "reasoning", "content": block.get("thinking")}
        case "tool_use":
            call = {"id": block.get("id"), "name": block.get("name"), "arguments": block.get("input")}
            return {"type": "tool_call", **call}
        case "tool_result":
            return {"type": "tool_call_response", "id": block.get("tool_use_id"), "response": block.get("content")}
        case _:
            return dict(block)
