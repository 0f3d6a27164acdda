"""What Anthropic checks in a request and how it answers, as far as a client can tell the difference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from strict_mind import Refused, Reply, check_schema, require

_FIELDS = (
    "model messages max_tokens system stream temperature top_p top_k stop_sequences tools tool_choice thinking "
    "metadata service_tier cache_control container context_management mcp_servers output_config inference_geo "
)
FIELDS = frozenset(_FIELDS.split())
_COUNT_FIELDS = "model messages system tools tool_choice thinking cache_control output_config mcp_servers "
COUNT_FIELDS = frozenset(_COUNT_FIELDS.split())
BLOCKS = {
    "text": {"type", "text", "cache_control", "citations"},
    "image": {"type", "source", "cache_control"},
    "document": {"type", "source", "title", "context", "cache_control", "citations"},
    "tool_use": {"type", "id", "name", "input", "cache_control", "caller"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
OF_ROLE = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
}
SIGNATURE = "signed-by-anthropic"


def check_messages(body: Mapping[str, Any], *, counting: bool = False) -> None:
    for name in body:
        require(name in (COUNT_FIELDS if counting else FIELDS), f"{name}: Extra inputs are not permitted")
    require(isinstance(body.get("model"), str), "model: Field required")
    if not counting:
        limit = body.get("max_tokens")
        require(isinstance(limit, int) and limit > 0, "max_tokens: Field required")
    messages = body.get("messages")
    require(isinstance(messages, list) and bool(messages), "messages: at least one message is required")
    assert isinstance(messages, list)
    _check_system(body.get("system"))
    expected, calls = "user", set()
    for n, message in enumerate(messages):
        role = message.get("role")
        require(role in OF_ROLE, f"messages.{n}.role: Input should be 'user' or 'assistant'")
        require(role == expected, f"messages.{n}: roles must alternate, expected {expected}")
        require(message.keys() == {"role", "content"}, f"messages.{n}: Extra inputs are not permitted")
        calls = _check_content(message["content"], role, f"messages.{n}", calls)
        expected = "assistant" if role == "user" else "user"
    require(not calls, f"`tool_use` ids were found without `tool_result` blocks immediately after: {sorted(calls)}")
    _check_settings(body)
    _check_thinking(body, messages)


def _check_system(system: Any) -> None:
    require(system is None or isinstance(system, str | list), "system: Input should be a valid string or list")
    for n, block in enumerate(system if isinstance(system, list) else ()):
        _check_block(block, {"text"}, f"system.{n}")


def _check_content(content: Any, role: str, where: str, calls: set[str]) -> set[str]:
    """The ids that the next turn must bring results for."""
    if isinstance(content, str):
        require(bool(content), f"{where}: content must be non-empty")
        require(not calls, f"{where}: `tool_result` blocks are missing for {sorted(calls)}")
        return set()
    require(isinstance(content, list) and bool(content), f"{where}.content: must be non-empty")
    made: set[str] = set()
    answered: set[str] = set()
    for n, block in enumerate(content):
        spot = f"{where}.content.{n}"
        _check_block(block, OF_ROLE[role], spot)
        if block["type"] == "tool_use":
            require(isinstance(block.get("input"), dict), f"{spot}.input: Input should be a valid dictionary")
            require(bool(re.fullmatch(r"[a-zA-Z0-9_-]+", block.get("id", ""))), f"{spot}.id: String should match")
            made.add(block["id"])
        if block["type"] == "tool_result":
            found = block.get("tool_use_id")
            require(found in calls, f"{spot}: unexpected `tool_use_id` found in `tool_result` blocks: {found}")
            require(n == len(answered), f"{spot}: `tool_result` blocks must come first")
            answered.add(found)
    require(answered == calls, f"{where}: `tool_result` blocks are missing for {sorted(calls - answered)}")
    return made


def _check_block(block: Any, allowed: set[str], where: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    require(kind in allowed, f"{where}.type: {kind!r} is not allowed here")
    assert isinstance(kind, str)
    require(block.keys() <= BLOCKS[kind], f"{where}: Extra inputs are not permitted: {sorted(block)}")
    if kind == "text":
        require(bool(block.get("text")), f"{where}.text: text content blocks must be non-empty")
    if kind == "thinking":
        require(block.get("signature") == SIGNATURE, f"{where}: Invalid `signature` in `thinking` block")
    if kind in ("image", "document"):
        require(block["source"].get("type") in ("base64", "url", "text"), f"{where}.source.type")
    if kind == "tool_result" and isinstance(block.get("content"), list):
        for n, inner in enumerate(block["content"]):
            _check_block(inner, {"text", "image", "document"}, f"{where}.content.{n}")


def _check_settings(body: Mapping[str, Any]) -> None:
    temperature = body.get("temperature")
    require(temperature is None or 0 <= temperature <= 1, "temperature: range: 0..1")
    for sequence in body.get("stop_sequences") or ():
        require(bool(sequence.strip()), "stop_sequences: each stop sequence must contain non-whitespace")
    tools = body.get("tools")
    for n, tool in enumerate(tools or ()):
        known = {"name", "description", "input_schema", "type", "cache_control", "strict", "eager_input_streaming"}
        require(tool.keys() <= known, f"tools.{n}: Extra inputs are not permitted: {sorted(tool)}")
        require(bool(re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool.get("name", ""))), f"tools.{n}.name")
        require(isinstance(tool.get("input_schema"), dict), f"tools.{n}.input_schema: Field required")
        check_schema(tool["input_schema"], f"tools.{n}", strict=False)
    choice = body.get("tool_choice")
    if choice is not None:
        require(bool(tools), "tool_choice may only be specified while providing tools")
        require(choice.get("type") in ("auto", "any", "tool", "none"), "tool_choice.type")
        require(choice.keys() <= {"type", "name", "disable_parallel_tool_use"}, "tool_choice: Extra inputs")
    require((body.get("metadata") or {}).keys() <= {"user_id"}, "metadata: Extra inputs are not permitted")
    form = (body.get("output_config") or {}).get("format")
    if form is not None:
        require(form.keys() == {"type", "schema"} and form["type"] == "json_schema", "output_config.format")
        check_schema(form["schema"], "output_config.format.schema", strict=False)
        require(form["schema"].get("additionalProperties") is False, "'additionalProperties' must be false")


def _check_thinking(body: Mapping[str, Any], messages: list[Any]) -> None:
    thinking = body.get("thinking")
    if not thinking or thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    require(isinstance(budget, int) and budget >= 1024, "thinking.enabled.budget_tokens: at least 1024")
    require(budget < body.get("max_tokens", 1 << 30), "`max_tokens` must be greater than `thinking.budget_tokens`")
    for n, message in enumerate(messages):
        content = message["content"]
        if message["role"] == "assistant" and isinstance(content, list) and content[-1]["type"] == "tool_use":
            first = content[0]["type"]
            require("thinking" in first, f"messages.{n}.content.0.type: Expected `thinking`, but found `{first}`")


def check_headers(headers: Mapping[str, str], key: str) -> None:
    if headers.get("x-api-key") != key:
        raise Refused(401, "invalid x-api-key")
    if headers.get("anthropic-version") != "2023-06-01":
        raise Refused(400, "anthropic-version: header is required")


def message_reply(body: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    reason = "tool_use" if reply.calls else "max_tokens" if reply.cut else "end_turn"
    return _head(body, reply) | {
        "content": _content(body, reply), "stop_reason": reason, "stop_sequence": None, "usage": _usage(reply),
        "x_unknown_to_all": {"kept": [1, None]},
    }  # fmt: skip


def message_events(body: Mapping[str, Any], reply: Reply) -> Iterator[str]:
    whole = message_reply(body, reply)
    start = _head(body, reply) | {"content": [], "stop_reason": None, "stop_sequence": None}
    yield _event("message_start", message=start | {"usage": _usage(reply) | {"output_tokens": 1}})
    yield _event("ping")
    for n, block in enumerate(whole["content"]):
        blank = {"text": "", "thinking": "", "signature": "", "input": {}}
        opened = {name: blank.get(name, value) for name, value in block.items()}
        yield _event("content_block_start", index=n, content_block=opened)
        for delta in _deltas(block, reply):
            yield _event("content_block_delta", index=n, delta=delta)
        yield _event("content_block_stop", index=n)
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage=_usage(reply))
    yield _event("message_stop")


def _content(body: Mapping[str, Any], reply: Reply) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if (body.get("thinking") or {}).get("type") == "enabled":
        content.append({"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    for call in reply.calls:
        content.append({"type": "tool_use", "id": call.ident, "name": call.name, "input": json.loads(call.arguments)})
    return content


def _deltas(block: Mapping[str, Any], reply: Reply) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": word} for word in reply.words)
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": word} for word in ("Let ", "me ", "see."))
        yield {"type": "signature_delta", "signature": SIGNATURE}
    else:
        call = next(call for call in reply.calls if call.ident == block["id"])
        yield {"type": "input_json_delta", "partial_json": ""}
        yield from ({"type": "input_json_delta", "partial_json": part} for part in call.parts)


def _head(body: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    return {"id": "msg_strict", "type": "message", "role": "assistant", "model": f"{body['model']}-20260101"}


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "input_tokens": reply.read - 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3,
        "output_tokens": reply.wrote, "service_tier": "standard",
    }  # fmt: skip


def _event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})
