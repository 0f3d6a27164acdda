"""Anthropic's messages, read: the request as it came, and beside it what it says in chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from trimtab.core import BadInput, Message, Native
from trimtab.gateway.ask import Ask, asked, decode, wrong
from trimtab.gateway.keys import Key
from trimtab.guard.provenance import Provenance
from trimtab.providers import COUNT, MESSAGES

from .hidden import texts_within

_MEND = 'Send [{"role": "user", "content": "..."}].'
_SAME = ("temperature", "top_p", "top_k")
#: Fields that chat needs no words for: read elsewhere, hints, or what goes without saying.
_SILENT = frozenset({"model", "messages", "system", "stream", "trimtab", "cache_control", "max_tokens", "thinking"})
_TOOL = frozenset(
    {
        "name",
        "description",
        "input_schema",
        "strict",
        "type",
        "cache_control",
        "eager_input_streaming",
        "input_examples",
    }
)
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_TIERS = {"auto": "auto", "standard_only": "default"}
#: Blocks whose text is somebody else's, and characters of their titles.
_DOCUMENTS = ("document", "search_result")
_TITLE = 200
#: Tokens of thinking up to which an effort is called so.
_EFFORTS = ((2048, "low"), (12_000, "medium"))


def read_messages_ask(body: bytes, headers: Mapping[str, str], key: Key) -> Ask:
    """Read ``POST /v1/messages``. Raises BadInput or TooLarge naming the field, Forbidden as for every request."""
    data = decode(body)
    limit = data.get("max_tokens")
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise BadInput("is missing or not a whole number.", field="max_tokens", mend="Say how long the answer may be.")
    return _ask(data, headers, key, MESSAGES)


def read_count_ask(body: bytes, headers: Mapping[str, str], key: Key) -> Ask:
    """Read ``POST /v1/messages/count_tokens``: like a message, but nothing is answered and nothing recorded."""
    return replace(_ask(decode(body), headers, key, COUNT), stream=False, record=False)


def _ask(data: dict[str, Any], headers: Mapping[str, str], key: Key, dialect: str) -> Ask:
    only: list[str] = []
    head = _head(data.get("system"))
    runs = _runs(data.get("messages"), only)
    params = _params(data, only)
    native = Native(
        dialect=dialect,
        body={name: value for name, value in data.items() if name != "trimtab"},
        head=head,
        runs=runs,
        params=params,
        only=tuple(only),
        headers={name: headers[name] for name in ("anthropic-beta",) if name in headers},
    )
    messages = (*head, *(message for _, chat in runs for message in chat))
    sources = documents_within(len(head), runs)
    return asked(data, headers, key, messages=messages, params=params, native=native, sources=sources)


def documents_within(at: int, runs: tuple[tuple[tuple[Any, ...], tuple[Message, ...]], ...]) -> tuple[Provenance, ...]:
    """The parts of chat messages that stand for documents and results of searches: texts from outside by their kind.
    ``at`` is the position of the first of them."""
    found: list[Provenance] = []
    for items, chat in runs:
        content = items[0].get("content")
        blocks = content if isinstance(content, list) and items[0].get("role") == "user" else []
        part = 0
        for block in blocks:
            if block["type"] == "tool_result" or _part(block, "", []) is None:
                continue
            if block["type"] in _DOCUMENTS:
                title = block.get("title") or block.get("source") or block["type"]
                origin = title if isinstance(title, str) else block["type"]
                found.append(Provenance(at + len(chat) - 1, part, "document", origin[:_TITLE]))
            part += 1
        at += len(chat)
    return tuple(found)


def _head(system: object) -> tuple[Message, ...]:
    if system is None or system == [] or system == "":
        return ()
    if isinstance(system, str):
        return ({"role": "system", "content": system},)
    if not isinstance(system, list):
        raise wrong("system", "text or a list of text blocks", system)
    return ({"role": "system", "content": [_text(block, f"system[{n}]") for n, block in enumerate(system)]},)


def _text(block: object, where: str) -> dict[str, Any]:
    if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
        raise BadInput("must be a text block.", field=where, mend='Use {"type": "text", "text": "..."}.')
    part = {"type": "text", "text": block["text"]}
    return part | {"cache_control": block["cache_control"]} if block.get("cache_control") else part


def _runs(messages: object, only: list[str]) -> tuple[tuple[tuple[Any, ...], tuple[Message, ...]], ...]:
    if not isinstance(messages, list):
        if messages is None:
            raise BadInput("is missing.", field="messages", mend=_MEND)
        raise wrong("messages", "a list", messages)
    if not messages:
        raise BadInput("is empty.", field="messages", mend=_MEND)
    return tuple(((message,), _chat(message, f"messages[{n}]", only)) for n, message in enumerate(messages))


def _chat(message: object, where: str, only: list[str]) -> tuple[Message, ...]:
    """The chat messages that stand for one of Anthropic's."""
    if not isinstance(message, dict):
        raise wrong(where, "an object", message)
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant", "system"):
        mend = "Use user or assistant; the system prompt stands in the field system."
        raise BadInput(f"is {role!r}." if role else "is missing.", field=f"{where}.role", mend=mend)
    if isinstance(content, str):
        return ({"role": role, "content": content},)
    if not isinstance(content, list):
        raise wrong(f"{where}.content", "text or a list of blocks", content)
    blocks = [(_block(block, f"{where}.content[{n}]"), f"{where}.content[{n}]") for n, block in enumerate(content)]
    return _said(blocks, only) if role == "assistant" else _sent(role, blocks, only)


