"""Gemini: what is asked of it, and what it cannot be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wire_replay import Player, plain

from trimtab.core import BadInput, Call, Chunk, ModelError, Native
from trimtab.providers import COUNT, EMBEDDINGS, Endpoint, Gemini, HttpClient
from trimtab.providers.gemini_request import request_of

KEY = "AIza-test-0123456789"
ASKED = ({"role": "user", "content": "Hi"},)
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": {"type": "object"}}}
CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Wien"}'}},
    {"id": "c2", "type": "function", "function": {"name": "get_time", "arguments": ""}},
]


def body_of(messages: Any = ASKED, model: str = "gemini-2.5-flash", **params: Any) -> dict[str, Any]:
    return request_of(model, Call(model="m", messages=messages, params=params))


async def ask(http: HttpClient, **more: Any) -> list[Chunk]:
    made = Gemini(Endpoint(name="gemini", http=http, api_key=KEY))
    return [c async for c in made.model("gemini-x")(Call(**{"model": "m", "messages": ASKED, **more}))]


def test_a_conversation_with_tools() -> None:
    signed = {**CALLS[0], "extra_content": {"google": {"thought_signature": "CiQB"}}}
    messages = (
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": _PNG}}],
        },
        {"role": "assistant", "content": "Let me see.", "tool_calls": [signed, CALLS[1]]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"sky": "clear"}'},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
        {"role": "user", "content": "And?"},
    )
    body = body_of(messages, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "get_weather"}})
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            {
                "role": "model",
                "parts": [
                    {"text": "Let me see."},
                    {"functionCall": {"name": "get_weather", "args": {"city": "Wien"}}, "thoughtSignature": "CiQB"},
                    {"functionCall": {"name": "get_time", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "get_weather", "response": {"sky": "clear"}}},
                    {"functionResponse": {"name": "get_time", "response": {"result": "noon"}}},
                    {"text": "And?"},
                ],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "get_weather", "description": "d", "parametersJsonSchema": {"type": "object"}}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}},
    }


_PNG = "data:image/png;base64,AAAA"


def test_settings() -> None:
    schema = {"type": "object", "properties": {}}
    body = body_of(
        temperature=0.5, top_p=0.9, max_completion_tokens=9, stop="END", seed=7, n=2, logprobs=True, top_logprobs=3,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, reasoning_effort="low",
        user="u", stream_options={"include_usage": True}, safety_settings=[{"category": "c"}],
    )  # fmt: skip
    assert body["safetySettings"] == [{"category": "c"}]
    assert body["generationConfig"] == {
        "temperature": 0.5, "topP": 0.9, "maxOutputTokens": 9, "stopSequences": ["END"], "seed": 7,
        "candidateCount": 2, "responseLogprobs": True, "logprobs": 3, "responseMimeType": "application/json",
        "responseJsonSchema": schema, "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True},
    }  # fmt: skip
    level = body_of(model="gemini-3-pro", reasoning_effort="high")["generationConfig"]["thinkingConfig"]
    assert level == {"thinkingLevel": "high", "includeThoughts": True}


def test_gemini_3_is_told_where_a_signature_is_missing() -> None:
    messages = (*ASKED, {"role": "assistant", "content": None, "tool_calls": CALLS})
    first, second = body_of(messages, model="gemini-3-pro")["contents"][1]["parts"]
    assert (first["thoughtSignature"], "thoughtSignature" in second) == ("skip_thought_signature_validator", False)


@pytest.mark.parametrize(
    ("messages", "params", "field"),
    [
        (ASKED, {"logit_bias": {"1": 2}}, "logit_bias"),
        (ASKED, {"parallel_tool_calls": False}, "parallel_tool_calls"),
        (ASKED, {"tools": [{"type": "web_search"}]}, "tools[0]"),
        (ASKED, {"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        (({"role": "tool", "tool_call_id": "c9", "content": "x"},), {}, "messages[0].tool_call_id"),
        (({"role": "function", "content": "x"},), {}, "messages[0].role"),
        (({"role": "user", "content": [{"type": "video"}]},), {}, "messages[0].content[0].type"),
        (
            ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},),
            {},
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(messages: Any, params: Any, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        body_of(messages, **params)
    assert caught.value.field == field


async def test_addresses_and_key() -> None:
    player = plain("gemini/reply.json")
    await ask(player)
    url, headers, _ = player.asked[0]
    assert url == "https://generativelanguage.googleapis.com/v1beta/models/gemini-x:generateContent"
    assert headers["x-goog-api-key"] == KEY
    stream = Player([])
    await ask(stream, stream=True)
    assert stream.asked[0][0].endswith(":streamGenerateContent?alt=sse")


async def test_embeddings_and_counts() -> None:
    player = plain("gemini/embeddings.json")
    texts = ("one", "two")
    runs = tuple(((text,), ({"role": "user", "content": text},)) for text in texts)
    messages = tuple(message for _, chat in runs for message in chat)
    native = Native(dialect=EMBEDDINGS, body={"input": list(texts), "dimensions": 2}, runs=runs)
    (chunk,) = await ask(player, messages=messages, native=native)
    assert chunk.native is not None
    assert [item["embedding"] for item in chunk.native["data"]] == [[0.0137, -0.0217], [0.5, 0.25]]
    assert player.asked[0][2]["requests"][1] == {
        "model": "models/gemini-x", "content": {"parts": [{"text": "two"}]}, "outputDimensionality": 2,
    }  # fmt: skip
    packed = Native(dialect=EMBEDDINGS, body={"input": list(texts), "encoding_format": "base64"}, runs=runs)
    (chunk,) = await ask(plain("gemini/embeddings.json"), messages=messages, native=packed)
    assert chunk.native is not None
    assert chunk.native["data"][1]["embedding"] == "AAAAPwAAgD4="
    counter = plain("gemini/count.json")
    (counted,) = await ask(counter, native=Native(dialect=COUNT, body={}, runs=((ASKED, ASKED),)))
    assert counted.native == {"input_tokens": 31, "estimated": False}
    assert counter.asked[0][2]["generateContentRequest"]["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]


async def test_an_error_within_a_stream() -> None:
    event = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    with pytest.raises(ModelError, match="overloaded") as caught:
        await ask(Player([f"data: {json.dumps(event)}\r\n\r\n".encode()]), stream=True)
    assert (caught.value.vendor_status, caught.value.retryable) == (503, True)
