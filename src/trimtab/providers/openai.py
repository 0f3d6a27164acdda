"""Any vendor or server that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from trimtab.core import Call, Chunk, Model, ModelError, Usage

from .exchange import Response
from .http import HttpClient
from .sse import EventDecoder
from .vendor import complaint, decode, mapping, number, refusal, text

DEFAULT_URL = "https://api.openai.com/v1"


class OpenAI:
    """One OpenAI-compatible endpoint: ``POST {base_url}/chat/completions``."""

    def __init__(self, name: str, base_url: str, api_key: str, http: HttpClient) -> None:
        self._name = name
        self._url = (base_url or DEFAULT_URL).rstrip("/") + "/chat/completions"
        self._key = api_key
        self._http = http
        self._no_stream_options = False

    def model(self, name: str) -> Model:
        """The model of that name at this endpoint; the endpoint itself knows which names there are."""
        return functools.partial(self._answer, name)

    async def _answer(self, name: str, call: Call) -> AsyncIterator[Chunk]:
        response, added = await self._ask(name, call)
        try:
            if not call.stream:
                yield whole(decode(await response.read(), self._name))
                return
            async for chunk in self._stream(response, added):
                yield chunk
        finally:
            await response.close()

    async def _ask(self, name: str, call: Call) -> tuple[Response, bool]:
        """The accepted request, and whether we asked for usage where the client had not."""
        added = call.stream and not self._no_stream_options and not wants_usage(call)
        response = await self._post(name, call, added)
        if added and response.status in (400, 422):
            error = await refusal(response, self._name, self._key)
            if "stream_options" not in error.message and "include_usage" not in error.message:
                raise error
            # Servers that do not know the field refuse the whole request: ask once without it, and remember.
            self._no_stream_options, added = True, False
            response = await self._post(name, call, added)
        if response.status >= 300:
            raise await refusal(response, self._name, self._key)
        return response, added

    async def _post(self, name: str, call: Call, add_usage: bool) -> Response:
        body = {**call.params, "model": name, "messages": call.messages, "stream": call.stream}
        if add_usage:
            body["stream_options"] = {**mapping(call.params.get("stream_options")), "include_usage": True}
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if call.stream else "application/json",
            "accept-encoding": "identity",
            "user-agent": "trimtab",
        }
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        return await self._http.request("POST", self._url, headers, msgspec.json.encode(body), timeout=call.timeout)

    async def _stream(self, response: Response, added: bool) -> AsyncIterator[Chunk]:
        kind = response.headers.get("content-type", "")
        if "json" in kind and "event-stream" not in kind:
            yield whole(decode(await response.read(), self._name))  # asked for a stream, got a plain reply
            return
        decoder = EventDecoder()
        async for data in response:
            for event in decoder.feed(data):
                if event.data == "[DONE]":
                    await self._drain(response)
                    return
                yield self._chunk(event.data, added)
        for event in decoder.close():
            if event.data != "[DONE]":
                yield self._chunk(event.data, added)

    async def _drain(self, response: Response) -> None:
        """Read the last bytes of a finished stream, so that the connection can be used again; but never wait long."""
        try:
            async with asyncio.timeout(0.1):
                await response.read(1 << 16)
        except (ModelError, TimeoutError):
            await response.close()  # the answer is whole: how the connection ended does not matter

    def _chunk(self, data: str, added: bool) -> Chunk:
        body = decode(data, self._name)
        if body.get("error"):
            raise complaint(body["error"], self._name, self._key)
        return piece(body, hide=added and not body.get("choices") and bool(body.get("usage")))


def wants_usage(call: Call) -> bool:
    """Whether the client itself asked for the usage chunk at the end of a stream."""
    return mapping(call.params.get("stream_options")).get("include_usage") is True


def whole(body: Mapping[str, Any]) -> Chunk:
    """A ``chat.completion`` as the one Chunk of a plain reply."""
    choice = _first(body)
    message = mapping(choice.get("message"))
    return _chunk_of(body, message, text(choice.get("finish_reason")) or None, body)


def piece(body: Mapping[str, Any], *, hide: bool = False) -> Chunk:
    """A ``chat.completion.chunk`` as a Chunk; ``hide`` leaves its body out, so that the client does not see it."""
    choice = _first(body)
    return _chunk_of(
        body, mapping(choice.get("delta")), text(choice.get("finish_reason")) or None, None if hide else body
    )


def _chunk_of(
    body: Mapping[str, Any], message: Mapping[str, Any], finish: str | None, shown: Mapping[str, Any] | None
) -> Chunk:
    tools = message.get("tool_calls")
    return Chunk(
        text=text(message.get("content")),
        finish=finish,
        usage=usage_of(body.get("usage")),
        model=text(body.get("model")),
        fingerprint=text(body.get("system_fingerprint")),
        tool_calls=tuple(tool for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else (),
        body=shown,
    )


def _first(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The choice with index 0: with ``n`` above 1 the others reach the client through the body."""
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and not choice.get("index"):
            return choice
    return {}


def usage_of(value: object) -> Usage | None:
    """Tokens as OpenAI counts them: cached and reasoning ones are parts of the totals."""
    if not isinstance(value, dict):
        return None
    return Usage(
        input_tokens=number(value.get("prompt_tokens")),
        output_tokens=number(value.get("completion_tokens")),
        cached_tokens=number(mapping(value.get("prompt_tokens_details")).get("cached_tokens")),
        reasoning_tokens=number(mapping(value.get("completion_tokens_details")).get("reasoning_tokens")),
    )
