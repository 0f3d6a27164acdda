"""Google's Gemini API behind the OpenAI shape: generateContent, plain and streamed, embeddings and token counts."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from trimtab.core import BadInput, Call, Chunk, Model, Native

from .chat import wants_usage
from .embeddings import EMBEDDINGS, embeddings_body, embeddings_reply, inputs_of
from .endpoint import Endpoint
from .estimate import COUNT, counted, estimate_tokens
from .exchange import Response
from .gemini_reply import Streamed, reply_of
from .gemini_request import request_of
from .rejoin import refuse_foreign
from .sse import EventDecoder
from .vendor import complaint, decode, mapping, number, refusal

DEFAULT_URL = "https://generativelanguage.googleapis.com/v1beta"
#: The largest body of an answer that holds embeddings, in bytes.
EMBEDDINGS_LIMIT = 64 << 20


class Gemini:
    """One endpoint of the Gemini API: ``POST {base_url}/models/{model}:generateContent``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._base = endpoint.url(DEFAULT_URL)

    def model(self, name: str) -> Model:
        """The model of that name; the vendor itself knows which names there are."""
        return functools.partial(self._answer, name)

    async def _answer(self, name: str, call: Call) -> AsyncIterator[Chunk]:
        refuse_foreign(call, self._endpoint.name)
        dialect = call.native.dialect if call.native is not None else ""
        if call.native is not None and dialect == EMBEDDINGS:
            yield await self._embed(name, call, call.native)
            return
        body = request_of(name, call)
        if dialect == COUNT:
            wrapped = {"generateContentRequest": {"model": f"models/{name}", **body}}
            found = await self._read(await self._post(name, "countTokens", wrapped, call))
            tokens = number(found.get("totalTokens"))
            yield counted(tokens, estimated=False) if tokens else counted(estimate_tokens(call), estimated=True)
            return
        if not call.stream:
            yield reply_of(await self._read(await self._post(name, "generateContent", body, call)))
            return
        response = await self._post(name, "streamGenerateContent?alt=sse", body, call)
        try:
            async for chunk in self._stream(response, Streamed(wants_usage(call))):
                yield chunk
        finally:
            await response.close()

    async def _embed(self, name: str, call: Call, native: Native) -> Chunk:
        inputs = inputs_of(call, native)
        if not all(isinstance(item, str) for item in inputs):
            raise BadInput("must be text: Gemini takes no token numbers.", field="input")
        more = {"outputDimensionality": native.body["dimensions"]} if "dimensions" in native.body else {}
        asked = [{"model": f"models/{name}", "content": {"parts": [{"text": item}]}, **more} for item in inputs]
        response = await self._post(name, "batchEmbedContents", {"requests": asked}, call)
        found = (await self._read(response, EMBEDDINGS_LIMIT)).get("embeddings")
        vectors = [mapping(item).get("values") or [] for item in found] if isinstance(found, list) else []
        # The API tells no usage for embeddings: about four bytes make a token.
        tokens = sum(len(item.encode()) for item in inputs) // 4 + 1
        return embeddings_reply(embeddings_body(native.body, vectors, name, tokens))

    async def _post(self, name: str, verb: str, body: Mapping[str, Any], call: Call) -> Response:
        headers = {"x-goog-api-key": self._endpoint.api_key} if self._endpoint.api_key else {}
        url = f"{self._base}/models/{quote(name, safe='')}:{verb}"
        response = await self._endpoint.post(url, headers, msgspec.json.encode(body), call.timeout)
        if response.status < 300:
            return response
        try:
            raise await refusal(response, self._endpoint.name, self._endpoint.api_key)
        finally:
            await response.close()

    async def _read(self, response: Response, limit: int = 16 << 20) -> dict[str, Any]:
        try:
            return decode(await response.read(limit), self._endpoint.name)
        finally:
            await response.close()

    async def _stream(self, response: Response, answer: Streamed) -> AsyncIterator[Chunk]:
        decoder = EventDecoder()
        async for data in response:
            for event in decoder.feed(data):
                for chunk in answer.take(self._checked(event.data)):
                    yield chunk
        for event in decoder.close():
            for chunk in answer.take(self._checked(event.data)):
                yield chunk
        for chunk in answer.close():
            yield chunk

    def _checked(self, data: str) -> dict[str, Any]:
        body = decode(data, self._endpoint.name)
        if body.get("error"):
            raise complaint(body["error"], self._endpoint.name, self._endpoint.api_key)
        return body
