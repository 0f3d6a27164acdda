"""The adapter of the LiteLLM SDK, with a stand-in for the SDK."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import pytest

from trimtab.core import Call, Chunk, ConfigError, ModelError, ModelTimeout, Native, Usage
from trimtab.providers import EMBEDDINGS, Endpoint, HttpClient, LiteLLM

KEY = "cohere-key-0123456789"
ASKED = ({"role": "user", "content": "Hi"},)


class Model:
    def __init__(self, **body: Any) -> None:
        self._body = body

    def model_dump(self) -> dict[str, Any]:
        return self._body


class RateLimitError(Exception):
    status_code = 429


class Sdk:
    """What the adapter needs of the SDK."""

    def __init__(self, answer: Any = None, error: Exception | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer, self._error = answer, error

    async def acompletion(self, **asked: Any) -> Any:
        self.asked.append(asked)
        if self._error:
            raise self._error
        return self._answer

    aembedding = acompletion


def adapter(sdk: Any, **more: Any) -> LiteLLM:
    return LiteLLM(Endpoint(name="tail", http=HttpClient(), api_key=KEY, **more), sdk)


async def ask(made: LiteLLM, **more: Any) -> list[Chunk]:
    return [c async for c in made.model("cohere/command-r")(Call(**{"model": "m", "messages": ASKED, **more}))]


def chunk(delta: dict[str, Any], finish: str | None = None) -> Model:
    return Model(model="command-r", choices=[{"index": 0, "delta": delta, "finish_reason": finish}], usage=None)


async def test_a_plain_reply() -> None:
    message = {"role": "assistant", "content": "Ho"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    sdk = Sdk(
        Model(model="command-r", choices=[{"index": 0, "message": message, "finish_reason": "stop"}], usage=usage)
    )
    made = adapter(sdk, base_url="https://host", headers={"x-team": "blue"}, timeout=5)
    (found,) = await ask(made, params={"temperature": 0})
    assert (found.text, found.finish, found.usage) == ("Ho", "stop", Usage(input_tokens=3, output_tokens=1))
    assert sdk.asked == [
        {
            "temperature": 0, "model": "cohere/command-r", "messages": list(ASKED), "stream": False, "timeout": 5,
            "num_retries": 0, "api_key": KEY, "api_base": "https://host", "extra_headers": {"x-team": "blue"},
        }
    ]  # fmt: skip


async def test_a_stream() -> None:
    async def parts() -> AsyncIterator[Model]:
        yield chunk({"role": "assistant", "content": "H"})
        yield chunk({"content": "o"}, "stop")
        yield Model(model="command-r", choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2})

    found = await ask(adapter(Sdk(parts())), stream=True)
    assert "".join(c.text for c in found) == "Ho"
    assert (found[-1].usage, found[-1].body) == (Usage(input_tokens=3, output_tokens=2), None)


async def test_embeddings() -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [1.0]}]
    sdk = Sdk(Model(object="list", data=data, model="embed", usage={"prompt_tokens": 2, "total_tokens": 2}))
    native = Native(dialect=EMBEDDINGS, body={"input": "Hi"}, runs=((("Hi",), ASKED),))
    (found,) = await ask(adapter(sdk), native=native)
    assert found.native is not None
    assert found.native["data"] == data
    assert sdk.asked[0]["input"] == "Hi"


async def test_errors_of_the_sdk_are_ours_without_the_key() -> None:
    with pytest.raises(ModelError, match=r"tail: slow down \[key\]") as caught:
        await ask(adapter(Sdk(error=RateLimitError(f"slow down {KEY}"))))
    assert (caught.value.vendor_status, caught.value.retryable) == (429, True)

    async def broken() -> AsyncIterator[Model]:
        yield chunk({"content": "H"})
        raise ValueError("it broke")

    with pytest.raises(ModelError, match="it broke"):
        await ask(adapter(Sdk(broken())), stream=True)


async def test_the_sdk_is_not_waited_for_beyond_the_limit() -> None:
    class Slow(Sdk):
        async def acompletion(self, **asked: Any) -> Any:
            await asyncio.Event().wait()

    with pytest.raises(ModelTimeout, match="did not answer within"):
        await ask(adapter(Slow()), timeout=0.01)


@pytest.mark.skipif(importlib.util.find_spec("litellm") is not None, reason="the SDK is installed")
async def test_without_the_extra_the_mend_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        await ask(adapter(None))
    assert (caught.value.field, caught.value.mend) == ("providers.tail.kind", "Install trimtab[litellm].")
