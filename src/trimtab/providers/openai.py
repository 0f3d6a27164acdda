"""Any vendor or server that speaks OpenAI's dialect: chat completions, embeddings and, where there, responses."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import msgspec

from trimtab.core import BadInput, Call, Chunk, Model, ModelError, Native, Usage, evolve

from .chat import wants_usage
from .embeddings import EMBEDDINGS, embeddings_reply, embeddings_request
from .endpoint import Endpoint
from .estimate import COUNT, counted, estimate_tokens
from .exchange import Response
from .http import Way
from .presets import Preset
from .rejoin import refuse_foreign
from .responses import RESPONSES, ResponseEvents, responses_reply, responses_request
from .sse import EventDecoder
from .vendor import complaint, decode, mapping, number, refusal, text

_ENDED = "[DONE]"
#: What a server answers that does not know a path.
_NO_SUCH_PATH = (404, 405, 501)


class OpenAI:
    """One OpenAI-compatible endpoint: ``POST {base_url}/chat/completions`` and its neighbours."""

    def __init__(self, endpoint: Endpoint, preset: Preset) -> None:
        self._endpoint = endpoint
        self._preset = preset
        self._base = endpoint.url(preset.base_url)
        self._no_stream_options = not preset.stream_options
        self._responses = preset.responses
        self._headers = {stream: self._headers_of(stream) for stream in (True, False)}
        self._ways: dict[tuple[str, bool], Way] = {}  # by path, and whether a stream is asked for

    def model(self, name: str) -> Model:
        """The model of that name at this endpoint; the endpoint itself knows which names there are."""
        return _Model(self, name)

    def answer(self, name: str, call: Call) -> AsyncIterator[Chunk]:
        """The answer of one model, piece by piece."""
        return self._chat(name, call) if call.native is None else self._translated(name, call, call.native)

    async def whole(self, name: str, call: Call) -> Chunk:
        """The answer to a call that does not stream."""
        if call.native is not None:
            pieces = [chunk async for chunk in self._translated(name, call, call.native)]
            return pieces[0]
        response = await self._post_chat(name, call, False)
        if response.status >= 300:
            raise await self._refused(response)
        try:
            return whole(decode(await response.read(), self._endpoint.name))
        finally:
            await response.close()

    @property
    def keeps(self) -> bool:
        """Whether it has a Responses API, and so keeps the responses that it makes."""
        return self._responses

    async def kept(self, method: str, path: str, query: str, seconds: float) -> Mapping[str, Any]:
        """What it says of a response that it keeps: ``path`` begins with the response's id. Raises ModelError, and
        BadInput for a query that is not percent-encoded."""
        response = await self._about_kept(method, path, query, seconds)
        try:
            return decode(await response.read(), self._endpoint.name)
        finally:
            await response.close()

    async def kept_stream(
        self, path: str, query: str, seconds: float, first_byte: float, *, begun: bool
    ) -> AsyncGenerator[Chunk]:
        """The events of a response that it keeps, within ``seconds``, their head within ``first_byte``. ``begun`` says
        that the query leaves out the first ones. Raises what ``kept`` raises, and BadInput where it gives no stream."""
        vendor, secret = self._endpoint.name, self._endpoint.api_key
        response = await self._about_kept("GET", path, query, seconds, first_byte)
        try:
            if "event-stream" not in response.headers.get("content-type", ""):
                mend = "Fetch it without."
                raise BadInput(f"is nothing that {vendor} gives for this response.", field="stream", mend=mend)
            events = ResponseEvents(vendor, secret, kept=True, begun=begun)
            async with aclosing(self._stream(response, events.take)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            await response.close()

    async def _about_kept(
        self, method: str, path: str, query: str, seconds: float, first_byte: float | None = None
    ) -> Response:
        """The head of what it says about a response that it keeps: of a stream, where there is a time for its head."""
        path = f"/responses/{path}"
        url = self._url(path, "") if self._preset.key_header == "api-key" else self._base + path
        if query:
            url += f"{'&' if '?' in url else '?'}{query}"
        way = self._endpoint.way(url, self._headers[first_byte is not None], method)
        within = self._endpoint.within(seconds)
        response = await self._endpoint.http.send(way, b"", timeout=within, first_byte=first_byte)
        if response.status >= 300:
            raise await self._refused(response)
        return response

    async def _translated(self, name: str, call: Call, native: Native) -> AsyncIterator[Chunk]:
        """The answer to a client of another dialect: in it where the server has it too, else by way of chat."""
        if native.dialect == EMBEDDINGS:
            yield embeddings_reply(await self._embeddings(name, call, native))
            return
        if native.dialect == COUNT:
            refuse_foreign(call, self._endpoint.name)
            yield counted(estimate_tokens(call), estimated=True)
            return
        if native.dialect == RESPONSES and self._responses:
            answered = await self._ask_responses(name, call, native)
            if answered is not None:
                async for chunk in self._read_responses(answered, call):
                    yield chunk
                return
        refuse_foreign(call, self._endpoint.name)
        async for chunk in self._chat(name, call):
            yield chunk

    # Chat completions.

    async def _chat(self, name: str, call: Call) -> AsyncIterator[Chunk]:
        response, added = await self._ask(name, call)
        try:
            kind = response.headers.get("content-type", "")
            # A server that was asked for a stream may still answer with a plain reply.
            if not call.stream or ("json" in kind and "event-stream" not in kind):
                yield whole(decode(await response.read(), self._endpoint.name))
                return
            async for chunk in self._stream(response, functools.partial(self._piece, added)):
                yield chunk
        finally:
            await response.close()

    async def _ask(self, name: str, call: Call) -> tuple[Response, bool]:
        """The accepted request, and whether we asked for usage where the client had not."""
        added = call.stream and not self._no_stream_options and not wants_usage(call)
        response = await self._post_chat(name, call, added)
        if added and response.status in (400, 422):
            error = await self._refused(response)
            if "stream_options" not in error.message and "include_usage" not in error.message:
                raise error
            # Servers that do not know the field refuse the whole request: ask once without it, and remember.
            self._no_stream_options, added = True, False
            response = await self._post_chat(name, call, added)
        if response.status >= 300:
            raise await self._refused(response)
        return response, added

    def _post_chat(self, name: str, call: Call, add_usage: bool) -> Awaitable[Response]:
        body: dict[str, Any] = {**call.params, "model": name, "messages": call.messages, "stream": call.stream}
        if call.native is not None:
            body["messages"] = [_plain_message(message, self._preset.reasoning_in) for message in call.messages]
        if "max_completion_tokens" in body and not self._preset.new_limit:
            body["max_tokens"] = body.pop("max_completion_tokens")
        if add_usage:
            body["stream_options"] = {**mapping(call.params.get("stream_options")), "include_usage": True}
        return self._post("/chat/completions", name, body, call)

    def _piece(self, added: bool, body: Mapping[str, Any]) -> Chunk:
        if body.get("error"):
            raise complaint(body["error"], self._endpoint.name, self._endpoint.api_key)
        return piece(body, hide=added and not body.get("choices") and bool(body.get("usage")))

    # Embeddings and responses.

    async def _embeddings(self, name: str, call: Call, native: Native) -> Mapping[str, Any]:
        response = await self._post("/embeddings", name, embeddings_request(name, call, native), call)
        if response.status >= 300:
            raise await self._refused(response)
        try:
            return decode(await response.read(64 << 20), self._endpoint.name)
        finally:
            await response.close()

    async def _ask_responses(self, name: str, call: Call, native: Native) -> Response | None:
        """The accepted request; None where the server has no Responses API, which is then remembered."""
        response = await self._post("/responses", name, responses_request(name, call, native), call)
        if response.status < 300:
            return response
        error = await self._refused(response)
        if native.body.get("previous_response_id"):  # which was made there, so what is missing is that one (vLLM: 404)
            raise error
        if response.status in _NO_SUCH_PATH and "model" not in error.message.lower() and name not in error.message:
            self._responses = False
            return None
        raise error

    async def _read_responses(self, response: Response, call: Call) -> AsyncIterator[Chunk]:
        vendor, secret = self._endpoint.name, self._endpoint.api_key
        try:
            if not call.stream:
                yield responses_reply(decode(await response.read(), vendor), vendor, secret)
                return
            kept = call.native is not None and bool(call.native.body.get("background"))
            async for chunk in self._stream(response, ResponseEvents(vendor, secret, kept=kept).take):
                yield chunk
        finally:
            await response.close()

    # What they share.

    def _post(self, path: str, name: str, body: Mapping[str, Any], call: Call) -> Awaitable[Response]:
        stream, data = bool(body.get("stream")), msgspec.json.encode(body)
        if self._preset.key_header == "api-key":
            return self._endpoint.post(self._url(path, name), self._headers[stream], data, call.timeout)
        way = self._ways.get((path, stream))
        if way is None:
            way = self._ways[path, stream] = self._endpoint.way(self._base + path, self._headers[stream])
        return self._endpoint.http.send(way, data, timeout=self._endpoint.within(call.timeout))

    def _headers_of(self, stream: bool) -> Mapping[str, str]:
        headers = {"accept": "text/event-stream" if stream else "application/json"}
        if key := self._endpoint.api_key:
            named = self._preset.key_header
            headers[named] = f"Bearer {key}" if named == "authorization" else key
        return headers

    def _url(self, path: str, name: str) -> str:
        """An address of Azure: its newer ones are OpenAI's; a version asks for the older ones, which name the
        deployment."""
        if not self._endpoint.api_version:
            return self._base + ("" if self._base.endswith("/v1") else "/openai/v1") + path
        where = "" if path.startswith("/responses") else f"/deployments/{quote(name, safe='')}"
        return f"{self._base}/openai{where}{path}?api-version={quote(self._endpoint.api_version)}"

    async def _refused(self, response: Response) -> ModelError:
        try:
            return await refusal(response, self._endpoint.name, self._endpoint.api_key)
        finally:
            await response.close()

    async def _stream(self, response: Response, take: Callable[[Mapping[str, Any]], Chunk]) -> AsyncGenerator[Chunk]:
        decoder = EventDecoder()
        async for data in response:
            events = decoder.feed(data)
            for left, event in enumerate(events, 1 - len(events)):
                if event.data == _ENDED:
                    await self._drain(response)
                    return
                chunk = take(decode(event.data, self._endpoint.name))
                yield evolve(chunk, more=True) if left else chunk
        for event in decoder.close():
            if event.data != _ENDED:
                yield take(decode(event.data, self._endpoint.name))

    async def _drain(self, response: Response) -> None:
        """Read the last bytes of a finished stream, so that the connection can be used again; but never wait long."""
        try:
            async with asyncio.timeout(0.1):
                await response.read(1 << 16)
        except (ModelError, TimeoutError):
            await response.close()  # the answer is whole: how the connection ended does not matter


class _Model:
    """One model of an endpoint: asked for a stream of pieces, or for a whole answer."""

    __slots__ = ("_name", "_provider")

    def __init__(self, provider: OpenAI, name: str) -> None:
        self._provider = provider
        self._name = name

    def __call__(self, call: Call) -> AsyncIterator[Chunk]:
        return self._provider.answer(self._name, call)

    def whole(self, call: Call) -> Awaitable[Chunk]:
        """The answer to a call that does not stream, as one piece."""
        return self._provider.whole(self._name, call)


def _plain_message(message: Mapping[str, Any], reasoning: bool) -> Mapping[str, Any]:
    """A message of a translated request without what only its own dialect understands."""
    unknown = {"thinking_blocks", "is_error", "cache_control"} | (set() if reasoning else {"reasoning_content"})
    if not unknown.isdisjoint(message):
        message = {name: value for name, value in message.items() if name not in unknown}
    content = message.get("content")
    if isinstance(content, list) and any("cache_control" in part for part in content):
        parts = [{name: value for name, value in part.items() if name != "cache_control"} for part in content]
        message = {**message, "content": parts}
    return message


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
    tools, told = message.get("tool_calls"), body.get("usage")
    usage = usage_of(told) if told is not None else None
    if usage is not None and body.get("service_tier") == "flex":
        usage = evolve(usage, batch=True)
    said, model, fingerprint = message.get("content"), body.get("model"), body.get("system_fingerprint")
    return Chunk(
        text=said if isinstance(said, str) else "",
        finish=finish,
        usage=usage,
        model=model if isinstance(model, str) else "",
        fingerprint=fingerprint if isinstance(fingerprint, str) else "",
        tool_calls=tuple([tool for tool in tools if isinstance(tool, dict)]) if isinstance(tools, list) else (),
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
    """Tokens as OpenAI counts them: cached and reasoning ones are parts of the totals.

    Some vendors (xAI) leave the reasoning out of the completion; their total then holds all three.
    """
    if not isinstance(value, dict):
        return None
    read, written = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    asked, said = number(value.get("prompt_tokens")), number(value.get("completion_tokens"))
    cached, put = 0, 0
    if isinstance(read, dict):
        cached, put = number(read.get("cached_tokens")), number(read.get("cache_write_tokens"))
    elif "prompt_cache_hit_tokens" in value:  # DeepSeek's own word
        cached = number(value["prompt_cache_hit_tokens"])
    thought = number(written.get("reasoning_tokens")) if isinstance(written, dict) else 0
    if thought and value.get("total_tokens") == asked + said + thought:
        said += thought
    return Usage(
        input_tokens=asked, output_tokens=said, cached_tokens=cached, reasoning_tokens=thought, written_tokens=put
    )
