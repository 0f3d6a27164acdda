"""``autolog`` with the official Anthropic client against a server that speaks its API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.resources.messages import AsyncMessages, Messages

import trimtab

USAGE = {"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 500}
HEAD = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5-20260901"}
ASK: dict[str, Any] = {
    "model": "claude-sonnet-5-5", "max_tokens": 100, "system": "Be kind.",
    "messages": [{"role": "user", "content": "Hi?"}],
    "tools": [{"name": "find", "description": "Find.", "input_schema": {"type": "object"}}],
}  # fmt: skip
TEXT = {"type": "text", "text": "Hello."}
TOOL = {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "x"}}
ORIGINALS = (Messages.create, Messages.stream, AsyncMessages.create, AsyncMessages.stream)


def _plain(*blocks: dict[str, Any]) -> bytes:
    end = {"stop_reason": "end_turn", "stop_sequence": None, "usage": USAGE}
    return json.dumps({**HEAD, "content": blocks, **end}).encode()


def _stream() -> bytes:
    start = {**HEAD, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**USAGE, "output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {**TOOL, "input": {}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"q": '}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '"x"}'}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
         "usage": {"output_tokens": 50}},
        {"type": "message_stop"},
    ]  # fmt: skip
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


@pytest.fixture(autouse=True)
def _patched(collected: Any) -> Iterator[None]:
    trimtab.anthropic.autolog()
    yield
    trimtab.anthropic.autolog(disable=True)


@pytest.fixture
def vendor(backend: Any) -> Any:
    def answer(_method: str, _path: str, _headers: Any, body: Any) -> tuple[int, dict[str, str], bytes]:
        if body.get("stream"):
            return 200, {"content-type": "text/event-stream"}, _stream()
        return 200, {}, _plain(TEXT, TOOL)

    backend.answer = answer
    return backend


@pytest.fixture
def client(vendor: Any) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=vendor.url, api_key="sk-secret", max_retries=0) as opened:
        yield opened


def _check(span: Any, *, streamed: bool) -> None:
    attributes = span.attributes
    assert (span.kind, span.status, span.name) == ("llm", "ok", "chat claude-sonnet-5-5")
    assert attributes["gen_ai.provider.name"] == "anthropic"
    assert attributes["gen_ai.response.model"] == "claude-sonnet-5-5-20260901"
    assert json.loads(attributes["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Hi?"}]},
    ]
    (said,) = json.loads(attributes["gen_ai.output.messages"])
    assert said["parts"][0] == {"type": "text", "content": "Hello."}
    call = said["parts"][1]
    assert (call["type"], call["id"], call["name"]) == ("tool_call", "t1", "find")
    arguments = call["arguments"]
    assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == {"q": "x"}
    # Anthropic counts its cache beside the input; here it is a part of it.
    assert attributes["gen_ai.usage.input_tokens"] == 1000
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 400
    assert attributes["gen_ai.usage.output_tokens"] == 50
    assert attributes["gen_ai.request.max_tokens"] == 100
    assert "find" in attributes["gen_ai.tool.definitions"]
    assert ("gen_ai.response.time_to_first_chunk" in attributes) is streamed
    assert "sk-secret" not in json.dumps(attributes)


def test_plain_and_raw(client: anthropic.Anthropic, collected: Any) -> None:
    with trimtab.start_span("turn") as turn:
        assert client.messages.create(**ASK).content[0].text == "Hello."
    assert collected.items[0].parent_id == turn.span_id
    _check(collected.items[0], streamed=False)
    raw = client.messages.with_raw_response.create(**ASK)
    assert raw.parse().content[0].text == "Hello."
    _check(collected.items[-1], streamed=False)


def test_streaming(client: anthropic.Anthropic, collected: Any) -> None:
    events = list(client.messages.create(**ASK, stream=True))
    assert events[0].type == "message_start"
    _check(collected.items[0], streamed=True)


def test_the_streaming_helper(client: anthropic.Anthropic, collected: Any) -> None:
    with client.messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == "Hello."
        assert stream.get_final_message().stop_reason == "tool_use"
    assert len(collected.items) == 1
    _check(collected.items[0], streamed=True)


async def test_async(vendor: Any, collected: Any) -> None:
    async with anthropic.AsyncAnthropic(base_url=vendor.url, api_key="k", max_retries=0) as client:
        assert (await client.messages.create(**ASK)).content[0].text == "Hello."
        _check(collected.items[0], streamed=False)
        stream = await client.messages.create(**ASK, stream=True)
        assert [event.type async for event in stream][-1] == "message_stop"
        _check(collected.items[1], streamed=True)
        async with client.messages.stream(**ASK) as helper:
            assert "".join([text async for text in helper.text_stream]) == "Hello."
        _check(collected.items[2], streamed=True)
        raw = await client.messages.with_raw_response.create(**ASK)
        assert raw.headers["content-type"] == "application/json"
        _check(collected.items[3], streamed=False)
    assert len(collected.items) == 4


@pytest.mark.parametrize("helper", [False, True])
def test_a_stream_left_early_is_recorded_once(client: anthropic.Anthropic, collected: Any, helper: bool) -> None:
    if helper:
        with client.messages.stream(**ASK) as stream:
            next(iter(stream.text_stream))
    else:
        plain = client.messages.create(**ASK, stream=True)
        [next(plain) for _ in range(3)]
        plain.close()
    assert len(collected.items) == 1
    assert "Hel" in collected.items[0].attributes["gen_ai.output.messages"]


def test_tool_results_and_errors(client: anthropic.Anthropic, vendor: Any, collected: Any) -> None:
    messages = [
        {"role": "user", "content": "Hi?"},
        {"role": "assistant", "content": [TOOL]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "it"}]},
    ]
    vendor.answer = lambda *_: (429, {}, b'{"error": {"type": "rate_limit_error", "message": "slow down"}}')
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**{**ASK, "messages": messages})
    with pytest.raises(anthropic.RateLimitError), client.messages.stream(**ASK):
        raise AssertionError("it must not open")
    first, second = collected.items
    assert (first.status, first.attributes["error.type"], second.status) == ("error", "RateLimitError", "error")
    asked = json.loads(first.attributes["gen_ai.input.messages"])
    assert asked[2]["parts"] == [{"type": "tool_call", "id": "t1", "name": "find", "arguments": {"q": "x"}}]
    assert asked[3]["parts"] == [{"type": "tool_call_response", "id": "t1", "response": "it"}]


def test_the_answer_is_the_clients_own(client: anthropic.Anthropic, vendor: Any, collected: Any) -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    vendor.answer = lambda *_: (200, {}, _plain(thinking, TEXT))
    answer = client.messages.create(**ASK)
    assert isinstance(answer, anthropic.types.Message)
    (said,) = json.loads(collected.items[0].attributes["gen_ai.output.messages"])
    assert said["parts"] == [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Hello."}]


def test_disabling_restores(client: anthropic.Anthropic, collected: Any) -> None:
    trimtab.anthropic.autolog()
    trimtab.anthropic.autolog(disable=True)
    assert (Messages.create, Messages.stream, AsyncMessages.create, AsyncMessages.stream) == ORIGINALS
    client.messages.create(**ASK)
    assert collected.items == []
