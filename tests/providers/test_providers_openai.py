from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from trimtab.core import Call, Chunk, ModelError, Usage, collect
from trimtab.providers import PRESETS, Endpoint, HttpClient, OpenAI
from trimtab.providers.vendor import redact, retry_after

KEY = "sk-canary-1234567890"
MESSAGES = ({"role": "user", "content": "hi"},)
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-x-2026-01-01",
    "system_fingerprint": "fp_1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
    "x_vendor": {"kept": True},
}


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


def piece(**delta: Any) -> dict[str, Any]:
    finish = delta.pop("finish", None)
    return {"id": "c1", "model": "gpt-x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def events(*bodies: dict[str, Any] | str) -> bytes:
    return b"".join(b"data: " + (b if isinstance(b, str) else json.dumps(b)).encode() + b"\n\n" for b in bodies)


USAGE = {"id": "c1", "model": "gpt-x", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def streaming(seen: list[dict[str, Any]], *pieces: bytes) -> Any:
    async def talk(visit: Any) -> None:
        while True:
            seen.append(json.loads(await visit.request()))
            await visit.begin_stream()
            for data in pieces:
                await visit.chunk(data)
            await visit.chunk(b"")

    return talk


def answering(seen: list[dict[str, Any]], body: object, **more: str) -> Any:
    async def talk(visit: Any) -> None:
        while True:
            seen.append(json.loads(await visit.request()))
            await visit.answer(body if isinstance(body, bytes) else json.dumps(body).encode(), **more)

    return talk


def openai_at(name: str, url: str, key: str, http: HttpClient, kind: str = "openai") -> OpenAI:
    return OpenAI(Endpoint(name=name, http=http, base_url=url, api_key=key), PRESETS[kind])


async def ask(model: Any, **more: Any) -> list[Chunk]:
    return [chunk async for chunk in model(Call(**{"model": "any", "messages": MESSAGES, "timeout": 5, **more}))]


async def test_a_plain_reply_is_one_chunk_with_the_vendors_own_body(http: HttpClient, server: Any) -> None:
    seen: list[dict[str, Any]] = []
    url = await server.start(answering(seen, REPLY))
    chunks = await ask(
        openai_at("acme", f"{url}/v1/", KEY, http).model("gpt-x"), params={"temperature": 0, "x_own": [1]}
    )
    assert chunks == [
        Chunk(
            text="Hello.",
            finish="stop",
            usage=Usage(input_tokens=9, output_tokens=2, cached_tokens=4),
            model="gpt-x-2026-01-01",
            fingerprint="fp_1",
            body=REPLY,
        )
    ]
    assert seen == [{"model": "gpt-x", "messages": list(MESSAGES), "stream": False, "temperature": 0, "x_own": [1]}]
    head = server.visits[0].heads[0]
    assert head.startswith("POST /v1/chat/completions ")
    assert f"authorization: Bearer {KEY}\r\n" in head


async def test_a_stream_is_relayed_piece_by_piece_and_its_added_usage_is_hidden(http: HttpClient, server: Any) -> None:
    seen: list[dict[str, Any]] = []
    raw = events(piece(role="assistant", content=""), piece(content="Hé"), piece(content="llo"), piece(finish="stop"))
    raw += events(USAGE, "[DONE]")
    url = await server.start(streaming(seen, raw[:60], raw[60:61], raw[61:]))
    model = openai_at("acme", url, KEY, http).model("gpt-x")
    chunks = await ask(model, stream=True)
    assert [c.text for c in chunks] == ["", "Hé", "llo", "", ""]
    assert [c.finish for c in chunks] == [None, None, None, "stop", None]
    assert [c.body is None for c in chunks] == [False, False, False, False, True]
    assert chunks[-1].usage == Usage(input_tokens=3, output_tokens=2)
    assert seen[0]["stream_options"] == {"include_usage": True}
    await ask(model, stream=True)
    assert len(server.visits) == 1  # the stream was read to its very end, so the connection could be used again


async def test_usage_that_the_client_asked_for_is_shown(http: HttpClient, server: Any) -> None:
    seen: list[dict[str, Any]] = []
    url = await server.start(streaming(seen, events(piece(content="x"), USAGE, "[DONE]")))
    options = {"include_usage": True, "x": 1}
    chunks = await ask(openai_at("acme", url, "", http).model("m"), stream=True, params={"stream_options": options})
    assert chunks[-1].body == USAGE
    assert seen[0]["stream_options"] == options
    assert "authorization" not in server.visits[0].heads[0]


async def test_a_server_that_knows_no_stream_options_is_asked_without_them(http: HttpClient, server: Any) -> None:
    seen: list[dict[str, Any]] = []

    async def old(visit: Any) -> None:
        while True:
            seen.append(json.loads(await visit.request()))
            if "stream_options" in seen[-1]:
                await visit.answer(b'{"detail": "Extra inputs: stream_options"}', status="422 No")
            else:
                await visit.begin_stream()
                await visit.chunk(events(piece(content="ok"), "[DONE]"))
                await visit.chunk(b"")

    model = openai_at("old", await server.start(old), "", http).model("m")
    for _ in range(2):
        assert (await collect(model(Call(model="m", messages=MESSAGES, stream=True)))).text == "ok"
    assert ["stream_options" in body for body in seen] == [True, False, False]


async def test_tool_calls_and_a_stream_without_done_come_through(http: HttpClient, server: Any) -> None:
    tool = {"index": 0, "id": "t1", "function": {"name": "f", "arguments": "{}"}}
    url = await server.start(streaming([], events(piece(tool_calls=[tool]), piece(finish="tool_calls"))))
    reply = await collect(openai_at("acme", url, "", http).model("m")(Call(model="m", messages=MESSAGES, stream=True)))
    assert reply.tool_calls == (tool,)
    assert reply.finish == "tool_calls"


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (404, False),
        (408, True),
        (409, True),
        (422, False),
        (429, True),
        (500, True),
        (503, True),
        (307, False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_vendors_no_is_an_error_in_its_own_words(
    http: HttpClient, server: Any, status: int, retryable: bool, stream: bool
) -> None:
    body = {"error": {"message": f"Incorrect key {KEY} given, or {KEY[:10]}***890."}}
    url = await server.start(answering([], body, status=f"{status} No", headers="retry-after: 7\r\n"))
    with pytest.raises(ModelError) as caught:
        await ask(openai_at("acme", url, KEY, http).model("m"), stream=stream)
    error = caught.value
    assert (error.vendor_status, error.retryable, error.retry_after) == (status, retryable, 7.0)
    assert f"acme answered {status}: Incorrect key [key] given, or [key]" in str(error)
    assert KEY[:10] not in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>Bad gateway</html>", "<html>Bad gateway"),
        (b"", "no reason given"),
        (b'{"detail": [{"message": "x too long"}]}', "x too long"),
        (b"[]", "[]"),
        (b"\xff\xfe", "\ufffd"),
        (b"e" * 100_000, "no reason given"),
    ],
)
async def test_errors_in_any_shape_have_words(http: HttpClient, server: Any, body: bytes, said: str) -> None:
    url = await server.start(answering([], body, status="502 Bad Gateway"))
    with pytest.raises(ModelError) as caught:
        await ask(openai_at("acme", url, KEY, http).model("m"))
    assert said in str(caught.value)
    assert caught.value.retryable


async def test_an_error_in_mid_stream_ends_it(http: HttpClient, server: Any) -> None:
    raw = events(piece(content="so far"), {"error": {"message": f"overloaded {KEY}", "code": 503}})
    url = await server.start(streaming([], raw))
    got: list[str] = []
    with pytest.raises(ModelError, match=r"broke off: overloaded \[key\]") as caught:
        await _into(got, openai_at("acme", url, KEY, http).model("m"))
    assert got == ["so far"]
    assert (caught.value.vendor_status, caught.value.retryable) == (503, True)


async def _into(got: list[str], model: Any) -> None:
    async for chunk in model(Call(model="m", messages=MESSAGES, stream=True)):
        got.append(chunk.text)


@pytest.mark.parametrize("body", [b"not json", b"[1]", b"[" * 100_000])
async def test_nonsense_from_a_vendor_is_a_model_error(http: HttpClient, server: Any, body: bytes) -> None:
    url = await server.start(answering([], body))
    with pytest.raises(ModelError, match="acme answered with"):
        await ask(openai_at("acme", url, KEY, http).model("m"))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"message": None}]},
        {"choices": 3, "usage": []},
        {"choices": [{"message": {"content": 7, "tool_calls": "x"}}], "usage": {"prompt_tokens": -1}, "model": None},
    ],
)
async def test_odd_but_valid_json_is_an_empty_answer(http: HttpClient, server: Any, body: dict[str, Any]) -> None:
    url = await server.start(answering([], body))
    (chunk,) = await ask(openai_at("acme", url, KEY, http).model("m"))
    assert (chunk.text, chunk.finish, chunk.tool_calls, chunk.body) == ("", None, (), body)
    assert chunk.usage in (None, Usage())


async def test_a_client_that_leaves_mid_stream_drops_the_connection(http: HttpClient, server: Any) -> None:
    async def endless(visit: Any) -> None:
        await visit.request()
        await visit.begin_stream()
        while True:
            await visit.chunk(events(piece(content="more ")))

    url = await server.start(endless)
    stream = openai_at("acme", url, KEY, http).model("m")(Call(model="m", messages=MESSAGES, stream=True))
    assert (await anext(stream)).text == "more "
    await stream.aclose()  # type: ignore[attr-defined]
    await (await server.visit(0)).gone()


def test_retry_after_is_read_in_all_its_spellings() -> None:
    assert retry_after({"retry-after": "2.5"}, 0) == 2.5
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}, 0) == 1.5
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40) == 60
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 40) == 0
    for nothing in ({}, {"retry-after": "soon"}, {"retry-after": "-1"}):
        assert retry_after(nothing, 0) is None


def test_redaction_leaves_short_secrets_out_and_words_in() -> None:
    assert redact("the key abc is bad", "abc") == "the key [key] is bad"
    assert redact("nothing secret here", "") == "nothing secret here"
    assert redact("x" * 600, "") == "x" * 500 + "..."