def _block(block: object, where: str) -> dict[str, Any]:
    if not isinstance(block, dict):
        raise wrong(where, "an object", block)
    if not isinstance(block.get("type"), str):
        raise BadInput("is missing or not text.", field=f"{where}.type", mend='Use "text".')
    return _text(block, where) if block["type"] == "text" else block


def _sent(role: str, blocks: list[tuple[dict[str, Any], str]], only: list[str]) -> tuple[Message, ...]:
    """A turn of the user: results of tools first, as chat wants them right after the calls, then what was said."""
    results: list[Message] = []
    parts: list[dict[str, Any]] = []
    for block, where in blocks:
        if block["type"] == "tool_result":
            results.append(_result(block, where, only))
        elif part := _part(block, where, only):
            parts.append(part)
    if parts or not results:
        results.append({"role": role, "content": parts})
    return tuple(results)


def _part(block: dict[str, Any], where: str, only: list[str]) -> dict[str, Any] | None:
    kind, source = block["type"], block.get("source")
    source = source if isinstance(source, dict) else {}
    url = source.get("url")
    if source.get("type") == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    part: dict[str, Any]
    if kind == "text":
        return block
    if kind == "image" and isinstance(url, str):
        part = {"type": "image_url", "image_url": {"url": url}}
    elif kind == "document" and source.get("type") == "base64":
        part = {"type": "file", "file": {"filename": block.get("title") or "document.pdf", "file_data": url}}
    elif kind == "document" and source.get("type") == "text" and isinstance(source.get("data"), str):
        part = {"type": "text", "text": source["data"]}
    else:
        only.append(f"{where}.type" if not source else f"{where}.source.type")
        text = texts_within(block)  # so that the guard reads it all the same
        return {"type": "text", "text": text} if text else None
    return part | {"cache_control": block["cache_control"]} if block.get("cache_control") else part


def _result(block: dict[str, Any], where: str, only: list[str]) -> Message:
    if not isinstance(block.get("tool_use_id"), str):
        raise BadInput("is missing or not text.", field=f"{where}.tool_use_id")
    content = block.get("content")
    said: Any = content if isinstance(content, str) else ""
    if isinstance(content, list):
        inner = [(_block(part, f"{where}.content[{n}]"), f"{where}.content[{n}]") for n, part in enumerate(content)]
        only.extend(f"{place}.type" for part, place in inner if part["type"] != "text")
        said = [part if part["type"] == "text" else {"type": "text", "text": texts_within(part)} for part, _ in inner]
    message = {"role": "tool", "tool_call_id": block["tool_use_id"], "content": said}
    return message | {name: block[name] for name in ("is_error", "cache_control") if block.get(name)}


