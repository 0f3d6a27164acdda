from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from trimtab.core import BadInput, Call, Chunk, ModelError, Usage
from trimtab.providers import Anthropic, Endpoint, HttpClient
from trimtab.providers.anthropic_request import request_of

KEY = "sk-ant-canary-123456"
MESSAGES = (
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
    {"role": "user", "content": "hi"},
)
USAGE = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 4}
COUNTED = Usage(input_tokens=10, output_tokens=4, cached_tokens=3, written_tokens=2)


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


def anthropic_at(name: str, url: str, key: str, http: HttpClient) -> Anthropic:
    return Anthropic(Endpoint(name=name, http=http, base_url=url, api_key=key))


async def ask(model: Any, **more: Any) -> list[Chunk]:
    return [chunk async for chunk in model(Call(**{"model": "any", "messages": MESSAGES, "timeout": 5, **more}))]


def answering(seen: list[dict[str, Any]], body: bytes, **more: str) -> Any:
    async def talk(visit: Any) -> None:
        seen.append(json.loads(await visit.request()))
        await visit.answer(body, **more)

    return talk


def events(*bodies: dict[str, Any]) -> bytes:
    return b"".join(f"event: {b['type']}\ndata: {json.dumps(b)}\n\n".encode() for b in bodies)


async def test_a_plain_reply_comes_back_in_openais_shape(http: HttpClient, server: Any) -> None:
    seen: list[dict[str, Any]] = []
    body = {
        "id": "msg_1",
        "model": "claude-x-1",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "Hel"},
            {"type": "text", "text": "lo"},
        ],
        "stop_reason": "max_tokens",
        "usage": USAGE,
    }
    url = await server.start(answering(seen, json.dumps(body).encode()))
    model = anthropic_at("anthropic", f"{url}/v1", KEY, http).model("claude-x")
    (chunk,) = await ask(model, params={"max_completion_tokens": 9, "stop": "END", "temperature": 0.5, "n": 1})
    assert (chunk.text, chunk.finish, chunk.usage, chunk.model) == ("Hello", "length", COUNTED, "claude-x-1")
    assert chunk.body is not None
    thought = {"reasoning_content": "hm", "thinking_blocks": [{"type": "thinking", "thinking": "hm"}]}
    assert chunk.body["choices"][0]["message"] == {"role": "assistant", "content": "Hello", **thought}
    assert chunk.body["usage"]["total_tokens"] == 14
    assert seen == [
        {
            "model": "claude-x",
            "system": "Be brief.\n\nBe kind.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "max_tokens": 9,
            "stop_sequences": ["END"],
            "temperature": 0.5,
            "stream": False,
        }
    ]
    head = server.visits[0].heads[0]
    assert head.startswith("POST /v1/messages ")
    assert f"x-api-key: {KEY}\r\n" in head
    assert "anthropic-version: " in head


STREAM = events(
    {
        "type": "message_start",
        "message": {"id": "msg_1", "model": "claude-x-1", "usage": {**USAGE, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
    {"type": "message_stop"},
)


@pytest.mark.parametrize("asked", [False, True])
async def test_a_stream_becomes_chunks_in_openais_shape(http: HttpClient, server: Any, asked: bool) -> None:
    url = await server.start(answering([], STREAM, headers="content-type: text/event-stream\r\n"))
    params = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = await ask(anthropic_at("anthropic", url, KEY, http).model("claude-x"), stream=True, params=params)
    assert "".join(c.text for c in chunks) == "Hello"
    assert [c.finish for c in chunks] == [None, None, None, "stop", None]
    assert chunks[-1].usage == COUNTED
    assert (chunks[-1].body is not None) == asked
    assert all(c.body is not None and c.body["object"] == "chat.completion.chunk" for c in chunks[:-1])
    assert {c.model for c in chunks} == {"claude-x-1"}


async def test_errors_before_and_within_a_stream(http: HttpClient, server: Any) -> None:
    refused = json.dumps({"type": "error", "error": {"type": "x", "message": f"bad key {KEY}"}}).encode()
    url = await server.start(answering([], refused, status="401 No"))
    with pytest.raises(ModelError, match=r"answered 401: bad key \[key\]") as caught:
        await ask(anthropic_at("anthropic", url, KEY, http).model("m"))
    assert not caught.value.retryable
    await server.stop()
    broken = events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    url = await server.start(answering([], broken))
    with pytest.raises(ModelError, match="broke off: Overloaded") as caught:
        await ask(anthropic_at("anthropic", url, KEY, http).model("m"), stream=True)
    assert (caught.value.vendor_status, caught.value.retryable) == (529, True)


@pytest.mark.parametrize(
    ("messages", "params", "field"),
    [
        (MESSAGES, {"tools": [{"type": "function"}]}, "tools[0]"),
        (MESSAGES, {"response_format": {"type": "json_object"}}, "response_format"),
        (MESSAGES, {"logit_bias": {}}, "logit_bias"),
        (MESSAGES, {"n": 2}, "n"),
        (({"role": "tool", "content": "x"},), {}, "messages[0].tool_call_id"),
        (({"role": "function", "content": "x"},), {}, "messages[0].role"),
        (({"role": "assistant", "content": None, "tool_calls": [{}]},), {}, "messages[0].tool_calls[0]"),
        (({"role": "user", "content": [{"type": "input_audio"}]},), {}, "messages[0].content[0].type"),
        (({"role": "user", "content": 7},), {}, "messages[0].content"),
        (({"role": "system", "content": [{"type": "image_url"}]},), {}, "messages[0].content[0].type"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(messages: Any, params: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        request_of("m", Call(model="m", messages=messages, params=params))
    assert caught.value.field == field


def test_neutral_settings_and_images_pass() -> None:
    urls = ["data:image/png;base64,AAAA", "https://host/cat.png"]
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    params = {"frequency_penalty": 0, "tools": [], "max_tokens": None, "user": "u1", "stream_options": {}}
    body = request_of("m", Call(model="m", messages=({"role": "user", "content": content},), params=params))
    assert [part["source"] for part in body["messages"][0]["content"]] == [
        {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        {"type": "url", "url": "https://host/cat.png"},
    ]
    assert body["metadata"] == {"user_id": "u1"}
    assert body["max_tokens"] > 0
    assert body.keys() == {"model", "max_tokens", "stream", "metadata", "messages"}


async def test_the_address_may_stand_as_the_vendors_own_clients_have_it(http: HttpClient, server: Any) -> None:
    asked: list[str] = []
    said = {"model": "c", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": USAGE}
    body = json.dumps(said)

    async def talk(visit: Any) -> None:
        await visit.request()
        asked.append(visit.heads[-1].split()[1])
        await visit.answer(body.encode(), headers="connection: close\r\n")
        visit.writer.close()

    url = await server.start(talk)
    for base in (url, f"{url}/", f"{url}/v1", f"{url}/anthropic"):
        (chunk,) = await ask(anthropic_at("anthropic", base, KEY, http).model("claude-x"))
        assert chunk.text == "Hi"
    assert asked == ["/v1/messages", "/v1/messages", "/v1/messages", "/anthropic/messages"]
