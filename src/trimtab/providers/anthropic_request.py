"""A Call as a body of Anthropic's messages API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.core import BadInput, Call, Message, Native

from .rejoin import rejoin
from .vendor import mapping, text

#: Anthropic demands ``max_tokens``; this is sent when the client names none.
DEFAULT_MAX_TOKENS = 4096

_SAME = frozenset(
    {
        "temperature", "top_p", "top_k", "thinking", "cache_control", "container", "context_management", "mcp_servers",
        "inference_geo", "speed", "output_config",
    }
)  # fmt: skip
#: Values that say what goes without saying, and hints that change no answer.
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1, None),
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "logprobs": (False, None),
    "response_format": ({"type": "text"}, None),
    "tools": ([], None),
    "tool_choice": ("none", None),
    "modalities": (["text"], None),
    "store": (False, None),
    "reasoning_effort": (None,),
    "parallel_tool_calls": (True, None),
}
_HINTS = frozenset({"stream_options", "prompt_cache_key", "prompt_cache_retention"})
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_CHOICES = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}


def request_of(name: str, call: Call) -> dict[str, Any]:
    """The chat of a Call, translated. Raises BadInput naming what has no counterpart there."""
    body: dict[str, Any] = {"model": name, "max_tokens": DEFAULT_MAX_TOKENS, "stream": call.stream}
    body.update(_params(call.params))
    system, messages = _split(call.messages)
    if system:
        body["system"] = _system(system)
    body["messages"] = messages
    return body


def native_request(name: str, call: Call, native: Native) -> dict[str, Any]:
    """The client's own body, with what the house changed translated into it."""
    found = rejoin(call, native)
    body: dict[str, Any] = {**native.body, "model": name, "stream": call.stream}
    body.update(_params(found.params, body))
    system, messages = _split(found.before)
    if system or found.head is not None:
        own = native.body.get("system") if found.head is None else _split(found.head)[0]
        blocks = [*system, *([{"type": "text", "text": own}] if isinstance(own, str) else own or [])]
        body["system"] = _system(blocks)
        if not blocks:
            del body["system"]
    for items, chat in found.turns:
        messages.extend(map(_unforged, items) if chat is None else _split(chat)[1])
    body["messages"] = messages
    return body


def _unforged(item: Any) -> Any:
    """A message without the thinking that Anthropic did not sign: another model's, from an earlier turn."""
    content = mapping(item).get("content")
    if not isinstance(content, list):
        return item
    kept = [b for b in content if mapping(b).get("type") != "thinking" or mapping(b).get("signature")]
    return item if len(kept) == len(content) else {**item, "content": kept}


