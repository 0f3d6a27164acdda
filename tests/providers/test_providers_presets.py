"""The kinds of providers: what is special about each reaches the wire, and the configuration knows them all."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from wire_replay import Player, plain, recorded

from trimtab.config.shape import ProviderKind
from trimtab.core import BadInput, Call, Chunk, ModelError, Native
from trimtab.providers import (
    COUNT,
    EMBEDDINGS,
    KINDS,
    MESSAGES,
    PRESETS,
    RESPONSES,
    HttpClient,
    OpenAI,
    Providers,
    ProviderSpec,
    Scripted,
)
from trimtab.providers.http import target_of

ASKED = ({"role": "user", "content": "Hi"},)
KEY = "sk-test-0123456789"


def provider(http: HttpClient, **spec: Any) -> Any:
    spec = {"api_key": KEY, **spec}
    return Providers({"p": ProviderSpec(**spec)}, http=http)


async def ask(http: HttpClient, *, model: str = "m", call: Call | None = None, **spec: Any) -> list[Chunk]:
    call = call or Call(model="m", messages=ASKED)
    return [chunk async for chunk in provider(http, **spec).model(f"p/{model}")(call)]


def native(dialect: str, **more: Any) -> Native:
    made: dict[str, Any] = {"dialect": dialect, "body": {"model": "m", "input": "Hi"}, "runs": (((ASKED[0],), ASKED),)}
    return Native(**{**made, **more})


def test_the_configuration_knows_every_kind() -> None:
    assert set(get_args(ProviderKind)) == set(KINDS)
    for preset in PRESETS.values():
        if preset.base_url:
            target_of(preset.base_url)


@pytest.mark.parametrize("kind", [kind for kind in PRESETS if kind != "azure"])
async def test_each_openai_compatible_kind_is_asked_at_its_own_address(kind: str) -> None:
    player = plain("openai/chat.json")
    await ask(player, kind=kind)
    url, headers, body = player.asked[0]
    assert url == f"{PRESETS[kind].base_url}/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body == {"model": "m", "messages": [ASKED[0]], "stream": False}


@pytest.mark.parametrize(
    ("base", "version", "path", "url"),
    [
        ("https://x.openai.azure.com", "", "chat", "https://x.openai.azure.com/openai/v1/chat/completions"),
        ("https://x.openai.azure.com/openai/v1/", "", "chat", "https://x.openai.azure.com/openai/v1/chat/completions"),
        (
            "https://x.openai.azure.com/",
            "2024-10-21",
            "chat",
            "https://x.openai.azure.com/openai/deployments/my%20model/chat/completions?api-version=2024-10-21",
        ),
        (
            "https://x.openai.azure.com",
            "2024-10-21",
            "embeddings",
            "https://x.openai.azure.com/openai/deployments/my%20model/embeddings?api-version=2024-10-21",
        ),
        (
            "https://x.openai.azure.com",
            "2025-04-01-preview",
            "responses",
            "https://x.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
        ),
    ],
)
async def test_azure_has_two_kinds_of_addresses(base: str, version: str, path: str, url: str) -> None:
    dialect = {"embeddings": EMBEDDINGS, "responses": RESPONSES}.get(path, "")
    call = Call(model="m", messages=ASKED, native=native(dialect) if dialect else None)
    player = plain(f"openai/{path}.json")
    await ask(player, model="my model", call=call, kind="azure", base_url=base, api_version=version)
    asked, headers, body = player.asked[0]
    assert (asked, headers["api-key"], body["model"]) == (url, KEY, "my model")
    assert "authorization" not in headers


@pytest.mark.parametrize(("kind", "field"), [("openai", "max_completion_tokens"), ("mistral", "max_tokens")])
async def test_the_limit_has_the_name_that_the_vendor_knows(kind: str, field: str) -> None:
    player = plain("openai/chat.json")
    await ask(player, kind=kind, call=Call(model="m", messages=ASKED, params={"max_completion_tokens": 9}))
    assert player.asked[0][2].keys() - {"model", "messages", "stream"} == {field}


@pytest.mark.parametrize(("kind", "asked"), [("openai", True), ("mistral", False)])
async def test_usage_of_a_stream_is_asked_for_only_where_that_is_understood(kind: str, asked: bool) -> None:
    player = Player([recorded("openai/chat-text.sse")])
    await ask(player, kind=kind, call=Call(model="m", messages=ASKED, stream=True))
    assert ("stream_options" in player.asked[0][2]) is asked


async def test_headers_and_timeout_of_the_configuration() -> None:
    player = plain("openai/chat.json")
    await ask(player, kind="openai", headers={"OpenAI-Organization": "org-1", "user-agent": "mine"}, timeout=3)
    headers = player.asked[0][1]
    assert (headers["openai-organization"], headers["user-agent"], player.limits) == ("org-1", "mine", [3])
    await ask(player, kind="openai", call=Call(model="m", messages=ASKED, timeout=2), timeout=3)
    assert player.limits[1] == 2
    assert "org-1" not in repr(ProviderSpec(kind="openai", headers={"x": "org-1"}))


@pytest.mark.parametrize(("kind", "kept"), [("openai", False), ("deepseek", True)])
async def test_what_other_dialects_brought_along_does_not_reach_the_vendor(kind: str, kept: bool) -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    thoughts = {"thinking_blocks": [{"type": "thinking"}], "reasoning_content": "hm"}
    messages = (
        {"role": "user", "content": [{"type": "text", "text": "Hi", **cached}]},
        {"role": "assistant", "content": "Ho", **thoughts},
        {"role": "tool", "tool_call_id": "t", "content": "x", "is_error": True, **cached},
    )
    player = plain("openai/chat.json")
    await ask(player, kind=kind, call=Call(model="m", messages=messages, native=native(MESSAGES)))
    assert player.asked[0][2]["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Ho", **({"reasoning_content": "hm"} if kept else {})},
        {"role": "tool", "tool_call_id": "t", "content": "x"},
    ]
    await ask(player, kind=kind, call=Call(model="m", messages=messages))
    assert player.asked[1][2]["messages"] == list(messages)  # a chat client's own words are its own affair


async def test_responses_are_asked_for_once_where_the_server_has_none() -> None:
    class Old(Player):
        async def send(self, way: Any, body: bytes, **limits: Any) -> Any:
            found = "/responses" not in way[0]
            self.status, self.pieces = (200, [recorded("openai/chat.json")]) if found else (404, [b'{"detail":"x"}'])
            return await super().send(way, body, **limits)

    player = Old(kind="application/json")
    made = provider(player, kind="vllm").model("p/m")
    for _ in range(2):
        (chunk,) = [c async for c in made(Call(model="m", messages=ASKED, native=native(RESPONSES)))]
        assert chunk.body is not None
    assert [url.rpartition("/v1")[2] for url, _, _ in player.asked] == [
        "/responses", "/chat/completions", "/chat/completions",
    ]  # fmt: skip
    missing = Player([b'{"error": {"message": "The model `m` does not exist"}}'], status=404, kind="application/json")
    with pytest.raises(ModelError, match="does not exist"):
        await ask(missing, kind="openai", call=Call(model="m", messages=ASKED, native=native(RESPONSES)))
    assert len(missing.asked) == 1


async def test_a_response_that_failed_is_an_error() -> None:
    body = {"status": "failed", "error": {"code": "server_error", "message": "It broke."}}
    player = Player([json.dumps(body).encode()], kind="application/json")
    with pytest.raises(ModelError, match="It broke"):
        await ask(player, kind="openai", call=Call(model="m", messages=ASKED, native=native(RESPONSES)))
    event = {"type": "response.failed", "response": body}
    player = Player([f"event: response.failed\ndata: {json.dumps(event)}\n\n".encode()])
    with pytest.raises(ModelError, match="It broke"):
        await ask(player, kind="openai", call=Call(model="m", messages=ASKED, stream=True, native=native(RESPONSES)))


@pytest.mark.parametrize("kind", ["openai", "gemini", "litellm"])
async def test_a_field_that_only_another_dialect_has_is_refused_by_name(kind: str) -> None:
    call = Call(model="m", messages=ASKED, native=native(MESSAGES, only=("mcp_servers", "container")))
    with pytest.raises(BadInput, match="another dialect") as caught:
        await ask(Player(), kind=kind, call=call)
    assert caught.value.field == "mcp_servers"


async def test_tokens_are_estimated_where_nobody_counts() -> None:
    messages = ({"role": "user", "content": [{"type": "text", "text": "x" * 400}, {"type": "image_url"}]},)
    (chunk,) = await ask(Player(), kind="openai", call=Call(model="m", messages=messages, native=native(COUNT)))
    assert chunk.native is not None
    assert chunk.native["estimated"] is True
    assert 1300 < chunk.native["input_tokens"] < 1340


async def test_vectors_for_own_use() -> None:
    scripted = Providers({}, http=HttpClient(), scripted=Scripted())
    one, two = await scripted.embedder("scripted/echo")(["a refund", "refund"])
    assert (one, len(one)) == (two, 256)
    with pytest.raises(ModelError, match="vector for each text"):
        await provider(plain("openai/embeddings.json"), kind="openai").embedder("p/m")(["one", "two"])


def test_the_adapter_is_the_same_for_all_of_them() -> None:
    made = Providers(
        {kind: ProviderSpec(kind=kind, base_url="http://127.0.0.1:9") for kind in PRESETS}, http=HttpClient()
    )
    assert {type(made._providers[kind]) for kind in PRESETS} == {OpenAI}
