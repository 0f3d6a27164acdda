"""Bytes to an Ask: what a client wants, checked field by field, with the name of the field in every complaint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trimtab.core import LAYER_OF_KIND, BadInput, Forbidden, Message, Native, TooLarge
from trimtab.guard.provenance import Provenance, read_sources

from .handles import Stored
from .keys import Key

#: Largest request body, in bytes.
MAX_BODY = 10 * 1024 * 1024

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TRIMTAB_FIELDS = ("prompt", "variables", "session", "tags", "pins", "plan", "sources")
#: Headers that say the same as some of these fields.
WISHING = frozenset({"x-trimtab-prompt", "x-trimtab-session", "x-trimtab-tags", "x-trimtab-plan"})

_OURS = ("model", "messages", "stream", "trimtab")
_NUMBER: tuple[type, ...] = (int, float)
#: Types that every vendor agrees on; any other field is the vendor's to judge.
_PARAMS: dict[str, tuple[tuple[type, ...], str]] = {
    "temperature": (_NUMBER, "a number"),
    "top_p": (_NUMBER, "a number"),
    "n": ((int,), "a whole number"),
    "max_tokens": ((int,), "a whole number"),
    "max_completion_tokens": ((int,), "a whole number"),
    "tools": ((list,), "a list"),
    "stream_options": ((dict,), "an object"),
}
_TAGS, _TAG_NAME, _TAG_VALUE, _SESSION = 32, 100, 200, 200
#: Calls that one plan may name.
_PLANNED = 500


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the gateway.

    ``model`` is a route's name or ``provider/model``. ``params`` holds every other field of the body untouched.
    ``prompt`` is an address of a registered prompt ("" = the route's own). ``pins`` puts a version in place of what
    would be resolved, by registry kind: ``{"prompts": "support-answer/14"}``; for ``models`` it is the model's
    reference; an empty pin takes that layer out. ``record`` False keeps the request out of the store. ``timeout`` is
    seconds for the whole request, 0 = the route's. ``key`` is None for Trimtab's own requests. ``native`` is the
    request in its own words when it came in another dialect than chat completions. ``plan`` are the tools that were
    agreed for this conversation, each as often as it may be used; None where nothing was agreed.
    ``sources`` tells which messages, or parts of them, are texts from outside. ``background`` says that the provider is
    to make the answer while nobody waits for it. ``stored`` is there when nothing is asked of a model, but something of
    a response that its provider keeps.
    """

    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = {}
    stream: bool = False
    prompt: str = ""
    variables: Mapping[str, Any] = {}
    session: str = ""
    tags: Mapping[str, str] = {}
    key: Key | None = None
    project: str = "default"
    pins: Mapping[str, str] = {}
    record: bool = True
    timeout: float = 0.0
    native: Native | None = None
    plan: tuple[str, ...] | None = None
    sources: tuple[Provenance, ...] = ()
    background: bool = False
    stored: Stored | None = None


def bearer(headers: Mapping[str, str]) -> str:
    """The key as an ``authorization`` header, wherever the client put it: Anthropic's clients send ``x-api-key``."""
    given = headers.get("authorization", "")
    if not given and (key := headers.get("x-api-key", "")):
        return f"Bearer {key}"
    return given


def read_ask(body: bytes, headers: Mapping[str, str], key: Key) -> Ask:
    """Read a chat completion request. ``headers`` have lower-case names.

    Raises BadInput or TooLarge naming the field, and Forbidden where the key may not use it.
    """
    data = decode(body)
    params = {name: value for name, value in data.items() if name not in _OURS}
    for name in params.keys() & _PARAMS.keys() if params else ():
        types, words = _PARAMS[name]
        value = params[name]
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            raise wrong(name, words, value)
    return asked(data, headers, key, messages=read_messages(data.get("messages")), params=params)


