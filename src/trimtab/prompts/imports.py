"""Prompts from elsewhere: MLflow's prompt registry, Langfuse, OpenAI requests, and plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.core import BadInput
from trimtab.templates import NAME

from .fields import a_text, an_object

#: Langfuse's reference to another prompt, a placeholder, or two braces that are neither.
_TOKEN = re.compile(
    r"@@@langfusePrompt:name=([^|@]{1,100})\|(label|version)=([^|@]{1,100})@@@"
    r"|\{\{\s{0,16}([^{}\s][^{}]{0,200}?)\s{0,16}\}\}|\{\{"
)
_VARIABLE = re.compile(NAME)
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
#: Fields of a call that may stand in a prompt's params.
_PARAMS = (
    "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "seed",
    "frequency_penalty", "presence_penalty", "reasoning_effort", "tool_choice", "parallel_tool_calls", "logit_bias",
    "logprobs", "top_logprobs", "response_format", "verbosity", "service_tier",
)  # fmt: skip
_RENAMED = {"stop_sequences": "stop", "max_output_tokens": "max_completion_tokens"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A prompt that was read. ``left_out`` names what has no place in a prompt here."""

    name: str
    content: Mapping[str, Any]
    note: str = ""
    labels: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_import(text: str, source: str, name: str = "") -> list[Imported]:
    """The prompts in a file. ``name`` is used where the file names none, and for a file with one prompt in any case.

    Raises BadInput naming the field that cannot be taken over. The registry validates what comes out.
    """
    if source not in FORMATS:
        raise BadInput(f"{source!r} is not a format", field="from", mend=f"Use one of {', '.join(FORMATS)}.")
    if source == "text":
        a_text(text, "file", "a text")
        return [Imported(name=_name(name, ""), content={"messages": [{"role": "system", "content": text}]})]
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is not JSON: {error}.", field="file", mend="Export it again.") from None
    items = list(_items(data))
    if not items:
        raise BadInput("holds no prompt", field="file", mend="Export one.")
    read = _READERS[source]
    return [read(item, name if len(items) == 1 else "") for item in items]


def _items(data: object) -> Iterator[Mapping[str, Any]]:
    """One prompt, a list of them, or a page of an API's listing."""
    if isinstance(data, Mapping):
        for key in ("data", "prompts", "model_versions", "prompt_versions", "registered_models"):
            if isinstance(data.get(key), list):
                data = data[key]
                break
    for position, item in enumerate(data if isinstance(data, list) else [data]):
        yield an_object(item, f"file[{position}]" if isinstance(data, list) else "file", '{"name": "..."}')


# MLflow: a prompt version as its client prints it, or as the REST API stores it (a model version whose tags hold all).

_TEXT, _TYPE = "mlflow.prompt.text", "_mlflow_prompt_type"
_FORMAT, _CONFIG = "_mlflow_prompt_response_format", "_mlflow_prompt_model_config"


def _mlflow(item: Mapping[str, Any], name: str) -> Imported:
    inner = item.get("model_version") or item.get("prompt_version") or item
    item = an_object(inner, "model_version", "{...}")
    tags = _tags(item.get("tags"))
    template = item.get("template", tags.get(_TEXT))
    if template is None:
        mend = f"It stands in template, or in the tag {_TEXT}."
        raise BadInput("the template is missing", field="template", mend=mend)
    if isinstance(template, str) and tags.get(_TYPE) == "chat":
        template = _decoded(template, f"tags.{_TEXT}")
    if "jinja2" in (item.get("prompt_type"), tags.get(_TYPE)) and re.search(r"\{[%#]", str(template)):
        mend = "Write loops and conditions as sections: {{#items}}...{{/items}}."
        raise BadInput("uses Jinja statements, which are code", field="template", mend=mend)
    content: dict[str, Any] = {"messages": _messages(template, "template")}
    schema = item.get("response_format") or _decoded(tags.get(_FORMAT), f"tags.{_FORMAT}")
    if isinstance(schema, Mapping):
        content["output_schema"] = schema
    config = item.get("model_config") or _decoded(tags.get(_CONFIG), f"tags.{_CONFIG}") or {}
    config = dict(an_object(config, "model_config", '{"temperature": 0}'))
    config |= an_object(config.pop("extra_params", None) or {}, "model_config.extra_params", "{...}")
    provider, model = config.pop("provider", None), config.pop("model_name", None)
    if isinstance(model, str):
        content["model"] = f"{provider}/{model}" if provider else model
    left_out = _settings(config, content)
    note = item.get("commit_message") or item.get("description") or ""
    aliases = item.get("aliases") or ()
    return Imported(
        name=_name(name, item.get("name")), content=content, note=str(note),
        labels=tuple(a for a in aliases if isinstance(a, str)), left_out=left_out,
    )  # fmt: skip


def _tags(tags: object) -> dict[str, str]:
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    if isinstance(tags, list):
        return {str(t.get("key")): str(t.get("value")) for t in tags if isinstance(t, Mapping)}
    return {}


# Langfuse: GET /api/public/v2/prompts/NAME, type text or chat.


