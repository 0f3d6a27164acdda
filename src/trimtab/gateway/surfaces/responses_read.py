"""OpenAI's responses, read: the request as it came, and beside it what it says in chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from trimtab.core import BadInput, Message, Native
from trimtab.gateway.ask import Ask, asked, decode, wrong
from trimtab.gateway.keys import Key
from trimtab.providers import RESPONSES

from .hidden import texts_within
from .thoughts import thoughts_in

_MEND = 'Send text, or [{"role": "user", "content": "..."}].'
_SAME = frozenset(
    {
        "temperature", "top_p", "parallel_tool_calls", "user", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "service_tier",
    }
)  # fmt: skip
#: Fields that chat needs no words for: read elsewhere, about storing the response, or about how it is told.
_SILENT = frozenset({"model", "input", "instructions", "stream", "stream_options", "trimtab", "store", "metadata"})
_INCLUDED = {"reasoning.encrypted_content": None, "message.output_text.logprobs": "logprobs"}

Run = tuple[tuple[Any, ...], tuple[Message, ...]]


def read_responses_ask(body: bytes, headers: Mapping[str, str], key: Key) -> Ask:
    """Read ``POST /v1/responses``. Raises BadInput or TooLarge naming the field, Forbidden as for every request."""
    data = decode(body)
    if data.get("conversation") is not None:
        mend = "Go on with previous_response_id, or send the earlier items in input."
        why = "is not possible: a conversation belongs to the provider's account, which all keys share."
        raise BadInput(why, field="conversation", mend=mend)
    background = data.get("background")
    if not isinstance(background, bool | None):
        raise wrong("background", "true or false", background)
    only: list[str] = []
    head: tuple[Message, ...] = ()
    instructions = data.get("instructions")
    if isinstance(instructions, str) and instructions:
        head = ({"role": "system", "content": instructions},)
    elif instructions not in (None, ""):
        raise wrong("instructions", "text", instructions)
    runs = _runs(data.get("input"), only)
    params = _params(data, only)
    native = Native(
        dialect=RESPONSES,
        body={name: value for name, value in data.items() if name != "trimtab"},
        head=head,
        runs=runs,
        params=params,
        only=tuple(only),
    )
    messages = (*head, *(message for _, chat in runs for message in chat))
    ask = asked(data, headers, key, messages=messages, params=params, native=native)
    return replace(ask, background=True) if background else ask


def _runs(given: object, only: list[str]) -> tuple[Run, ...]:
    if isinstance(given, str):
        return ((({"role": "user", "content": given},), ({"role": "user", "content": given},)),)
    if given is None:
        raise BadInput("is missing.", field="input", mend=_MEND)
    if not isinstance(given, list):
        raise wrong("input", "text or a list", given)
    if not given:
        raise BadInput("is empty.", field="input", mend=_MEND)
    reader = _Reader(only)
    for position, item in enumerate(given):
        reader.take(item, f"input[{position}]")
    reader.flush()
    return tuple(reader.runs)


class _Reader:
    """Input items become chat messages; what the model thought, said and called in one turn becomes one message."""

    def __init__(self, only: list[str]) -> None:
        self.runs: list[Run] = []
        self._only = only
        self._items: list[Any] = []
        self._turn: dict[str, Any] = {}

    def take(self, item: object, where: str) -> None:
        if not isinstance(item, dict):
            raise wrong(where, "an object", item)
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") == "assistant":
            self._said(item, where)
        elif kind == "message":
            self._one(item, _message(item, where, self._only))
        elif kind == "function_call":
            self._called(item, where)
        elif kind == "function_call_output":
            self._one(item, _result(item, where, self._only))
        elif kind == "reasoning":
            self._thought(item)
        else:
            self._only.append(f"{where}.type")
            self.flush()
            text = texts_within(item)
            self.runs.append(((item,), ({"role": "user", "content": text},) if text else ()))

    def flush(self) -> None:
        """The model's turn is over."""
        if self._items:
            turn = self._turn
            if turn and not turn.get("tool_calls"):
                turn.setdefault("content", "")
            self.runs.append((tuple(self._items), ({"role": "assistant", "content": None, **turn},) if turn else ()))
            self._items, self._turn = [], {}

    def _one(self, item: dict[str, Any], message: Message) -> None:
        self.flush()
        self.runs.append(((item,), (message,)))

    def _said(self, item: dict[str, Any], where: str) -> None:
        if "content" in self._turn or "tool_calls" in self._turn:
            self.flush()
        self._items.append(item)
        content = item.get("content")
        parts = content if isinstance(content, list) else []
        text = content if isinstance(content, str) else ""
        for position, part in enumerate(parts):
            if not isinstance(part, dict):
                raise wrong(f"{where}.content[{position}]", "an object", part)
            if isinstance(part.get("refusal"), str):
                self._turn["refusal"] = part["refusal"]
            text += part["text"] if isinstance(part.get("text"), str) else ""
        self._turn["content"] = text

    def _called(self, item: dict[str, Any], where: str) -> None:
        for name in ("call_id", "name", "arguments"):
            if not isinstance(item.get(name), str):
                raise BadInput("is missing or not text.", field=f"{where}.{name}")
        function = {"name": item["name"], "arguments": item["arguments"]}
        call = {"id": item["call_id"], "type": "function", "function": function}
        self._items.append(item)
        self._turn.setdefault("tool_calls", []).append(call)

    def _thought(self, item: dict[str, Any]) -> None:
        if "content" in self._turn or "tool_calls" in self._turn:
            self.flush()
        self._items.append(item)
        if blocks := thoughts_in(item):
            self._turn.setdefault("thinking_blocks", []).extend(blocks)
        content = item.get("content")
        told = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)] if (
            isinstance(content, list)
        ) else []  # fmt: skip
        if told:
            self._turn["reasoning_content"] = self._turn.get("reasoning_content", "") + "".join(told)


