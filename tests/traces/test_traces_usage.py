"""The golden table: what vendors and libraries send as usage, and the tokens it stands for, each counted once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.traces.usage import Tokens, tokens_of

OPENAI_CHAT = {
    "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 128, "accepted_prediction_tokens": 0},
}  # fmt: skip

GOLDEN: dict[str, tuple[dict[str, Any], Tokens]] = {
    "openai chat": (OPENAI_CHAT, Tokens(2006, 300, 1920, 128)),
    "openai responses": (
        {"input_tokens": 2006, "input_tokens_details": {"cached_tokens": 1920}, "output_tokens": 300,
         "output_tokens_details": {"reasoning_tokens": 128}, "total_tokens": 2306},
        Tokens(2006, 300, 1920, 128),
    ),
    "anthropic, the cache beside the input": (
        {"input_tokens": 21, "cache_creation_input_tokens": 500, "cache_read_input_tokens": 1886, "output_tokens": 393},
        Tokens(2407, 393, 1886, None, 500),
    ),
    "anthropic without a cache": ({"input_tokens": 21, "output_tokens": 393}, Tokens(21, 393, None, None)),
    "anthropic as a library with totals sends it": (
        {"input_tokens": 1000, "output_tokens": 50, "total_tokens": 1050, "cache_read_input_tokens": 400,
         "cache_creation_input_tokens": 500},
        Tokens(1000, 50, 400, None, 500),
    ),
    "anthropic, some of it for an hour": (
        {"input_tokens": 21, "cache_creation_input_tokens": 500, "output_tokens": 393,
         "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 400}},
        Tokens(521, 393, None, None, 500, 400),
    ),
    "openai, put into the cache": (
        {"prompt_tokens": 2006, "completion_tokens": 300,
         "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 1900}},
        Tokens(2006, 300, 0, None, 1900),
    ),
    "litellm, anthropic's names beside openai's": (
        {"prompt_tokens": 2407, "completion_tokens": 393, "total_tokens": 2800,
         "cache_creation_input_tokens": 500, "cache_read_input_tokens": 1886},
        Tokens(2407, 393, 1886, None, 500),
    ),
    "gemini, thoughts and tools beside": (
        {"promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 70, "toolUsePromptTokenCount": 5,
         "cachedContentTokenCount": 40, "totalTokenCount": 195},
        Tokens(105, 90, 40, 70),
    ),
    "gemini's sdk": (
        {"prompt_token_count": 100, "candidates_token_count": 20, "total_token_count": 120},
        Tokens(100, 20, None, None),
    ),
    "bedrock converse": (
        {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20,
         "totalTokens": 135},
        Tokens(130, 5, 100, None, 20),
    ),
    "bedrock converse without a cache": (
        {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}, Tokens(10, 5, None, None)
    ),
    "deepseek": (
        {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
         "total_tokens": 120, "completion_tokens_details": {"reasoning_tokens": 15}},
        Tokens(100, 20, 64, 15),
    ),
    "xai, reasoning beside the completion": (
        {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
         "prompt_tokens_details": {"cached_tokens": 6}, "completion_tokens_details": {"reasoning_tokens": 94}},
        Tokens(32, 103, 6, 94),
    ),
    "mistral": ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, Tokens(9, 3, None, None)),
    "cohere": (
        {"billed_units": {"input_tokens": 5, "output_tokens": 2}, "tokens": {"input_tokens": 71, "output_tokens": 418}},
        Tokens(71, 418, None, None),
    ),
    "ollama": ({"prompt_eval_count": 26, "eval_count": 298}, Tokens(26, 298, None, None)),
    "langchain's usage_metadata": (
        {"input_tokens": 350, "output_tokens": 240, "total_tokens": 590, "input_token_details": {"cache_read": 100},
         "output_token_details": {"reasoning": 200}},
        Tokens(350, 240, 100, 200),
    ),
    "langchain, put into the cache": (
        {"input_tokens": 350, "output_tokens": 240, "total_tokens": 590, "input_token_details": {"cache_creation": 90}},
        Tokens(350, 240, None, None, 90),
    ),
    "langchain, put into the cache for a while": (
        {"input_tokens": 350, "output_tokens": 240, "total_tokens": 590,
         "input_token_details": {"cache_creation": 0, "ephemeral_5m_input_tokens": 30,
                                 "ephemeral_1h_input_tokens": 60}},
        Tokens(350, 240, None, None, 90, 60),
    ),
    "langfuse's buckets": (
        {"input": 100, "output": 50, "cache_read_input_tokens": 400, "output_reasoning_tokens": 30},
        Tokens(500, 80, 400, 30),
    ),
    "langfuse's buckets, put into the cache": (
        {"input": 100, "output": 50, "input_cache_creation_5m": 40, "input_cache_creation_1h": 60},
        Tokens(200, 50, None, None, 100, 60),
    ),
    "langfuse with a total of input and output": (
        {"input": 500, "output": 80, "total": 580, "input_cached_tokens": 400, "output_reasoning_tokens": 30},
        Tokens(500, 80, 400, 30),
    ),
    "vercel ai sdk": (
        {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100, "reasoningTokens": 50,
         "cachedInputTokens": 400},
        Tokens(1000, 100, 400, 50),
    ),
    "vercel ai sdk, put into the cache": (
        {"inputTokens": 1000, "outputTokens": 100, "inputTokenDetails": {"cacheReadTokens": 1, "cacheWriteTokens": 9}},
        Tokens(1000, 100, 1, None, 9),
    ),
    "numbers as text": ({"prompt_tokens": "10", "completion_tokens": "2"}, Tokens(10, 2, None, None)),
    "nothing known": ({"seconds": 3}, Tokens(None, None, None, None)),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_each_token_is_counted_once(name: str) -> None:
    usage, tokens = GOLDEN[name]
    assert tokens_of(usage) == tokens
    if tokens.input is not None:
        assert (tokens.cached or 0) + (tokens.written or 0) <= tokens.input
    assert (tokens.hour or 0) <= (tokens.written or 0)


names = st.sampled_from(sorted({key for usage, _ in GOLDEN.values() for key in usage}))
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dictionaries(st.text(), st.floats())


@given(st.dictionaries(names, values))
def test_nonsense_is_never_an_error(usage: dict[str, Any]) -> None:
    assert all(count is None or (isinstance(count, int) and count >= 0) for count in tokens_of(usage))
