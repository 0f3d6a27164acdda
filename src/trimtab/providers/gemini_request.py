"""A Call as a body of Gemini's generateContent."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.core import BadInput, Call, Message

from .vendor import mapping, text

#: chat param -> field of generationConfig, where only the name differs.
_SAME = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_HINTS = frozenset({"stream_options", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"})
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "parallel_tool_calls": (True, None),
    "store": (False, None),
    "service_tier": ("auto", None),
    "modalities": (["text"], None),
}
#: Fields of Gemini's own body that may be given beside chat's.
_OWN = {"safety_settings": "safetySettings", "cached_content": "cachedContent", "labels": "labels"}
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
#: What Gemini 3 takes in place of the signature of a call that another model made.
UNSIGNED = "skip_thought_signature_validator"


def request_of(name: str, call: Call) -> dict[str, Any]:
    """The chat of a Call, translated. Raises BadInput naming what has no counterpart there."""
    system, contents = _split(call.messages, strict=name.startswith("gemini-3"))
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    config: dict[str, Any] = {}
    for field, value in call.params.items():
        if field in _SAME:
            if value is not None:
                config[_SAME[field]] = value
        elif field in _OWN:
            body[_OWN[field]] = value
        elif field == "tools":
            if value:
                body["tools"] = [{"functionDeclarations": [_tool(t, f"tools[{n}]") for n, t in enumerate(value)]}]
        elif field == "tool_choice":
            body["toolConfig"] = {"functionCallingConfig": _tool_choice(value)}
        elif field not in _HINTS and value not in _NEUTRAL.get(field, ()):
            _configure(field, value, name, config)
    if not body.get("tools"):
        body.pop("toolConfig", None)
    if config:
        body["generationConfig"] = config
    return body


def _configure(field: str, value: Any, model: str, config: dict[str, Any]) -> None:
    kind = mapping(value).get("type")
    if field == "stop":
        if value is not None:
            config["stopSequences"] = [value] if isinstance(value, str) else value
    elif field == "response_format" and kind == "json_schema":
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = mapping(mapping(value).get("json_schema")).get("schema") or {}
    elif field == "response_format" and kind == "json_object":
        config["responseMimeType"] = "application/json"
    elif field == "response_format" and kind in ("text", None):
        pass
    elif field == "reasoning_effort" and (value is None or value in _BUDGETS):
        if value is not None:
            config["thinkingConfig"] = _thinking(value, model)
    elif field == "thinking" and kind in ("enabled", "adaptive", "disabled"):
        budget = 0 if kind == "disabled" else mapping(value).get("budget_tokens", -1)
        config["thinkingConfig"] = {"thinkingBudget": budget, "includeThoughts": kind != "disabled"}
    else:
        raise BadInput(
            f"a Gemini model cannot be asked with {field!r} through this gateway.",
            field=field,
            mend="Leave it out, or route to a model whose provider knows it.",
        )


def _thinking(effort: str, model: str) -> dict[str, Any]:
    """Gemini 3 counts in levels, the models before it in tokens."""
    if model.startswith("gemini-3"):
        level = "low" if effort in ("none", "minimal", "low") else "high" if effort != "medium" else "medium"
        return {"thinkingLevel": level, "includeThoughts": effort != "none"}
    return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": effort != "none"}


def _tool(tool: object, where: str) -> dict[str, Any]:
    function = mapping(mapping(tool).get("function"))
    if mapping(tool).get("type") != "function" or not isinstance(function.get("name"), str):
        raise BadInput("must be a function with a name to reach a Gemini model.", field=where)
    made: dict[str, Any] = {"name": function["name"]}
    if function.get("description") is not None:
        made["description"] = function["description"]
    if function.get("parameters"):
        made["parametersJsonSchema"] = function["parameters"]
    return made


def _tool_choice(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value in _MODES:
        return {"mode": _MODES[value]}
    name = mapping(mapping(value).get("function")).get("name")
    if mapping(value).get("type") == "function" and isinstance(name, str):
        return {"mode": "ANY", "allowedFunctionNames": [name]}
    raise BadInput(
        "has no counterpart at a Gemini model.", field="tool_choice", mend="Use auto, none, required or a function."
    )


def _split(messages: Sequence[Message], *, strict: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The parts of the system instruction and the turns; neighbours of one role become one turn."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    names: dict[Any, str] = {}  # ids may come again in a later turn: a result answers the call that came last before it
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        role = message.get("role")
        if role in ("system", "developer"):
            system += _parts(message.get("content"), where, media=False)
            continue
        if role == "tool":
            turn, parts = "user", [_result(message, names, where)]
        elif role == "assistant":
            turn, parts = "model", _said(message, where, strict=strict)
            names.update(_call_names([message]))
        elif role == "user":
            turn, parts = "user", _parts(message.get("content"), where, media=True)
        else:
            raise BadInput(f"the role {role!r} has no way to Gemini.", field=f"{where}.role", mend="Use tool.")
        if turns and turns[-1]["role"] == turn:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": turn, "parts": parts})
    return system, turns


def _call_names(messages: Iterable[Message]) -> Iterable[tuple[Any, str]]:
    for message in messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            yield mapping(call).get("id"), text(mapping(mapping(call).get("function")).get("name"))


def _said(message: Message, where: str, *, strict: bool) -> list[dict[str, Any]]:
    content = message.get("content")
    parts = [p for p in _parts(content, where, media=False) if p.get("text") != ""] if content is not None else []
    calls = message.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        part = _function_call(mapping(call), f"{where}.tool_calls[{position}]")
        if strict and not position:
            part.setdefault("thoughtSignature", UNSIGNED)
        parts.append(part)
    return parts


def _function_call(call: Mapping[str, Any], where: str) -> dict[str, Any]:
    function = mapping(call.get("function"))
    if not isinstance(function.get("name"), str):
        raise BadInput("must be a function call with a name.", field=where)
    try:
        arguments = msgspec.json.decode(function.get("arguments") or "{}")
    except (msgspec.DecodeError, TypeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise BadInput("must be a JSON object to reach a Gemini model.", field=f"{where}.function.arguments")
    part: dict[str, Any] = {"functionCall": {"name": function["name"], "args": arguments}}
    signature = mapping(mapping(call.get("extra_content")).get("google")).get("thought_signature")
    if isinstance(signature, str):
        part["thoughtSignature"] = signature
    return part


def _result(message: Message, names: Mapping[Any, str], where: str) -> dict[str, Any]:
    name = names.get(message.get("tool_call_id"))
    if not name:
        raise BadInput("answers no tool call of this conversation.", field=f"{where}.tool_call_id")
    content = message.get("content")
    said = content if isinstance(content, str) else "".join(
        part["text"] for part in _parts(content, where, media=False)
    )  # fmt: skip
    try:
        value = msgspec.json.decode(said)
    except (msgspec.DecodeError, RecursionError):
        value = said
    response = value if isinstance(value, dict) else {"error" if message.get("is_error") else "result": value}
    return {"functionResponse": {"name": name, "response": response}}


def _parts(content: object, where: str, *, media: bool) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"text": content}]
    if not isinstance(content, list):
        raise BadInput("must be text or a list of parts.", field=f"{where}.content")
    return [_part(mapping(part), f"{where}.content[{n}]", media=media) for n, part in enumerate(content)]


def _part(part: Mapping[str, Any], where: str, *, media: bool) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "refusal") and isinstance(part.get(kind), str):
        return {"text": part[kind]}
    if media and kind == "image_url":
        return _media(text(mapping(part.get("image_url")).get("url")))
    if media and kind == "file" and isinstance(mapping(part.get("file")).get("file_data"), str):
        return _media(part["file"]["file_data"])
    if media and kind == "input_audio" and isinstance(mapping(part.get("input_audio")).get("data"), str):
        audio = part["input_audio"]
        return {"inlineData": {"mimeType": f"audio/{audio.get('format', 'wav')}", "data": audio["data"]}}
    raise BadInput(f"a part of type {kind!r} has no way to Gemini here.", field=f"{where}.type")


def _media(url: str) -> dict[str, Any]:
    inline = re.match(r"data:([\w/.+-]+);base64,", url)
    if inline:
        return {"inlineData": {"mimeType": inline[1], "data": url[inline.end() :]}}
    guessed = mimetypes.guess_type(url.partition("?")[0])[0]
    return {"fileData": {"fileUri": url, **({"mimeType": guessed} if guessed else {})}}