def asked(
    data: Mapping[str, Any],
    headers: Mapping[str, str],
    key: Key,
    *,
    messages: tuple[Message, ...],
    params: Mapping[str, Any],
    native: Native | None = None,
    sources: tuple[Provenance, ...] = (),
) -> Ask:
    """The Ask of a decoded body: what every dialect has in common is read here. ``sources`` are those that the dialect
    itself tells, by the positions in ``messages``. Raises like ``read_ask``."""
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise BadInput("is missing or not text.", field="model", mend="Name a route or provider/model; see /v1/models.")
    stream = data.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise wrong("stream", "true or false", stream)
    wishes = read_wishes(data.get("trimtab"), headers, key)
    if isinstance(ours := data.get("trimtab"), dict) and ours.get("sources"):
        sources = (*sources, *_sources(ours["sources"], messages, native))
    made = Ask(
        model=model, messages=messages, params=params, stream=bool(stream), key=key, native=native, sources=sources
    )
    return msgspec.structs.replace(made, **wishes) if wishes else made


def _sources(written: object, messages: Sequence[Message], native: Native | None) -> tuple[Provenance, ...]:
    """What a client says of its messages, by the positions in the chat that stands for them. Of a message that stands
    as several, or whose parts are not the same as there, all of it is meant."""
    if native is None:
        return read_sources(written, len(messages), "trimtab.sources")
    given = read_sources(written, len(native.runs), "trimtab.sources")
    found: list[Provenance] = []
    at = len(native.head)
    for number, (items, chat) in enumerate(native.runs):
        parts = [part for item in items for part in (item.get("content") if isinstance(item, dict) else None) or ()]
        there = chat[0].get("content") if len(chat) == 1 else None
        same = isinstance(there, list) and len(there) == len(parts)
        for each in given:
            if each.message == number:
                found += [
                    each._replace(message=at + n, part=each.part if same else -1)
                    for n, message in enumerate(chat)
                    if message.get("role") == "user"
                ]
        at += len(chat)
    return tuple(found)


def read_wishes(value: object, headers: Mapping[str, str], key: Key) -> dict[str, Any]:
    """What a client asks of Trimtab itself, in the field ``trimtab`` of its body or in headers, as fields of Ask."""
    if value is None and WISHING.isdisjoint(headers):
        return {}
    ours = _object(value, "trimtab")
    for name in ours:
        if name not in TRIMTAB_FIELDS:
            raise BadInput("is not known.", field=f"trimtab.{name}", mend=f"Known are {', '.join(TRIMTAB_FIELDS)}.")
    pins = _text_map(ours.get("pins"), "trimtab.pins")
    if pins:
        _check_pins(pins, key)
    tags = _header_tags(headers.get("x-trimtab-tags", "")) | _text_map(ours.get("tags"), "trimtab.tags")
    return {
        "prompt": _text(ours.get("prompt"), "trimtab.prompt") or headers.get("x-trimtab-prompt", ""),
        "variables": _object(ours.get("variables"), "trimtab.variables"),
        "session": _session(_text(ours.get("session"), "trimtab.session") or headers.get("x-trimtab-session", "")),
        "tags": _checked_tags(tags),
        "pins": pins,
        "plan": _plan(ours.get("plan"), headers),
    }