def _langfuse(item: Mapping[str, Any], name: str) -> Imported:
    prompt = item.get("prompt")
    left_out: list[str] = []
    if isinstance(prompt, list):
        prompt = list(_without_history(prompt, left_out))
    elif not isinstance(prompt, str):
        raise BadInput("must be text or a list of messages", field="prompt", mend="Export it again.")
    content: dict[str, Any] = {"messages": _messages(prompt, "prompt")}
    config = dict(an_object(item.get("config") or {}, "config", '{"temperature": 0}'))
    left_out += _settings(config, content)
    labels = item.get("labels") or ()
    return Imported(
        name=_name(name, item.get("name")), content=content, note=str(item.get("commitMessage") or ""),
        # Langfuse moves "latest" by itself; here a label is moved by somebody.
        labels=tuple(label for label in labels if isinstance(label, str) and label != "latest"),
        left_out=tuple(left_out),
    )  # fmt: skip


def _without_history(messages: list[Any], left_out: list[str]) -> Iterator[Any]:
    """A placeholder for messages at the end is where the caller's messages go anyway; elsewhere there is no such."""
    for position, message in enumerate(messages):
        if isinstance(message, Mapping) and message.get("type") == "placeholder":
            if position != len(messages) - 1:
                mend = "Move it to the end: the caller's messages follow the prompt's."
                raise BadInput("is a placeholder in the middle", field=f"prompt[{position}]", mend=mend)
            left_out.append(f"placeholder {message.get('name')}")
        else:
            yield message


# OpenAI: the body of a chat completion or of a response, as the playground shows it.


def _openai(item: Mapping[str, Any], name: str) -> Imported:
    given: list[Any] = []
    if item.get("instructions"):
        given.append({"role": "system", "content": item["instructions"]})
    field = "messages" if "messages" in item else "input"
    asked = item.get(field) or []
    given += [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    content: dict[str, Any] = {"messages": _messages(given, field)}
    settings = {key: value for key, value in item.items() if key not in ("messages", "input", "instructions", "name")}
    text = settings.pop("text", None)
    if isinstance(text, Mapping) and isinstance(text.get("format"), Mapping):
        settings["response_format"] = {"type": text["format"].get("type"), "json_schema": text["format"]}
    if isinstance(settings.get("tools"), list):
        settings["tools"] = [_nested(tool) for tool in settings["tools"]]
    left_out = _settings(settings, content)
    return Imported(name=_name(name, item.get("name")), content=content, left_out=left_out)


def _nested(tool: Any) -> Any:
    """A function of the responses API, which stands flat, in the shape of the chat API."""
    if isinstance(tool, Mapping) and tool.get("type") == "function" and "function" not in tool:
        return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}
    return tool


# What they share.


def _messages(template: object, field: str) -> list[dict[str, Any]]:
    if isinstance(template, str):
        return [{"role": "system", "content": _converted(template, field)}]
    if not isinstance(template, list) or not template:
        raise BadInput("must be text or a list of messages", field=field, mend='Write [{"role": ..., "content": ...}].')
    found = []
    for position, message in enumerate(template):
        where = f"{field}[{position}]"
        message = an_object(message, where, '{"role": "system", "content": "..."}')
        content = message.get("content")
        if isinstance(content, list):
            content = [_part(part, where) for part in content]
        elif isinstance(content, str):
            content = _converted(content, where)
        found.append({"role": message.get("role"), "content": content})
    return found


def _part(part: object, where: str) -> Mapping[str, Any]:
    part = an_object(part, where, '{"type": "text", "text": "..."}')
    if part.get("type") in ("text", "input_text", "output_text"):
        return {"type": "text", "text": _converted(str(part.get("text", "")), where)}
    return part


def _converted(text: str, field: str) -> str:
    """Their placeholders as ours, their references as partials, and every other pair of braces as text."""

    def put(match: re.Match[str]) -> str:
        part, kind, which, inner = match.groups()
        if part:
            return f"{{{{> {_name(part, '')}{'@' if kind == 'label' else '/'}{which}}}}}"
        if inner is None:
            return "\\{{"
        if not _VARIABLE.fullmatch(inner):
            mend = "Rename it: letters, digits and underscores."
            raise BadInput(f"the placeholder {inner[:60]!r} cannot be a variable", field=field, mend=mend)
        return f"{{{{{inner}}}}}"

    return _TOKEN.sub(put, text)


def _settings(config: Mapping[str, Any], content: dict[str, Any]) -> tuple[str, ...]:
    """Model, tools, schema and parameters into the content. Returns the names of what has no place in it."""
    left_out: list[str] = []
    params: dict[str, Any] = {}
    for key, value in config.items():
        key = _RENAMED.get(key, key)
        if value is None:
            continue
        if key == "model" and isinstance(value, str):
            content.setdefault("model", value)
        elif key == "tools" and isinstance(value, list):
            content["tools"] = value
        elif key == "response_format" and (schema := _schema_of(value)) is not None:
            content.setdefault("output_schema", schema)
        elif key in _PARAMS:
            params[key] = value
        else:
            left_out.append(key)
    if params:
        content["params"] = params
    return tuple(left_out)


def _schema_of(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping) and isinstance(value.get("json_schema"), Mapping):
        schema = value["json_schema"].get("schema")
        return schema if isinstance(schema, Mapping) else None
    return None


def _name(asked: str, found: object) -> str:
    """A name that the registry takes: other letters become dashes."""
    name = _NOT_A_NAME.sub("-", asked or (found if isinstance(found, str) else "")).strip("-._")[:100]
    if not name:
        raise BadInput("the file names no prompt", field="name", mend="Give it one with --name.")
    return name


def _decoded(text: object, field: str) -> Any:
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput("is not JSON", field=field, mend="Export it again.") from None


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], Imported]] = {
    "mlflow": _mlflow,
    "langfuse": _langfuse,
    "openai": _openai,
}
#: What can be read.
FORMATS = (*_READERS, "text")
