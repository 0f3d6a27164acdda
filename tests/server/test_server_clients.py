"""Real clients against a real server: what they send is answered, and its trace is found."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import openai
import pytest


def client(server: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0, timeout=20)


def trace_of(server: Any, trace_id: str) -> Any:
    for _ in range(200):
        status, _, found = server.ask("GET", f"/api/traces/{trace_id}")
        if status == 200:
            return found
        time.sleep(0.02)
    raise AssertionError("the trace never came")


@pytest.mark.parametrize("stream", [False, True])
def test_the_official_client_gets_an_answer_and_a_trace(start_server: Callable[..., Any], stream: bool) -> None:
    server = start_server()
    question = "Say the word lighthouse"
    with client(server) as api:
        raw = api.chat.completions.with_raw_response.create(
            model="scripted/echo", messages=[{"role": "user", "content": question}], stream=stream,
            extra_headers={"x-trimtab-session": "s-1", "x-trimtab-tags": "topic=words"},
        )  # fmt: skip
        reply = raw.parse()
        text = (
            "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)
            if stream
            else reply.choices[0].message.content
        )
    assert "lighthouse" in text
    assert "model=scripted/echo=simulated" in raw.headers["x-trimtab-stamp"]
    found = trace_of(server, raw.headers["x-trimtab-trace-id"])
    root = next(span for span in found["spans"] if not span["parent_id"])
    assert root["input"] == question
    assert root["output"] == text
    assert root["session"] == "s-1"
    assert root["tags"]["topic"] == "words"
    assert any(span["kind"] == "llm" for span in found["spans"])


def test_the_client_meets_its_own_error_types(start_server: Callable[..., Any]) -> None:
    server = start_server()
    messages: Any = [{"role": "user", "content": "x"}]
    with client(server) as api:
        with pytest.raises(openai.NotFoundError, match="no-such-model"):
            api.chat.completions.create(model="no-such-model", messages=messages)
        assert any(model.id == "scripted/echo" for model in api.models.list())
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="tt-wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model="scripted/echo", messages=messages)
