"""OpenAI's responses, written: the response object, its output items, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trimtab.core import Chunk, TrimtabError, Usage
from trimtab.gateway.live import LiveTrace
from trimtab.gateway.wire import SECOND, error_body

from .answer import Said, arguments_of, name_of, said
from .dividing import divided
from .thoughts import sealed

#: What a response repeats of its request, with what stands there where the request does not say.
_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def response_bytes(chunk: Chunk, live: LiveTrace) -> bytes:
    """A whole response: the vendor's own where it speaks the dialect, else written from chat."""
    if chunk.native is not None:
        return msgspec.json.encode(as_passed(chunk.native, chunk.text))
    status, details = ending_of(chunk.finish)
    response = response_of(live, chunk.model, status, output_of(said(chunk), live))
    response |= {"incomplete_details": details, "usage": usage_of(chunk.usage or Usage())}
    return msgspec.json.encode(response)


def response_of(live: LiveTrace, model: str, status: str, output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A response object. Nothing is stored here, and so it says."""
    asked = live.ask.native.body if live.ask.native else {}
    echoed = {field: asked[field] if asked.get(field) is not None else usual for field, usual in _ECHOED.items()}
    return {
        "id": f"resp_{live.trace_id}",
        "object": "response",
        "created_at": live.start_ns // SECOND,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model or live.ask.model,
        "output": list(output),
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **echoed,
    }


def output_of(read: Said, live: LiveTrace) -> list[dict[str, Any]]:
    """The output items of a whole answer."""
    output: list[dict[str, Any]] = []
    if read.thought or read.thoughts:
        output.append(reasoning_item(ident(live, "rs", 0), read.thought, read.thoughts))
    if read.text or read.refusal or not (read.calls or output):
        part = refusal_part(read.refusal) if read.refusal and not read.text else text_part(read.text, read.logprobs)
        output.append(message_item(ident(live, "msg", len(output)), [part]))
    for call in read.calls:
        number = len(output)
        output.append(call_item(ident(live, "fc", number), call_id(call, live, number), name_of(call)))
        output[-1]["arguments"] = arguments_of(call)
    return output


def ident(live: LiveTrace, kind: str, number: int) -> str:
    """The id of an output item."""
    return f"{kind}_{live.trace_id}{number:02x}"


def call_id(call: Mapping[str, Any], live: LiveTrace, number: int) -> str:
    """The call's own id, or one made here where the server gave none."""
    found = call.get("id")
    return found if isinstance(found, str) and found else f"call_{live.trace_id[:20]}_{number}"


def text_part(text: str, logprobs: Sequence[Any] = ()) -> dict[str, Any]:
    """A part of a message that is text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def refusal_part(text: str) -> dict[str, Any]:
    """A part of a message in which the model refuses."""
    return {"type": "refusal", "refusal": text}


def message_item(item_id: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    """What the model said."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def call_item(item_id: str, call: str, name: str, status: str = "completed") -> dict[str, Any]:
    """A function that the model calls; its arguments are still to be filled in."""
    return {"id": item_id, "type": "function_call", "status": status, "call_id": call, "name": name, "arguments": ""}


def reasoning_item(item_id: str, thought: str, blocks: Sequence[Any]) -> dict[str, Any]:
    """What the model thought; signed thoughts travel sealed, so that they can come back whole."""
    content = [{"type": "reasoning_text", "text": thought}] if thought else []
    item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": [], "content": content}
    return item | {"encrypted_content": sealed(blocks)} if blocks else item


def ending_of(finish: str | None) -> tuple[str, dict[str, str] | None]:
    """Status and details of a response that ended so."""
    if finish == "length":
        return "incomplete", {"reason": "max_output_tokens"}
    if finish == "content_filter":
        return "incomplete", {"reason": "content_filter"}
    return "completed", None


def usage_of(usage: Usage) -> dict[str, Any]:
    """Tokens as the Responses API shows them."""
    written = {"cache_write_tokens": usage.written_tokens} if usage.written_tokens else {}
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, **written},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def error_event(error: TrimtabError, number: int) -> dict[str, Any]:
    """The event that ends a stream which broke: OpenAI's clients look for ``error`` in it."""
    found = error_body(error)["error"]
    told = {"code": found["code"], "message": found["message"], "param": found["param"]}
    return {"type": "error", **told, "error": found, "sequence_number": number}


def texts_of(response: Mapping[str, Any]) -> list[tuple[tuple[int, int], Mapping[str, Any]]]:
    """The parts of a response's output that are text, each under (place in the output, place in the message)."""
    output = response.get("output")
    found: list[tuple[tuple[int, int], Mapping[str, Any]]] = []
    for place, item in enumerate(output if isinstance(output, list) else ()):
        content = item.get("content") if isinstance(item, Mapping) and item.get("type") == "message" else None
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, Mapping) and part.get("type") == "output_text":
                found.append(((place, number), part))
    return found


def with_texts(response: Mapping[str, Any], texts: Mapping[tuple[int, int], str]) -> Mapping[str, Any]:
    """A response in which these parts say this; what spells or points into the old text is left out."""
    output = [dict(item) if isinstance(item, Mapping) else item for item in response.get("output") or ()]
    for place, number in texts:
        content = output[place]["content"] = list(output[place]["content"])
        content[number] = {**content[number], **text_part(texts[place, number])}
    return {**response, "output": output}


def as_passed(response: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    """The vendor's response with the text that the guard let through; untouched where that is all of it."""
    parts = texts_of(response)
    told = [str(part.get("text") or "") for _, part in parts]
    if "".join(told) == text or not parts:
        return response
    passed = zip(parts, told, divided(text, told), strict=True)
    return with_texts(response, {place: after for (place, _), before, after in passed if after != before})