def _params(params: Mapping[str, Any], body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {}
    body = body or {}
    for field, value in params.items():
        if field in _SAME:
            out[field] = value
        elif field in ("max_tokens", "max_completion_tokens"):
            out["max_tokens"] = DEFAULT_MAX_TOKENS if value is None else value
        elif field == "stop":
            if value is not None:
                out["stop_sequences"] = [value] if isinstance(value, str) else value
        elif field in ("user", "safety_identifier"):
            out["metadata"] = {"user_id": value}
        elif field == "metadata" and set(mapping(value)) == {"user_id"}:
            out["metadata"] = value
        elif field == "service_tier":
            out[field] = "standard_only" if value == "default" else value
        elif field not in _HINTS and value not in _NEUTRAL.get(field, ()):
            _translate(field, value, {**body, **out}, out)
    if params.get("parallel_tool_calls") is False and (params.get("tools") or body.get("tools")):
        choice = out.get("tool_choice") or body.get("tool_choice") or {"type": "auto"}
        out["tool_choice"] = {**choice, "disable_parallel_tool_use": True}
    if params.get("tool_choice") == "none" and params.get("tools"):
        out["tool_choice"] = {"type": "none"}
    return out


def _translate(field: str, value: Any, body: Mapping[str, Any], out: dict[str, Any]) -> None:
    """A param that says the same in other words."""
    if field == "tools" and isinstance(value, list):
        out["tools"] = [_tool(tool, f"tools[{position}]") for position, tool in enumerate(value)]
    elif field == "tool_choice":
        out["tool_choice"] = _tool_choice(value)
    elif field == "parallel_tool_calls" and value is False:
        pass  # said in tool_choice, once that is known
    elif field == "response_format" and mapping(value).get("type") == "json_schema":
        schema = mapping(value["json_schema"]).get("schema") if "json_schema" in value else None
        if not isinstance(schema, dict):
            raise BadInput("is missing or not an object.", field="response_format.json_schema.schema")
        out["output_config"] = {
            **mapping(body.get("output_config")),
            "format": {"type": "json_schema", "schema": closed(schema)},
        }
    elif field == "response_format":
        raise BadInput(
            f"an Anthropic model has no {mapping(value).get('type')!r}.", field=field, mend="Give a json_schema."
        )
    elif field == "reasoning_effort" and value in _EFFORTS:
        out["output_config"] = {**mapping(body.get("output_config")), "effort": _EFFORTS[value]}
    elif field == "reasoning_effort" and value == "none":
        out["thinking"] = {"type": "disabled"}
    else:
        raise BadInput(
            f"an Anthropic model cannot be asked with {field!r} through this gateway.",
            field=field,
            mend="Leave it out, or route to an OpenAI-compatible model.",
        )


def _tool(tool: object, where: str) -> dict[str, Any]:
    found = mapping(tool)
    function = mapping(found.get("function"))
    if found.get("type") != "function" or not isinstance(function.get("name"), str):
        raise BadInput("must be a function with a name to reach an Anthropic model.", field=where)
    made: dict[str, Any] = {"name": function["name"]}
    if function.get("description") is not None:
        made["description"] = function["description"]
    made["input_schema"] = function.get("parameters") or {"type": "object", "properties": {}}
    if function.get("strict") is not None:
        made["strict"] = function["strict"]
    if "cache_control" in found:
        made["cache_control"] = found["cache_control"]
    return made


def _tool_choice(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value in _CHOICES:
        return dict(_CHOICES[value])
    name = mapping(mapping(value).get("function")).get("name")
    if mapping(value).get("type") == "function" and isinstance(name, str):
        return {"type": "tool", "name": name}
    raise BadInput(
        "has no counterpart at an Anthropic model.", field="tool_choice", mend="Use auto, none, required or a function."
    )


def _system(blocks: Sequence[Mapping[str, Any]]) -> str | list[Mapping[str, Any]]:
    """Text where text says it all, blocks where they carry more than text."""
    if all(block.keys() == {"type", "text"} for block in blocks):
        return "\n\n".join(block["text"] for block in blocks)
    return list(blocks)


def _split(messages: Iterable[Message]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt's blocks and the turns; neighbours of one role become one turn, as results of tools must."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        role = message.get("role")
        if role in ("system", "developer"):
            blocks = _parts(message.get("content"), where, images=False)
            plain = all(block.keys() == {"type", "text"} for block in blocks)
            system += [{"type": "text", "text": "".join(b["text"] for b in blocks)}] if plain else blocks
            continue
        if role == "tool":
            role, blocks = "user", [_result(message, where)]
        elif role == "assistant":
            blocks = _said(message, where)
        elif role == "user":
            blocks = _parts(message.get("content"), where, images=True)
        else:
            raise BadInput(f"the role {role!r} has no way to Anthropic.", field=f"{where}.role", mend="Use tool.")
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return system, turns


def _said(message: Message, where: str) -> list[dict[str, Any]]:
    """What the model said and did in an earlier turn."""
    blocks: list[dict[str, Any]] = []
    thought = message.get("thinking_blocks")
    if isinstance(thought, list):
        signed = [block for block in thought if mapping(block).get("signature") or mapping(block).get("data")]
        blocks += signed
    content = message.get("content")
    if content is not None:
        blocks += [b for b in _parts(content, where, images=False) if b.get("text") != ""]
    if isinstance(message.get("refusal"), str):
        blocks.append({"type": "text", "text": message["refusal"]})
    calls = message.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        blocks.append(_use(call, f"{where}.tool_calls[{position}]"))
    return blocks


def _use(call: object, where: str) -> dict[str, Any]:
    found = mapping(call)
    function = mapping(found.get("function"))
    if not isinstance(found.get("id"), str) or not isinstance(function.get("name"), str):
        raise BadInput("must be a function call with an id and a name.", field=where)
    arguments = function.get("arguments") or "{}"
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, TypeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadInput("must be a JSON object to reach an Anthropic model.", field=f"{where}.function.arguments")
    return {"type": "tool_use", "id": found["id"], "name": function["name"], "input": value}


def _result(message: Message, where: str) -> dict[str, Any]:
    if not isinstance(message.get("tool_call_id"), str):
        raise BadInput("is missing or not text.", field=f"{where}.tool_call_id")
    content = message.get("content")
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
    block["content"] = content if isinstance(content, str) else _parts(content, where, images=True)
    for name in ("is_error", "cache_control"):
        if name in message:
            block[name] = message[name]
    return block


def _parts(content: object, where: str, *, images: bool) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise BadInput("must be text or a list of parts.", field=f"{where}.content")
    return [_part(mapping(part), f"{where}.content[{n}]", images=images) for n, part in enumerate(content)]


def _part(part: Mapping[str, Any], where: str, *, images: bool) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        block: dict[str, Any] = {"type": "text", "text": part["text"]}
    elif kind == "refusal" and isinstance(part.get("refusal"), str):
        block = {"type": "text", "text": part["refusal"]}
    elif images and kind == "image_url":
        block = {"type": "image", "source": _source(text(mapping(part.get("image_url")).get("url")))}
    elif images and kind == "file" and text(mapping(part.get("file")).get("file_data")).startswith("data:"):
        file = mapping(part["file"])
        block = {"type": "document", "source": _source(file["file_data"])}
        if isinstance(file.get("filename"), str):
            block["title"] = file["filename"]
    else:
        raise BadInput(f"a part of type {kind!r} has no way to Anthropic here.", field=f"{where}.type")
    if "cache_control" in part:
        block["cache_control"] = part["cache_control"]
    return block


def _source(url: str) -> dict[str, str]:
    inline = re.match(r"data:([\w/.+-]+);base64,", url)
    if inline:
        return {"type": "base64", "media_type": inline[1], "data": url[inline.end() :]}
    return {"type": "url", "url": url}


def closed(schema: Any, depth: int = 0) -> Any:
    """The schema with every object closed that does not say whether it is.

    Anthropic takes closed objects only; OpenAI leaves them open unless the caller asks for ``strict``. What says that
    it is open stays so, and Anthropic refuses it with its own words. Below a hundred levels nothing is looked at.
    """
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return schema
    made = dict(schema)
    if schema.get("type") == "object" or "properties" in schema:
        made.setdefault("additionalProperties", False)
    for name in _MAPS & schema.keys():
        if isinstance(inner := schema[name], Mapping):
            made[name] = {key: closed(value, depth + 1) for key, value in inner.items()}
    for name in _LISTS & schema.keys():
        if isinstance(several := schema[name], list):
            made[name] = [closed(value, depth + 1) for value in several]
    if "items" in schema:
        made["items"] = closed(schema["items"], depth + 1)
    return made


_DEEPEST = 100
#: Keywords of JSON Schema that hold schemas by name, and those that hold a list of them.
_MAPS, _LISTS = frozenset({"properties", "$defs", "definitions"}), frozenset({"anyOf", "oneOf", "allOf"})
