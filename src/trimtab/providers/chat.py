"""OpenAI's chat completions, filled in for answers that came in another dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import Call, Chunk, Usage, now_ns

from .vendor import mapping


def wants_usage(call: Call) -> bool:
    """Whether the client itself asked for the usage chunk at the end of a stream."""
    return mapping(call.params.get("stream_options")).get("include_usage") is True


def shown_usage(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's shape."""
    shown: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
    if usage.written_tokens:
        shown["prompt_tokens_details"]["cache_write_tokens"] = usage.written_tokens
    if usage.reasoning_tokens:
        shown["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return shown


def whole_body(head: Mapping[str, Any], choices: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
    """A ``chat.completion``; ``head`` has id and model."""
    created = now_ns() // 1_000_000_000
    return {
        **head,
        "object": "chat.completion",
        "created": created,
        "choices": choices,
        "usage": shown_usage(usage),
    }


class Pieces:
    """The ``chat.completion.chunk`` bodies of one stream; ``id`` and ``model`` may be set when they are known."""

    def __init__(self, show_usage: bool) -> None:
        self.id = self.model = ""
        self._show_usage = show_usage
        self._created = now_ns() // 1_000_000_000

    def piece(self, delta: Mapping[str, Any], *, finish: str | None = None, index: int = 0, **choice: Any) -> Chunk:
        """A piece of one choice; ``choice`` are further fields of it."""
        said = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None, **choice}
        first = not index
        return Chunk(
            text=delta.get("content") or "" if first else "",
            finish=finish if first else None,
            model=self.model,
            tool_calls=tuple(delta.get("tool_calls") or ()) if first else (),
            body=self._body([said]),
        )

    def usage(self, usage: Usage) -> Chunk:
        """The piece that tells the usage, shown to the client only if it asked for it."""
        shown = {**self._body([]), "usage": shown_usage(usage)} if self._show_usage else None
        return Chunk(usage=usage, model=self.model, body=shown)

    def _body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
            "choices": choices,
        }
