"""``autolog`` with the official client against a server that speaks OpenAI's API."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.resources.chat.completions import AsyncCompletions, Completions

import trimtab
from trimtab.sdk import Prompt, configure

USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 300},
    "completion_tokens_details": {"reasoning_tokens": 50},
}
ORIGINALS = (Completions.create, AsyncCompletions.create)
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-2024-08-06", "system_fingerprint": "fp_1"}
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi?"}]}


def _plain(message: dict[str, Any], finish: str = "stop") -> bytes:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": None, **message}}
    return json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()


def _stream(*deltas: dict[str, Any], usage: bool = True) -> bytes:
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        chunks.append({"choices": [], "usage": USAGE})
    lines = [json.dumps({**HEAD, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


WORDS = [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo."}]


@pytest.fixture(autouse=True)
def _patched(collected: Any) -> Iterator[None]:
    trimtab.openai.autolog()
    yield
    trimtab.openai.autolog(disable=True)


@pytest.fixture
def vendor(backend: Any) -> Any:
    def answer(_method: str, _path: str, _headers: Any, body: Any) -> tuple[int, dict[str, str], bytes]:
        if body.get("stream"):
            return 200, {"content-type": "text/event-stream"}, _stream(*WORDS)
        return 200, {}, _plain({"content": "Hello."})

    backend.answer = answer
    return backend


@pytest.fixture
def client(vendor: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=vendor.url + "/v1", api_key="sk-secret", max_retries=0) as opened:
        yield opened


def _check(span: Any, *, ttft: bool) -> None:
    attributes = span.attributes
    assert (span.kind, span.status, span.name) == ("llm", "ok", "chat gpt-4o")
    assert attributes["gen_ai.provider.name"] == "openai"
    assert attributes["gen_ai.request.model"] == "gpt-4o"
    assert attributes["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert attributes["openai.response.system_fingerprint"] == "fp_1"
    assert json.loads(attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Hi?"}]}
    ]
    assert json.loads(attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hello."}]}
    ]
    assert attributes["gen_ai.usage.input_tokens"] == 1000
    assert attributes["gen_ai.usage.output_tokens"] == 100
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 400
    assert attributes["gen_ai.usage.cache_creation.input_tokens"] == 300
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 50
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert ("gen_ai.response.time_to_first_chunk" in attributes) is ttft
    assert "sk-secret" not in json.dumps(attributes)


def test_plain(client: openai.OpenAI, collected: Any) -> None:
    with trimtab.start_span("turn") as turn:
        answer = client.chat.completions.create(**ASK)  # type: ignore[call-overload]
    assert answer.choices[0].message.content == "Hello."
    span = collected.items[0]
    assert span.parent_id == turn.span_id
    _check(span, ttft=False)


def test_streaming(client: openai.OpenAI, collected: Any) -> None:
    stream = client.chat.completions.create(**ASK, stream=True)  # type: ignore[call-overload]
    assert isinstance(stream, openai.Stream)
    assert collected.items == []
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hello."
    assert len(collected.items) == 1
    _check(collected.items[0], ttft=True)


async def test_async(vendor: Any, collected: Any) -> None:
    async with openai.AsyncOpenAI(base_url=vendor.url + "/v1", api_key="k", max_retries=0) as client:
        answer = await client.chat.completions.create(**ASK)  # type: ignore[call-overload]
        assert answer.choices[0].message.content == "Hello."
        _check(collected.items[0], ttft=False)
        stream = await client.chat.completions.create(**ASK, stream=True)  # type: ignore[call-overload]
        assert isinstance(stream, openai.AsyncStream)
        words = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(words) == "Hello."
        _check(collected.items[1], ttft=True)


def test_the_streaming_helper(client: openai.OpenAI, collected: Any) -> None:
    with client.chat.completions.stream(**ASK) as stream:  # type: ignore[call-overload]
        assert stream.get_final_completion().choices[0].message.content == "Hello."
    assert len(collected.items) == 1
    _check(collected.items[0], ttft=True)


@pytest.mark.parametrize("how", ["close", "with", "forget"])
def test_a_stream_left_early_is_recorded_once_with_what_came(client: openai.OpenAI, collected: Any, how: str) -> None:
    stream = client.chat.completions.create(**ASK, stream=True)  # type: ignore[call-overload]
    if how == "with":
        with stream:
            next(stream), next(stream)
    else:
        next(stream), next(stream)
        stream.close()
    if how == "forget":
        del stream
    assert len(collected.items) == 1
    output = json.loads(collected.items[0].attributes["gen_ai.output.messages"])
    assert output[0]["parts"] == [{"type": "text", "content": "Hel"}]


async def test_an_async_stream_left_early(vendor: Any, collected: Any) -> None:
    async with openai.AsyncOpenAI(base_url=vendor.url + "/v1", api_key="k", max_retries=0) as client:
        stream = await client.chat.completions.create(**ASK, stream=True)  # type: ignore[call-overload]
        async with stream:
            await anext(stream)
        assert len(collected.items) == 1


def test_tool_calls_in_pieces(client: openai.OpenAI, vendor: Any, collected: Any) -> None:
    def piece(**call: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, **call}]}

    deltas = [
        piece(id="c1", type="function", function={"name": "find", "arguments": ""}),
        piece(function={"arguments": '{"q": '}),
        piece(function={"arguments": '"x"}'}),
    ]
    vendor.answer = lambda *_: (200, {"content-type": "text/event-stream"}, _stream(*deltas, usage=False))
    list(client.chat.completions.create(**ASK, stream=True))  # type: ignore[call-overload]
    vendor.answer = lambda *_: (
        200,
        {},
        _plain(
            {"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}]}
        ),
    )
    client.chat.completions.create(**ASK)  # type: ignore[call-overload]
    streamed, plain = collected.items
    parts = [{"type": "tool_call", "id": "c1", "name": "find", "arguments": '{"q": "x"}'}]
    for span in (streamed, plain):
        assert json.loads(span.attributes["gen_ai.output.messages"]) == [{"role": "assistant", "parts": parts}]
    assert "gen_ai.usage.input_tokens" not in streamed.attributes


def test_errors_are_recorded_and_raised_on(client: openai.OpenAI, vendor: Any, collected: Any) -> None:
    vendor.answer = lambda *_: (429, {}, b'{"error": {"message": "slow down"}}')
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ASK)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        client.chat.completions.create(model="gpt-4o")  # type: ignore[call-overload]
    first, second = collected.items
    assert (first.status, first.attributes["error.type"]) == ("error", "RateLimitError")
    assert "slow down" in first.error
    assert second.attributes["error.type"] == "TypeError"


def test_a_stream_that_breaks(client: openai.OpenAI, vendor: Any, collected: Any) -> None:
    body = _stream(*WORDS).replace(b"[DONE]", b'{"error": {"message": "overloaded"}}')
    vendor.answer = lambda *_: (200, {"content-type": "text/event-stream"}, body)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**ASK, stream=True))  # type: ignore[call-overload]
    assert [span.status for span in collected.items] == ["error"]
    assert "Hello." in collected.items[0].attributes["gen_ai.output.messages"]


def test_the_raw_response_stays_raw(client: openai.OpenAI, collected: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(**ASK)  # type: ignore[call-overload]
    assert raw.headers["content-type"] == "application/json"
    assert raw.parse().choices[0].message.content == "Hello."
    _check(collected.items[0], ttft=False)
    with client.chat.completions.with_streaming_response.create(**ASK) as response:  # type: ignore[call-overload]
        assert json.loads(response.read())["id"] == "chatcmpl-1"
    assert collected.items[1].status == "ok"


def test_only_a_gateway_of_ours_gets_the_trace_header(client: openai.OpenAI, vendor: Any, collected: Any) -> None:
    client.chat.completions.create(**ASK)  # type: ignore[call-overload]
    assert "traceparent" not in vendor.requests[-1][2]
    configure(url=vendor.url)
    client.chat.completions.create(**ASK, extra_headers={"x-mine": "1"})  # type: ignore[call-overload]
    span, headers = collected.items[-1], vendor.requests[-1][2]
    assert headers["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"
    assert headers["x-mine"] == "1"
    assert span.attributes["gen_ai.provider.name"] == "trimtab"
    own = {"Traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    client.chat.completions.create(**ASK, extra_headers=own)  # type: ignore[call-overload]
    assert vendor.requests[-1][2]["traceparent"] == own["Traceparent"]


def test_the_prompt_is_named(client: openai.OpenAI, collected: Any) -> None:
    def app() -> None:
        prompt = Prompt(name="support", version=7, messages=({"role": "system", "content": "Answer {{q}}"},))
        messages = [{"role": "system", "content": prompt.format(q="it")}, {"role": "user", "content": "Hi?"}]
        client.chat.completions.create(model="gpt-4o", messages=messages)  # type: ignore[call-overload]

    contextvars.copy_context().run(app)
    attributes = collected.items[0].attributes
    assert (attributes["gen_ai.prompt.name"], attributes["gen_ai.prompt.version"]) == ("support", "7")


def test_patching_twice_is_once_and_disabling_restores(client: openai.OpenAI, collected: Any) -> None:
    patched = Completions.create
    trimtab.openai.autolog()
    assert Completions.create is patched
    trimtab.openai.autolog(disable=True)
    assert (Completions.create, AsyncCompletions.create) == ORIGINALS
    trimtab.openai.autolog(disable=True)
    client.chat.completions.create(**ASK)  # type: ignore[call-overload]
    assert collected.items == []
