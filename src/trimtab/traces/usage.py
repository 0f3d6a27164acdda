"""Token counts as vendors and libraries write them down, read so that every token is counted once.

The rule here is OpenTelemetry's: cached tokens are a part of the input, reasoning tokens a part of the output. Some
vendors count them beside the totals; which one it is follows from the payload's own names and sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

_MOST = 1 << 53


class Tokens(NamedTuple):
    """What a call used; None where nobody said. ``cached`` is a part of ``input``, ``reasoning`` of ``output``.
    ``written`` is the part of ``input`` that was put into the vendor's cache, ``hour`` what of that stays an hour."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    written: int | None = None
    hour: int | None = None


def tokens_of(usage: Mapping[str, Any]) -> Tokens:
    """The tokens of one usage payload: OpenAI (chat and responses), Anthropic, Gemini, Bedrock, Cohere, Ollama, and
    what LangChain, MLflow, Langfuse and the Vercel AI SDK make of them. All None where nothing in it is known."""
    for read in (_gemini, _bedrock, _cohere, _ollama, _langfuse, _anthropic):
        found = read(usage)
        if found is not None:
            return found
    return _openai(usage)


def _openai(usage: Mapping[str, Any]) -> Tokens:
    read = _count(usage, "prompt_tokens", "input_tokens", "inputTokens", "promptTokens")
    written = _count(usage, "completion_tokens", "output_tokens", "outputTokens", "completionTokens")
    cached = _first(
        _count(_part(usage, "prompt_tokens_details", "input_tokens_details"), "cached_tokens"),
        _count(_part(usage, "input_token_details", "inputTokenDetails"), "cache_read", "cacheReadTokens"),
        _count(usage, "prompt_cache_hit_tokens", "cachedInputTokens", "cached_tokens", "cache_read_input_tokens"),
    )
    put, hour = _put(usage)
    reasoning = _first(
        _count(_part(usage, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens"),
        _count(_part(usage, "output_token_details", "outputTokenDetails"), "reasoning", "reasoningTokens"),
        _count(usage, "reasoning_tokens", "reasoningTokens"),
    )
    total = _count(usage, "total_tokens", "totalTokens")
    # Some OpenAI-compatible vendors leave the reasoning out of the completion; their total then holds all three.
    if reasoning and written is not None and total == (read or 0) + written + reasoning:
        written += reasoning
    return Tokens(read, written, cached, reasoning, put, hour)


def _put(usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """What was put into the cache, and what of it for an hour."""
    by_openai = _part(usage, "prompt_tokens_details", "input_tokens_details")
    by_library = _part(usage, "input_token_details", "inputTokenDetails")
    whole = _first(
        _count(by_openai, "cache_write_tokens"),
        _count(by_library, "cache_creation", "cacheWriteTokens"),
        _count(usage, "cache_creation_input_tokens"),
    )
    minutes, hour = (_count(by_library, f"ephemeral_{each}_input_tokens") for each in ("5m", "1h"))
    if minutes is not None or hour is not None:  # LangChain then says 0 for the whole
        whole = max(whole or 0, (minutes or 0) + (hour or 0))
    return whole, hour


def _anthropic(usage: Mapping[str, Any]) -> Tokens | None:
    """Anthropic counts what was read from the cache and written to it beside the input."""
    if not usage.keys() & {"cache_read_input_tokens", "cache_creation_input_tokens"} or "prompt_tokens" in usage:
        return None  # LiteLLM adds these names to OpenAI's, where they are parts
    read, written = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    cached, kept = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    beside = (cached or 0) + (kept or 0)
    total = _count(usage, "total_tokens")
    # Libraries that add a total have put the cache into the input already, unless their total says otherwise.
    if total is None or total == (read or 0) + (written or 0) + beside or (read or 0) < beside:
        read = (read or 0) + beside
    thought = _count(_part(usage, "output_tokens_details"), "thinking_tokens")
    hour = _count(_part(usage, "cache_creation"), "ephemeral_1h_input_tokens")
    return Tokens(read, written, cached, thought, kept, hour)


def _gemini(usage: Mapping[str, Any]) -> Tokens | None:
    """Gemini counts thoughts and the results of its own tools beside the rest, the cache within the prompt."""
    if not usage.keys() & {"promptTokenCount", "prompt_token_count"}:
        return None
    read = _count(usage, "promptTokenCount", "prompt_token_count")
    tools = _count(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    written = _count(usage, "candidatesTokenCount", "candidates_token_count")
    thoughts = _count(usage, "thoughtsTokenCount", "thoughts_token_count")
    cached = _count(usage, "cachedContentTokenCount", "cached_content_token_count")
    out = None if written is None and thoughts is None else (written or 0) + (thoughts or 0)
    return Tokens((read or 0) + (tools or 0), out, cached, thoughts)


def _bedrock(usage: Mapping[str, Any]) -> Tokens | None:
    """Bedrock's Converse counts the cache beside the input."""
    if not usage.keys() & {"cacheReadInputTokens", "cacheWriteInputTokens"}:
        return None
    cached = _count(usage, "cacheReadInputTokens")
    put = _count(usage, "cacheWriteInputTokens")
    read = (_count(usage, "inputTokens") or 0) + (cached or 0) + (put or 0)
    return Tokens(read, _count(usage, "outputTokens"), cached, written=put)


def _cohere(usage: Mapping[str, Any]) -> Tokens | None:
    counted = _part(usage, "tokens", "billed_units")
    if not counted:
        return None
    return Tokens(_count(counted, "input_tokens"), _count(counted, "output_tokens"))


def _ollama(usage: Mapping[str, Any]) -> Tokens | None:
    if not usage.keys() & {"prompt_eval_count", "eval_count"}:
        return None
    return Tokens(_count(usage, "prompt_eval_count"), _count(usage, "eval_count"))


def _langfuse(usage: Mapping[str, Any]) -> Tokens | None:
    """Langfuse's own names: any number of buckets, each token in one of them, ``total`` their sum."""
    if not usage.keys() & {"input", "output"}:
        return None
    counts = {str(name): _count(usage, name) or 0 for name in usage if name != "total"}
    cached = sum(n for name, n in counts.items() if "cache_read" in name or name == "input_cached_tokens")
    reasoning = sum(n for name, n in counts.items() if "reasoning" in name)
    put = {name: n for name, n in counts.items() if "cache_creation" in name or "cache_write" in name}
    hour = sum(n for name, n in put.items() if "1h" in name)
    read, written = counts.get("input", 0), counts.get("output", 0)
    total = _count(usage, "total")
    # A total that is input and output alone says that the other buckets are parts of those.
    if total is None or total != read + written:
        more_read = sum(n for name, n in counts.items() if name != "input" and name.startswith(("input", "cache")))
        read += more_read
        written += sum(counts.values()) - counts.get("input", 0) - counts.get("output", 0) - more_read
    return Tokens(read, written, cached or None, reasoning or None, sum(put.values()) or None, hour or None)


def _count(usage: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                continue
        whole = isinstance(value, int | float) and not isinstance(value, bool)
        if whole and math.isfinite(value) and 0 <= value < _MOST:  # type: ignore[arg-type, operator]
            return int(value)  # type: ignore[arg-type]
    return None


def _part(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        part = usage.get(name)
        if isinstance(part, Mapping):
            return part
    return {}


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)