def decode(body: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises BadInput saying where it is broken, TooLarge over MAX_BODY."""
    if len(body) > MAX_BODY:
        raise too_large()
    if not body:
        raise BadInput("is empty.", field="body", mend="Send a JSON object.")
    try:
        data = msgspec.json.decode(body)
    except RecursionError as error:
        raise BadInput("is nested too deeply.", field="body", mend="Send a flatter JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _broken(body, error) from error
    if not isinstance(data, dict):
        raise wrong("body", "a JSON object", data)
    return data


def too_large() -> TooLarge:
    """The error for a body over the limit."""
    return TooLarge(f"is over {MAX_BODY // 1024 // 1024} MiB.", field="body", mend="Send less text in one request.")


def read_messages(messages: object) -> tuple[Message, ...]:
    """The messages, each an object with a known role and readable content. Raises BadInput naming the place."""
    if messages is None:
        raise BadInput("is missing.", field="messages", mend='Send [{"role": "user", "content": "..."}].')
    if not isinstance(messages, list):
        raise wrong("messages", "a list", messages)
    if not messages:
        raise BadInput("is empty.", field="messages", mend='Send [{"role": "user", "content": "..."}].')
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"messages[{position}]", "an object", message)
        if message.get("role") not in ROLES:
            said = "is missing." if "role" not in message else f"is {_shown(message['role'])}."
            raise BadInput(said, field=f"messages[{position}].role", mend=f"Use one of {', '.join(ROLES)}.")
        content = message.get("content")
        if not isinstance(content, str):
            _check_content(message, content, f"messages[{position}].content")
    return tuple(messages)


def _check_content(message: Message, content: object, where: str) -> None:
    if content is None:
        if message["role"] != "assistant":
            raise BadInput("is missing.", field=where, mend="Send text or a list of parts.")
        return
    if not isinstance(content, list):
        raise wrong(where, "text or a list of parts", content)
    for position, part in enumerate(content):
        if not isinstance(part, dict):
            raise wrong(f"{where}[{position}]", "an object", part)
        if not isinstance(part.get("type"), str):
            raise BadInput("is missing or not text.", field=f"{where}[{position}].type", mend='Use "text".')
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise BadInput("is missing or not text.", field=f"{where}[{position}].text")


def _check_pins(pins: Mapping[str, str], key: Key) -> None:
    if key.role != "admin":
        raise Forbidden("pins are for admin keys only.", field="trimtab.pins", mend="Leave the pins out.")
    for kind in pins:
        if kind not in LAYER_OF_KIND:
            known = ", ".join(LAYER_OF_KIND)
            raise BadInput("is not a kind.", field=f"trimtab.pins.{kind}", mend=f"Known are {known}.")


def _header_tags(text: str) -> dict[str, str]:
    """``topic=gateway,app=demo`` as a mapping."""
    tags: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise BadInput(f"{pair!r} is not a tag.", field="x-trimtab-tags", mend="Write topic=billing,app=web.")
        tags[name.strip()] = value.strip()
    return tags


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > _TAGS:
        raise BadInput(f"has more than {_TAGS} tags.", field="trimtab.tags")
    for name, value in tags.items():
        if not name or len(name) > _TAG_NAME or len(value) > _TAG_VALUE:
            mend = f"Use at most {_TAG_NAME} characters for a tag's name and {_TAG_VALUE} for its value."
            raise BadInput("is too long or has no name.", field=f"trimtab.tags.{name[:_TAG_NAME]}", mend=mend)
    return tags


def _plan(value: object, headers: Mapping[str, str]) -> tuple[str, ...] | None:
    """The agreed tools: a list in the body, else the header ``read_file,send_mail``. An empty plan agrees to none."""
    if value is None:
        header = headers.get("x-trimtab-plan")
        if header is None:
            return None
        value = [name.strip() for name in header.split(",") if name.strip()]
    mend = "List the names of the tools, each as often as it may be called."
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise BadInput("must be a list of tool names.", field="trimtab.plan", mend=mend)
    if len(value) > _PLANNED:
        raise BadInput(f"names more than {_PLANNED} calls.", field="trimtab.plan", mend=mend)
    return tuple(value)


def _session(text: str) -> str:
    if len(text) > _SESSION:
        raise BadInput("is too long.", field="trimtab.session", mend=f"Use at most {_SESSION} characters.")
    return text


def _text(value: object, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(where, "text", value)
    return value


def _object(value: object, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(where, "an object", value)
    return value


def _text_map(value: object, where: str) -> dict[str, str]:
    found = _object(value, where)
    for name, item in found.items():
        if not isinstance(item, str):
            raise wrong(f"{where}.{name}", "text", item)
    return found


def _broken(body: bytes, error: Exception) -> BadInput:
    try:
        body.decode()
    except UnicodeDecodeError as found:
        mend = "Encode the JSON as UTF-8."
        return BadInput(f"is not valid UTF-8 (byte {found.start}).", field="body", mend=mend)
    said = str(error).rstrip(".").removeprefix("JSON is malformed: ")
    return BadInput(f"is not valid JSON: {said}.", field="body", mend="Send a JSON object.")


_WORDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def wrong(where: str, wanted: str, got: object) -> BadInput:
    """The error for a value of the wrong type."""
    return BadInput(f"must be {wanted}, not {_WORDS.get(type(got), 'null')}.", field=where)


def _shown(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else _WORDS.get(type(value), "null")
