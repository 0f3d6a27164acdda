"""OpenAI's Responses API, spoken to a provider that has it by a client that speaks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput, Call, Chunk, Message, Native, Usage

from .rejoin import rejoin
from .vendor import complaint, mapping, number, redact, text

#: The dialect of the clients of the Responses API.
RESPONSES = "openai-responses"

_LIMITS = ("max_tokens", "max_completion_tokens")
#: The events that end a stream, and those that end one of a response that is kept.
_ENDS = ("response.completed", "response.incomplete")
_KEPT_ENDS = (*_ENDS, "response.failed", "response.cancelled")


def responses_request(name: str, call: Call, native: Native) -> dict[str, Any]:
    """The client's own body, with what the house changed put into it."""
    found = rejoin(call, native)
    body: dict[str, Any] = {**native.body, "model": name, "stream": call.stream}
    if found.head is not None:
        body["instructions"] = "\n\n".join(_plain(message) for message in found.head)
    if found.before or any(chat is not None for _, chat in found.turns):
        turns = [list(items) if chat is None else _items(chat) for items, chat in found.turns]
        body["input"] = [*_items(found.before), *(item for turn in turns for item in turn)]
    for field, value in found.params.items():
        _put(body, field, value)
    return body


def _put(body: dict[str, Any], field: str, value: Any) -> None:
    """A chat param, which the house added, in the words of the Responses API."""
    if field in _LIMITS:
        body["max_output_tokens"] = value
    elif field == "reasoning_effort":
        body["reasoning"] = {**mapping(body.get("reasoning")), "effort": value}
    elif field == "response_format":
        schema = mapping(mapping(value).get("json_schema"))
        kind = mapping(value).get("type")
        body["text"] = {**mapping(body.get("text")), "format": {"type": kind, **schema}}
    elif field == "tools":
        body["tools"] = [{"type": "function", **mapping(mapping(tool).get("function"))} for tool in value]
    elif field == "tool_choice" and isinstance(value, Mapping):
        body["tool_choice"] = {"type": "function", "name": mapping(value.get("function")).get("name")}
    elif field in ("stop", "seed", "n", "logit_bias", "frequency_penalty", "presence_penalty"):
        raise BadInput("is set by the prompt, and the Responses API does not know it.", field=field)
    else:
        body[field] = value


