"""What OpenAI checks in a request and how it answers, as far as a client can tell the difference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from strict_mind import Refused, Reply, check_schema, require

_CHAT_FIELDS = (
    "model messages stream stream_options temperature top_p n stop max_tokens max_completion_tokens "
    "presence_penalty frequency_penalty logit_bias logprobs top_logprobs user seed tools tool_choice "
    "parallel_tool_calls response_format reasoning_effort service_tier store metadata modalities prediction "
    "verbosity prompt_cache_key prompt_cache_retention safety_identifier web_search_options audio "
)
CHAT_FIELDS = frozenset(_CHAT_FIELDS.split())
_RESPONSES_FIELDS = (
    "model input instructions stream stream_options temperature top_p max_output_tokens max_tool_calls tools "
    "tool_choice parallel_tool_calls text reasoning include metadata store user service_tier truncation "
    "top_logprobs previous_response_id conversation background prompt prompt_cache_key prompt_cache_retention "
    "safety_identifier "
)
RESPONSES_FIELDS = frozenset(_RESPONSES_FIELDS.split())
MESSAGE_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "refusal", "audio", "function_call", "annotations"},
    "tool": {"role", "content", "tool_call_id"},
}
PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}


# Chat completions.


def check_chat(body: Mapping[str, Any]) -> None:
    for name in body:
        require(name in CHAT_FIELDS, f"Unrecognized request argument supplied: {name}", name)
    require(isinstance(body.get("model"), str), "you must provide a model parameter", "model")
    messages = body.get("messages")
    require(isinstance(messages, list) and bool(messages), "Missing required parameter: 'messages'.", "messages")
    assert isinstance(messages, list)
    open_calls: set[str] = set()
    for n, message in enumerate(messages):
        open_calls = _check_message(message, f"messages[{n}]", open_calls)
    require(not open_calls, "An assistant message with 'tool_calls' must be followed by tool messages", "messages")
    _check_settings(body, "max_tokens", "max_completion_tokens")
    require(not body.get("stream_options") or body.get("stream") is True, "only when stream is true", "stream_options")
    _check_tools(body, [tool.get("function") for tool in body.get("tools") or () if tool.get("type") == "function"])
    form = body.get("response_format")
    if form is not None:
        require(form.get("type") in ("text", "json_object", "json_schema"), "Invalid value", "response_format.type")
        if form["type"] == "json_schema":
            _check_format(form.get("json_schema") or {}, "response_format.json_schema")


def _check_message(message: Any, where: str, open_calls: set[str]) -> set[str]:
    require(isinstance(message, dict), "expected an object", where)
    role = message.get("role")
    require(role in MESSAGE_FIELDS, f"Invalid value: {role!r}.", f"{where}.role")
    for name in message:
        require(name in MESSAGE_FIELDS[role], f"Unknown parameter: '{where}.{name}'.", f"{where}.{name}")
    content = message.get("content")
    if role == "tool":
        found = message.get("tool_call_id")
        require(found in open_calls, "messages with role 'tool' must follow a message with 'tool_calls'", where)
        open_calls = open_calls - {found}
    else:
        require(not open_calls, f"tool_call_ids did not have response messages: {open_calls}", where)
    if role != "assistant" or not message.get("tool_calls"):
        require(content is not None, "Invalid value for 'content': expected a string, got null.", f"{where}.content")
    if isinstance(content, list):
        for n, part in enumerate(content):
            _check_part(part, role, f"{where}.content[{n}]")
    else:
        require(content is None or isinstance(content, str), "expected a string or array", f"{where}.content")
    for n, call in enumerate(message.get("tool_calls") or ()):
        spot = f"{where}.tool_calls[{n}]"
        require(call.keys() <= {"id", "type", "function"}, f"Unknown parameter in {spot}: {sorted(call)}", spot)
        require(isinstance(call.get("id"), str) and call.get("type") == "function", "Missing id or type", spot)
        function = call.get("function") or {}
        require(isinstance(function.get("name"), str), "Missing name", spot)
        require(isinstance(function.get("arguments"), str), "arguments must be a string", spot)
        open_calls = open_calls | {call["id"]}
    return open_calls


def _check_part(part: Any, role: str, where: str) -> None:
    require(isinstance(part, dict) and part.get("type") in PARTS[role], f"Invalid part for {role}: {part}", where)
    kind = part["type"]
    require(part.keys() == {"type", kind}, f"Unknown parameter in {where}: {sorted(part)}", where)
    if kind == "image_url":
        url = part[kind].get("url", "")
        require(url.startswith(("https://", "data:image/")), "Invalid image URL", where)


def _check_settings(body: Mapping[str, Any], *limits: str) -> None:
    temperature = body.get("temperature")
    if temperature is not None:
        require(0 <= temperature <= 2, "temperature must be between 0 and 2", "temperature")
    for name in limits:
        value = body.get(name)
        require(value is None or (isinstance(value, int) and value > 0), "must be a positive integer", name)
    stop = body.get("stop")
    require(stop is None or isinstance(stop, str) or len(stop) <= 4, "at most 4 sequences", "stop")
    effort = body.get("reasoning_effort")
    require(effort in (None, "none", "minimal", "low", "medium", "high", "xhigh"), f"no effort {effort}", "effort")


def _check_tools(body: Mapping[str, Any], functions: list[Any]) -> None:
    tools = body.get("tools")
    require(tools is None or len(functions) == len(tools) > 0, "tools must be functions here", "tools")
    for n, function in enumerate(functions):
        where = f"tools[{n}]"
        require(isinstance(function, dict) and isinstance(function.get("name"), str), "Missing name", where)
        known = {"type", "name", "description", "parameters", "strict"}
        require(function.keys() <= known, f"Unknown parameter in {where}: {sorted(function)}", where)
        if function.get("parameters") is not None:
            check_schema(function["parameters"], where, strict=bool(function.get("strict")))
    require(not body.get("tool_choice") or bool(tools), "'tool_choice' needs 'tools'", "tool_choice")
    require(body.get("parallel_tool_calls") is None or bool(tools), "needs 'tools'", "parallel_tool_calls")


def _check_format(form: Mapping[str, Any], where: str) -> None:
    require(isinstance(form.get("name"), str), f"Missing required parameter: '{where}.name'.", f"{where}.name")
    require(isinstance(form.get("schema"), dict), f"Missing required parameter: '{where}.schema'.", where)
    check_schema(form["schema"], where, strict=bool(form.get("strict")))


def chat_reply(body: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None, "annotations": []}
    if reply.calls:
        message["tool_calls"] = [_chat_call(call) for call in reply.calls]
    choices = [
        {"index": n, "message": message, "logprobs": _logprobs(body, reply.text), "finish_reason": _finish(reply)}
        for n in range(body.get("n") or 1)
    ]
    return _chat_head(body, "chat.completion") | {"choices": choices, "usage": _chat_usage(reply)}


def chat_events(body: Mapping[str, Any], reply: Reply) -> Iterator[str]:
    head = _chat_head(body, "chat.completion.chunk")
    wanted = bool((body.get("stream_options") or {}).get("include_usage"))

    def event(n: int, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> str:
        choice = {"index": n, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return json.dumps(head | {"choices": [choice]} | ({"usage": None} if wanted else {}))

    for n in range(body.get("n") or 1):
        yield event(n, {"role": "assistant", "content": None if reply.calls else "", "refusal": None})
        for word in reply.words:
            yield event(n, {"content": word}, None, _logprobs(body, word))
        for place, call in enumerate(reply.calls):
            made = _chat_call(call)
            yield event(n, {"tool_calls": [{"index": place, **made, "function": {"name": call.name, "arguments": ""}}]})
            for part in call.parts:
                yield event(n, {"tool_calls": [{"index": place, "function": {"arguments": part}}]})
        yield event(n, {}, _finish(reply))
    if wanted:
        yield json.dumps(head | {"choices": [], "usage": _chat_usage(reply)})
    yield "[DONE]"


def _chat_head(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    named = f"{body['model']}-2026-01-01"
    return {
        "id": "chatcmpl-strict", "object": kind, "created": 1_760_000_000, "model": named, "service_tier": "default",
        "system_fingerprint": "fp_strict",
    }  # fmt: skip


def _chat_call(call: Any) -> dict[str, Any]:
    return {"id": call.ident, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "length" if reply.cut else "stop"


def _chat_usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.read, "completion_tokens": reply.wrote, "total_tokens": reply.read + reply.wrote,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }  # fmt: skip


def _logprobs(body: Mapping[str, Any], text: str) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None
    token = {"token": text, "logprob": -0.25, "bytes": list(text.encode())}
    return {"content": [token | {"top_logprobs": [token]}], "refusal": None}


# Responses.


def check_responses(body: Mapping[str, Any], called_before: Iterable[str] = ()) -> None:
    for name in body:
        require(name in RESPONSES_FIELDS, f"Unknown parameter: '{name}'.", name)
    require(isinstance(body.get("model"), str), "Missing required parameter: 'model'.", "model")
    given = body.get("input")
    require(isinstance(given, str | list) and bool(given), "Missing required parameter: 'input'.", "input")
    called = set(called_before)
    for n, item in enumerate(given if isinstance(given, list) else ()):
        _check_item(item, f"input[{n}]", called)
    _check_settings(body, "max_output_tokens")
    _check_tools(body, [tool for tool in body.get("tools") or () if tool.get("type") == "function"])
    form = (body.get("text") or {}).get("format")
    if form is not None and form.get("type") == "json_schema":
        _check_format(form, "text.format")


def _check_item(item: Mapping[str, Any], where: str, called: set[str]) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = item.get("role")
        require(role in ("user", "assistant", "system", "developer"), f"Invalid value: {role!r}", f"{where}.role")
        allowed = {"output_text", "refusal"} if role == "assistant" else {"input_text", "input_image", "input_file"}
        content = item.get("content")
        require(isinstance(content, str | list), "content", f"{where}.content")
        for part in content if isinstance(content, list) else ():
            require(part.get("type") in allowed, f"Invalid value: {part.get('type')!r}", f"{where}.content")
    elif kind == "function_call":
        require(all(isinstance(item.get(n), str) for n in ("call_id", "name", "arguments")), "function_call", where)
        called.add(item["call_id"])
    elif kind == "function_call_output":
        require(item.get("call_id") in called, f"No tool call found for {item.get('call_id')}.", where)
    elif kind == "reasoning":
        require(isinstance(item.get("summary"), list), f"Missing required parameter: '{where}.summary'.", where)
        sealed = item.get("encrypted_content")
        require(sealed is None or sealed == "sealed-by-openai", "Encrypted content could not be verified.", where)
    else:
        raise Refused(400, f"Invalid value: {kind!r}.", f"{where}.type")


def response_reply(
    body: Mapping[str, Any], reply: Reply, status: str = "", *, ident: str = "resp_strict"
) -> dict[str, Any]:
    status = status or ("incomplete" if reply.cut else "completed")
    done = status in ("completed", "incomplete")
    return {
        "id": ident, "object": "response", "created_at": 1_760_000_000, "status": status,
        "background": bool(body.get("background")), "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"), "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None, "model": f"{body['model']}-2026-01-01",
        "output": list(items_of(body, reply)) if done else [], "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None}, "service_tier": "default", "store": body.get("store", True),
        "temperature": 1.0, "text": body.get("text") or {"format": {"type": "text"}}, "tools": body.get("tools") or [],
        "tool_choice": body.get("tool_choice", "auto"), "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
        "metadata": {}, "user": None, "x_unknown_to_all": {"kept": [1, None]},
        "usage": {
            "input_tokens": reply.read, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": reply.wrote,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": reply.read + reply.wrote,
        } if done else None,
    }  # fmt: skip


def items_of(body: Mapping[str, Any], reply: Reply) -> Iterator[dict[str, Any]]:
    if body.get("reasoning"):
        sealed = "reasoning.encrypted_content" in (body.get("include") or ())
        item = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Let me see."}]}
        yield item | ({"encrypted_content": "sealed-by-openai"} if sealed else {})
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        yield {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    for n, call in enumerate(reply.calls):
        made = {"call_id": call.ident, "name": call.name, "arguments": call.arguments}
        yield {"id": f"fc_{n}", "type": "function_call", "status": "completed", **made}


def response_events(body: Mapping[str, Any], reply: Reply, ident: str = "resp_strict") -> Iterator[str]:
    number = -1

    def event(kind: str, **fields: Any) -> str:
        nonlocal number
        number += 1
        return json.dumps({"type": kind, "sequence_number": number, **fields})

    begun = response_reply(body, reply, "in_progress", ident=ident)
    if body.get("background"):
        queued = response_reply(body, reply, "queued", ident=ident)
        yield event("response.created", response=queued)
        yield event("response.queued", response=queued)
    else:
        yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for place, item in enumerate(items_of(body, reply)):
        here = {"item_id": item["id"], "output_index": place}
        blank = {"content": [], "summary": []}.keys() & item.keys()
        empty = {"arguments": ""} if "arguments" in item else {}
        opened = item | {name: [] for name in blank} | empty
        yield event("response.output_item.added", output_index=place, item=opened)
        if item["type"] == "message":
            part = item["content"][0]
            yield event("response.content_part.added", **here, content_index=0, part=part | {"text": ""})
            for word in reply.words:
                yield event("response.output_text.delta", **here, content_index=0, delta=word, logprobs=[])
            yield event("response.output_text.done", **here, content_index=0, text=reply.text, logprobs=[])
            yield event("response.content_part.done", **here, content_index=0, part=part)
        elif item["type"] == "function_call":
            call = next(call for call in reply.calls if call.ident == item["call_id"])
            for piece in call.parts:
                yield event("response.function_call_arguments.delta", **here, delta=piece)
            yield event("response.function_call_arguments.done", **here, name=call.name, arguments=call.arguments)
        yield event("response.output_item.done", output_index=place, item=item)
    end = response_reply(body, reply, ident=ident)
    yield event(f"response.{end['status']}", response=end)