def _said(blocks: list[tuple[dict[str, Any], str]], only: list[str]) -> tuple[Message, ...]:
    """A turn of the model: text, thoughts and calls in one message."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    text = [block["text"] for block, _ in blocks if block["type"] == "text"]
    thoughts = [block for block, _ in blocks if block["type"] in ("thinking", "redacted_thinking")]
    calls = [_call(block, where) for block, where in blocks if block["type"] == "tool_use"]
    known = ("text", "thinking", "redacted_thinking", "tool_use")
    only.extend(f"{where}.type" for block, where in blocks if block["type"] not in known)
    if text or not calls:
        message["content"] = "".join(text)
    if thoughts:
        message["thinking_blocks"] = thoughts
        message["reasoning_content"] = "".join(str(block.get("thinking") or "") for block in thoughts)
    if calls:
        message["tool_calls"] = calls
    return (message,)


def _call(block: dict[str, Any], where: str) -> dict[str, Any]:
    for name in ("id", "name"):
        if not isinstance(block.get(name), str):
            raise BadInput("is missing or not text.", field=f"{where}.{name}")
    arguments = msgspec.json.encode(block.get("input") or {}).decode()
    return {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}


def _params(data: Mapping[str, Any], only: list[str]) -> dict[str, Any]:
    """The chat params that say the same; what chat has no words for is added to ``only``."""
    params: dict[str, Any] = {}
    if "max_tokens" in data:
        params["max_completion_tokens"] = data["max_tokens"]
    for field, value in data.items():
        if field in _SAME:
            params[field] = value
        elif field == "stop_sequences":
            if value:
                params["stop"] = value
        elif field == "metadata" and isinstance(value, dict) and not value.keys() - {"user_id"}:
            if value.get("user_id"):
                params["user"] = value["user_id"]
        elif field == "tools" and isinstance(value, list):
            if value:
                params["tools"] = [_tool(tool, f"tools[{n}]", only) for n, tool in enumerate(value)]
        elif field == "tool_choice" and isinstance(value, dict):
            _tool_choice(value, params, only)
        elif field == "output_config" and isinstance(value, dict):
            _output(value, params, only)
        elif field == "service_tier" and isinstance(value, str) and value in _TIERS:
            params["service_tier"] = _TIERS[value]
        elif field not in _SILENT and value is not None:
            only.append(field)
    _thinking(data.get("thinking"), params)
    return params


def _tool(tool: object, where: str, only: list[str]) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise wrong(where, "an object", tool)
    if tool.get("type") not in (None, "custom"):
        only.append(f"{where}.type")
    elif not isinstance(tool.get("name"), str):
        raise BadInput("is missing or not text.", field=f"{where}.name")
    else:
        only.extend(f"{where}.{name}" for name in tool if name not in _TOOL)
    function = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {"type": "object"}}
    function |= {name: tool[name] for name in ("description", "strict") if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _tool_choice(choice: Mapping[str, Any], params: dict[str, Any], only: list[str]) -> None:
    kind = choice.get("type")
    if kind == "tool" and isinstance(choice.get("name"), str):
        params["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif isinstance(kind, str) and kind in _CHOICES:
        params["tool_choice"] = _CHOICES[kind]
    else:
        only.append("tool_choice.type")
    if choice.get("disable_parallel_tool_use"):
        params["parallel_tool_calls"] = False


def _output(config: Mapping[str, Any], params: dict[str, Any], only: list[str]) -> None:
    for name, value in config.items():
        if name == "effort" and value is not None:
            params["reasoning_effort"] = "xhigh" if value == "max" else value
        elif name == "format" and isinstance(value, dict) and value.get("type") == "json_schema":
            schema = {"name": "output", "schema": value.get("schema"), "strict": True}
            params["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif value is not None:
            only.append(f"output_config.{name}")


def _thinking(thinking: object, params: dict[str, Any]) -> None:
    """A budget of thoughts as an effort, unless the effort itself is named."""
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled" or "reasoning_effort" in params:
        return
    budget = thinking.get("budget_tokens")
    size = budget if isinstance(budget, int) else 0
    params["reasoning_effort"] = next((name for most, name in _EFFORTS if size <= most), "high")
