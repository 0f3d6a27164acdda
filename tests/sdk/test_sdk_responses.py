"""``autolog`` with OpenAI's responses API and its embeddings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import trimtab

USAGE = {
    "input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100,
    "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 300},
    "output_tokens_details": {"reasoning_tokens": 50},
}  # fmt: skip
MESSAGE = {
    "id": "m", "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "Hello.", "annotations": []}],
}  # fmt: skip
CALL = {
    "id": "f", "type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"q": "x"}',
    "status": "completed",
}  # fmt: skip
TOOLS = [{"type": "function", "name": "find", "parameters": {"type": "object"}, "strict": True}]
ASK: dict[str, Any] = {"model": "gpt-5", "instructions": "Be kind.", "input": "Hi?", "tools": TOOLS}


def _answer(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-5-2025-08-07",
        "output": list(items), "usage": USAGE, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, **fields,
    }  # fmt: skip


def _stream() -> bytes:
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": _answer()},
        {"type": "response.output_item.added", "output_index": 0, "item": {**MESSAGE, "content": []}},
        {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "item_id": "m",
         "part": {"type": "output_text", "text": "", "annotations": []}},
        {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "Hel",
         "logprobs": []},
        {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "lo.",
         "logprobs": []},
        {"type": "response.completed", "response": _answer(MESSAGE, CALL)},
    ]  # fmt: skip
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered).encode()


@pytest.fixture(autouse=True)
def _patched(collected: Any) -> Iterator[None]:
    trimtab.openai.autolog()
    yield
    trimtab.openai.autolog(disable=True)


@pytest.fixture
def vendor(backend: Any) -> Any:
    def answer(_method: str, path: str, _headers: Any, body: Any) -> tuple[int, dict[str, str], bytes]:
        if path.endswith("/embeddings"):
            listed = {"object": "list", "model": "e-1", "data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}}
            return 200, {}, json.dumps(listed).encode()
        if body.get("stream"):
            return 200, {"content-type": "text/event-stream"}, _stream()
        return 200, {}, json.dumps(_answer(MESSAGE, CALL)).encode()

    backend.answer = answer
    return backend


@pytest.fixture
def client(vendor: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=vendor.url + "/v1", api_key="k", max_retries=0) as opened:
        yield opened


def _check(span: Any, *, streamed: bool) -> None:
    attributes = span.attributes
    assert (span.kind, span.status, span.name) == ("llm", "ok", "chat gpt-5")
    assert attributes["gen_ai.response.model"] == "gpt-5-2025-08-07"
    assert json.loads(attributes["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Hi?"}]},
    ]
    assert json.loads(attributes["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "Hello."},
                {"type": "tool_call", "id": "c1", "name": "find", "arguments": '{"q": "x"}'},
            ],
        }
    ]
    counts = [attributes[f"gen_ai.usage.{name}_tokens"] for name in
              ("input", "output", "cache_read.input", "cache_creation.input", "reasoning.output")]  # fmt: skip
    assert counts == [1000, 100, 400, 300, 50]
    assert json.loads(attributes["gen_ai.tool.definitions"]) == TOOLS
    assert ("gen_ai.response.time_to_first_chunk" in attributes) is streamed


def test_plain_and_streaming(client: openai.OpenAI, collected: Any) -> None:
    assert client.responses.create(**ASK).output_text == "Hello."
    events = list(client.responses.create(**ASK, stream=True))
    assert events[-1].type == "response.completed"
    with client.responses.stream(**ASK) as stream:
        assert stream.get_final_response().output_text == "Hello."
    assert len(collected.items) == 3
    for span, streamed in zip(collected.items, (False, True, True), strict=True):
        _check(span, streamed=streamed)


async def test_async(vendor: Any, collected: Any) -> None:
    async with openai.AsyncOpenAI(base_url=vendor.url + "/v1", api_key="k", max_retries=0) as client:
        assert (await client.responses.create(**ASK)).output_text == "Hello."
        assert len([event async for event in await client.responses.create(**ASK, stream=True)]) == 6
    for span, streamed in zip(collected.items, (False, True), strict=True):
        _check(span, streamed=streamed)


def test_items_in_and_a_stream_left_early(client: openai.OpenAI, collected: Any) -> None:
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "find x"}]},
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "it"},
    ]
    stream = client.responses.create(model="gpt-5", input=given, stream=True)  # type: ignore[call-overload]
    [next(stream) for _ in range(4)]
    stream.close()
    (span,) = collected.items
    assert json.loads(span.attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "find x"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": "{}"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "it"}]},
    ]
    assert "Hel" in span.attributes["gen_ai.output.messages"]


def test_a_failed_response_is_an_error(client: openai.OpenAI, vendor: Any, collected: Any) -> None:
    error = {"code": "server_error", "message": "it broke"}
    vendor.answer = lambda *_: (200, {}, json.dumps(_answer(status="failed", error=error)).encode())
    client.responses.create(**ASK)
    assert (collected.items[0].status, collected.items[0].error) == ("error", "it broke")


def test_embeddings(client: openai.OpenAI, collected: Any) -> None:
    client.embeddings.create(model="e", input=["a", "b"], encoding_format="float")
    (span,) = collected.items
    assert (span.kind, span.name, span.input) == ("embedding", "embeddings e", '["a", "b"]')
    assert span.attributes["gen_ai.usage.input_tokens"] == 5
    assert span.attributes["gen_ai.response.model"] == "e-1"
