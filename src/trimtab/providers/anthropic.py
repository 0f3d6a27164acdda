"""Anthropic's messages API, for its own clients as they speak and for everybody else in OpenAI's shape."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trimtab.core import BadInput, Call, Chunk, Model

from .anthropic_reply import Streamed, broken_off, reply_of
from .anthropic_request import native_request, request_of
from .chat import wants_usage
from .embeddings import EMBEDDINGS
from .endpoint import Endpoint
from .estimate import COUNT, counted
from .exchange import Response
from .rejoin import refuse_foreign
from .sse import EventDecoder
from .vendor import decode, number, refusal

DEFAULT_URL = "https://api.anthropic.com/v1"
API_VERSION = "2023-06-01"
#: The dialect of Anthropic's clients.
MESSAGES = "anthropic-messages"
#: What a request may say that only wants its tokens counted.
_COUNTED = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "cache_control", "output_config", "mcp_servers"}
)


class Anthropic:
    """One endpoint of the messages API: ``POST {base_url}/messages``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        base = endpoint.url(DEFAULT_URL)
        # The vendor's own clients are given the address without /v1, and so it may stand here too.
        self._url = base + ("/messages" if urlsplit(base).path else "/v1/messages")

    def model(self, name: str) -> Model:
        """The model of that name; the vendor itself knows which names there are."""
        return functools.partial(self._answer, name)

    async def _answer(self, name: str, call: Call) -> AsyncIterator[Chunk]:
        vendor, native = self._endpoint.name, call.native
        spoken = native is not None and native.dialect == MESSAGES
        counting = native is not None and native.dialect == COUNT
        if native is not None and (spoken or counting):
            body = native_request(name, call, native)
        else:
            if native is not None and native.dialect == EMBEDDINGS:
                raise BadInput("Anthropic has no embeddings.", field="model", mend="Name a model for embeddings.")
            refuse_foreign(call, vendor)
            body = request_of(name, call)
        if counting:
            body = {field: value for field, value in body.items() if field in _COUNTED}
        response = await self._post(call, body, "/count_tokens" if counting else "")
        try:
            if counting:
                tokens = number(decode(await response.read(), vendor).get("input_tokens"))
                yield counted(tokens, estimated=False)
            elif not call.stream:
                yield reply_of(decode(await response.read(), vendor), native=spoken)
            else:
                async for chunk in self._stream(response, Streamed(wants_usage(call), native=spoken)):
                    yield chunk
        finally:
            await response.close()

    async def _post(self, call: Call, body: Mapping[str, Any], path: str) -> Response:
        headers = {"anthropic-version": API_VERSION}
        if call.native is not None:
            headers.update(call.native.headers)
        if self._endpoint.api_key:
            headers["x-api-key"] = self._endpoint.api_key
        response = await self._endpoint.post(self._url + path, headers, msgspec.json.encode(body), call.timeout)
        if response.status < 300:
            return response
        try:
            raise await refusal(response, self._endpoint.name, self._endpoint.api_key)
        finally:
            await response.close()

    async def _stream(self, response: Response, answer: Streamed) -> AsyncIterator[Chunk]:
        decoder = EventDecoder()
        async for data in response:
            for event in decoder.feed(data):
                for chunk in self._chunks(event.data, answer):
                    yield chunk
        for event in decoder.close():
            for chunk in self._chunks(event.data, answer):
                yield chunk

    def _chunks(self, data: str, answer: Streamed) -> list[Chunk]:
        found = decode(data, self._endpoint.name)
        if found.get("type") == "error":
            raise broken_off(found, self._endpoint.name, self._endpoint.api_key)
        return answer.take(found)