def _message(item: Mapping[str, Any], where: str, only: list[str]) -> Message:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "system", "developer"):
        mend = "Use user, assistant, system or developer."
        raise BadInput(f"is {role!r}." if role else "is missing.", field=f"{where}.role", mend=mend)
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, list):
        raise wrong(f"{where}.content", "text or a list of parts", content)
    return {"role": role, "content": [_part(part, f"{where}.content[{n}]", only) for n, part in enumerate(content)]}


def _part(part: object, where: str, only: list[str]) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise wrong(where, "an object", part)
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if kind == "input_file" and (part.get("file_data") or part.get("file_id")):
        file = {name: part[name] for name in ("file_data", "file_id", "filename") if part.get(name)}
        return {"type": "file", "file": file}
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    if not isinstance(kind, str):
        raise BadInput("is missing or not text.", field=f"{where}.type", mend='Use "input_text".')
    if kind == "input_text":
        raise BadInput("is missing or not text.", field=f"{where}.text")
    only.append(f"{where}.type")
    return {"type": "text", "text": texts_within(part)}


def _result(item: Mapping[str, Any], where: str, only: list[str]) -> Message:
    if not isinstance(item.get("call_id"), str):
        raise BadInput("is missing or not text.", field=f"{where}.call_id")
    output: Any = item.get("output")
    if isinstance(output, list):
        parts = [_part(part, f"{where}.output[{n}]", only) for n, part in enumerate(output)]
        only.extend(f"{where}.output[{n}].type" for n, part in enumerate(parts) if part["type"] != "text")
        output = [part if part["type"] == "text" else {"type": "text", "text": ""} for part in parts]
    elif not isinstance(output, str):
        raise wrong(f"{where}.output", "text or a list of parts", output)
    return {"role": "tool", "tool_call_id": item["call_id"], "content": output}


def _params(data: Mapping[str, Any], only: list[str]) -> dict[str, Any]:
    """The chat params that say the same; what chat has no words for is added to ``only``."""
    params: dict[str, Any] = {}
    for field, value in data.items():
        if value is None or field in _SILENT:
            continue
        if field in _SAME:
            params[field] = value
        elif field == "max_output_tokens":
            params["max_completion_tokens"] = value
        elif field == "top_logprobs":
            params |= {"logprobs": True, "top_logprobs": value} if value else {}
        elif field == "include" and isinstance(value, list):
            _include(value, params, only)
        elif field == "tools" and isinstance(value, list):
            if value:
                params["tools"] = [_tool(tool, f"tools[{n}]", only) for n, tool in enumerate(value)]
        elif field == "tool_choice":
            _tool_choice(value, params, only)
        elif field == "text" and isinstance(value, dict):
            _text(value, params, only)
        elif field == "reasoning" and isinstance(value, dict):
            if value.get("effort"):
                params["reasoning_effort"] = value["effort"]
        elif (field, value) not in (("truncation", "disabled"), ("background", False)):
            only.append(field)
    return params


def _include(names: list[Any], params: dict[str, Any], only: list[str]) -> None:
    for position, name in enumerate(names):
        if not isinstance(name, str) or name not in _INCLUDED:
            only.append(f"include[{position}]")
        elif param := _INCLUDED[name]:
            params[param] = True


def _tool(tool: object, where: str, only: list[str]) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise wrong(where, "an object", tool)
    if tool.get("type") != "function":
        only.append(f"{where}.type")
    elif not isinstance(tool.get("name"), str):
        raise BadInput("is missing or not text.", field=f"{where}.name")
    named = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in named if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _tool_choice(value: object, params: dict[str, Any], only: list[str]) -> None:
    if value in ("auto", "none", "required"):
        params["tool_choice"] = value
    elif isinstance(value, dict) and value.get("type") == "function" and isinstance(value.get("name"), str):
        params["tool_choice"] = {"type": "function", "function": {"name": value["name"]}}
    else:
        only.append("tool_choice")


def _text(config: Mapping[str, Any], params: dict[str, Any], only: list[str]) -> None:
    for name, value in config.items():
        if name == "format" and isinstance(value, dict):
            if value.get("type") == "json_schema":
                schema = {field: found for field, found in value.items() if field != "type" and found is not None}
                params["response_format"] = {"type": "json_schema", "json_schema": schema}
            elif value.get("type") != "text":
                params["response_format"] = {"type": value.get("type")}
        elif name == "verbosity":
            if value not in (None, "medium"):
                params["verbosity"] = value
        elif value is not None:
            only.append(f"text.{name}")