def _items(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Chat messages as input items."""
    items: list[dict[str, Any]] = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            output = content if isinstance(content, str) else _parts(content)
            items.append({"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": output})
            continue
        if role != "assistant":
            items.append({"role": role, "content": content if isinstance(content, str) else _parts(content)})
            continue
        if content:
            items.append({"role": "assistant", "content": _plain(message)})
        for call in message.get("tool_calls") or ():
            function = mapping(call.get("function"))
            made = {"call_id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}
            items.append({"type": "function_call", **made})
    return items


def _parts(content: object) -> list[Any]:
    return [_part(mapping(part)) for part in content] if isinstance(content, list) else []


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part.get("text")}
    if kind == "image_url":
        image = mapping(part.get("image_url"))
        detail = {"detail": image["detail"]} if "detail" in image else {}
        return {"type": "input_image", "image_url": image.get("url"), **detail}
    if kind == "file":
        return {"type": "input_file", **mapping(part.get("file"))}
    return dict(part)


def _plain(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(text(part.get("text")) for part in content or () if isinstance(part, Mapping))


def responses_reply(body: Mapping[str, Any], vendor: str, secret: str) -> Chunk:
    """A response as the one Chunk of a plain reply. Raises ModelError when it says that it failed."""
    if body.get("status") == "failed":
        raise complaint(body.get("error"), vendor, secret)
    return stored_reply(body)


def ended(body: Mapping[str, Any]) -> bool:
    """Whether a response is as whole as it will be. One that is made in the background is not, at first."""
    return body.get("status") not in ("queued", "in_progress")


def stored_reply(body: Mapping[str, Any]) -> Chunk:
    """The same for a response that was made before, whatever became of it."""
    output = body.get("output")
    items = [mapping(item) for item in output] if isinstance(output, list) else []
    calls = [item for item in items if item.get("type") == "function_call"]
    return Chunk(
        text="".join(said_in(item) for item in items),
        finish=finish_of(body, bool(calls)) if ended(body) else None,
        usage=None if body.get("usage") is None else usage_of(mapping(body["usage"]), body.get("service_tier")),
        model=text(body.get("model")),
        tool_calls=tuple(_call(item, n, text(item.get("arguments"))) for n, item in enumerate(calls)),
        native=body,
    )


def said_in(item: Mapping[str, Any]) -> str:
    """The text of an output item that is a message."""
    content = item.get("content") if item.get("type") == "message" else ()
    parts: Sequence[Any] = content if isinstance(content, list) else ()
    return "".join(text(mapping(part).get("text")) for part in parts if mapping(part).get("type") == "output_text")


def finish_of(body: Mapping[str, Any], called: bool) -> str:
    """Why a response ended, in chat's words."""
    if body.get("status") == "incomplete":
        reason = mapping(body.get("incomplete_details")).get("reason")
        return "content_filter" if reason == "content_filter" else "length"
    return "tool_calls" if called else "stop"


def usage_of(usage: Mapping[str, Any], tier: object = None) -> Usage:
    """Tokens as the Responses API counts them; ``tier`` is the response's service tier."""
    read = mapping(usage.get("input_tokens_details"))
    return Usage(
        input_tokens=number(usage.get("input_tokens")),
        output_tokens=number(usage.get("output_tokens")),
        cached_tokens=number(read.get("cached_tokens")),
        reasoning_tokens=number(mapping(usage.get("output_tokens_details")).get("reasoning_tokens")),
        written_tokens=number(read.get("cache_write_tokens")),
        batch=tier == "flex",
    )


class ResponseEvents:
    """The events of one streamed response as Chunks, each event as it came.

    ``kept`` is for a response that is there also without this stream: what is told of it once it has begun passes as it
    is, also that it failed. OpenAI says so twice, in an event ``error`` and in one of the response. A stream that goes
    on from one of its events has ``begun``.
    """

    def __init__(self, vendor: str, secret: str, *, kept: bool = False, begun: bool = False) -> None:
        self._vendor = vendor
        self._secret = secret
        self._ends = _KEPT_ENDS if kept else _ENDS
        self._kept = kept
        self._begun = begun
        self._model = ""
        self._calls: dict[object, int] = {}  # the place of each call among the calls, by its place in the output

    def take(self, event: Mapping[str, Any]) -> Chunk:
        """Raises ModelError for an event that says that the response, or the stream, failed."""
        kind = text(event.get("type"))
        response = mapping(event.get("response"))
        self._model = text(response.get("model")) or self._model
        passes = self._kept and self._begun
        self._begun = self._begun or bool(response)
        if kind == "error" and passes:
            event = self._unkeyed(event)
        elif kind == "error" or (kind == "response.failed" and not self._kept):
            error = mapping(response.get("error")) or mapping(event.get("error")) or event
            raise complaint({"message": error.get("message"), "code": error.get("code")}, self._vendor, self._secret)
        said = text(event.get("delta")) if kind == "response.output_text.delta" else ""
        over = kind in self._ends
        return Chunk(
            text=said,
            finish=finish_of(response, bool(self._calls)) if over else None,
            usage=usage_of(mapping(response.get("usage")), response.get("service_tier"))
            if over and response.get("usage")
            else None,
            model=self._model,
            tool_calls=self._part_of_call(kind, event),
            native=event,
        )

    def _unkeyed(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """An event that tells of an error, with the key cut out of its words."""
        told: dict[str, Any] = {"message": redact(text(event["message"]), self._secret)} if "message" in event else {}
        error = event.get("error")
        if isinstance(error, Mapping):
            told["error"] = {**error, "message": redact(text(error.get("message")), self._secret)}
        return {**event, **told}

    def _part_of_call(self, kind: str, event: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        place = event.get("output_index")
        item = mapping(event.get("item"))
        if kind == "response.output_item.added" and item.get("type") == "function_call":
            self._calls[place] = len(self._calls)
            return (_call(item, self._calls[place], ""),)
        if kind == "response.function_call_arguments.delta" and place in self._calls:
            return ({"index": self._calls[place], "function": {"arguments": text(event.get("delta"))}},)
        return ()


def _call(item: Mapping[str, Any], index: int, arguments: str) -> dict[str, Any]:
    function = {"name": text(item.get("name")), "arguments": arguments}
    return {"index": index, "id": text(item.get("call_id")), "type": "function", "function": function}
