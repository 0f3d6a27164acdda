"""What vendors say was used, each in its own way: every token counted once, at the price that it has."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core import Usage
from trimtab.gateway.surfaces.messages_write import usage_of as shown_to_anthropic
from trimtab.providers import anthropic_reply, chat, openai, responses
from trimtab.traces import price


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        # xAI leaves the reasoning out of the completion.
        (
            {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 415,
             "completion_tokens_details": {"reasoning_tokens": 374}},
            Usage(input_tokens=32, output_tokens=383, reasoning_tokens=374),
        ),
        (
            {"prompt_tokens": 32, "completion_tokens": 383, "total_tokens": 415,
             "completion_tokens_details": {"reasoning_tokens": 374}},
            Usage(input_tokens=32, output_tokens=383, reasoning_tokens=374),
        ),
        # DeepSeek names what came from its cache beside the total.
        (
            {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 64},
            Usage(input_tokens=100, output_tokens=5, cached_tokens=64),
        ),
        (
            {"prompt_tokens": 100, "completion_tokens": 5,
             "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 80}},
            Usage(input_tokens=100, output_tokens=5, cached_tokens=10, written_tokens=80),
        ),
    ],
)  # fmt: skip
def test_openai_and_those_that_follow_it(told: dict[str, Any], usage: Usage) -> None:
    assert openai.usage_of(told) == usage


def test_what_anthropic_puts_into_its_cache_is_charged_as_such() -> None:
    told = {
        "input_tokens": 1000, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 4000, "output_tokens": 10,
        "cache_creation": {"ephemeral_5m_input_tokens": 3000, "ephemeral_1h_input_tokens": 1000},
    }  # fmt: skip
    usage = anthropic_reply.usage_of(told)
    assert (usage.input_tokens, usage.cached_tokens, usage.written_tokens, usage.hour_tokens) == (
        7000,
        2000,
        4000,
        1000,
    )
    # Haiku 4.5: 1.00 for input, 0.10 read, 1.25 written, 2.00 written for an hour, 5.00 for output.
    dollars = (1000 * 1.0 + 2000 * 0.1 + 3000 * 1.25 + 1000 * 2.0 + 10 * 5.0) / 1e6
    assert price("anthropic/claude-haiku-4-5", usage) == pytest.approx(dollars)


def test_it_is_told_on_to_clients_of_either_vendor() -> None:
    usage = Usage(input_tokens=7000, cached_tokens=2000, written_tokens=4000, output_tokens=10)
    shown = shown_to_anthropic(usage)
    assert (shown["input_tokens"], shown["cache_creation_input_tokens"]) == (1000, 4000)
    assert anthropic_reply.usage_of(shown) == usage
    assert openai.usage_of(chat.shown_usage(usage)) == usage


def test_an_answer_of_the_flexible_tier_costs_what_a_batch_does() -> None:
    body = {"usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}, "model": "gpt-4o-mini"}
    plain, flex = openai.whole(body).usage, openai.whole({**body, "service_tier": "flex"}).usage
    assert plain is not None
    assert flex is not None
    assert (price("openai/gpt-4o-mini", plain), price("openai/gpt-4o-mini", flex)) == (0.15, 0.075)
    used = {"usage": {"input_tokens": 5, "output_tokens": 1}, "service_tier": "flex"}
    told = responses.responses_reply(used, "openai", "").usage
    assert told == Usage(input_tokens=5, output_tokens=1, batch=True)


def test_a_vendor_that_counts_its_cache_beside_the_prompt_makes_no_negative_tokens() -> None:
    odd = Usage(input_tokens=100, cached_tokens=90, written_tokens=80)
    assert shown_to_anthropic(odd)["input_tokens"] == 0
