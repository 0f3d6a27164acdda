"""What a translator works with: the attributes it takes from, the reading it fills, and how both are done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trimtab.traces.messages import compact, last_user_text, messages_of, text_of
from trimtab.traces.otlp import RawEvent
from trimtab.traces.usage import Tokens

_TAGS = 64
_PLAIN = (str, int, float)
_COUNTS = tuple(f"{name}_tokens" for name in Tokens._fields)


class Reading(msgspec.Struct, kw_only=True):
    """What the dialects found. Empty text and None mean that nobody said."""

    kind: str = ""
    session: str = ""
    provider: str = ""
    asked: str = ""
    answered: str = ""
    fingerprint: str = ""
    prompt: str = ""
    prompt_version: str = ""
    input: str = ""
    output: str = ""
    error: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    #: Input that was put into the vendor's cache, and what of that stays an hour.
    written_tokens: int | None = None
    hour_tokens: int | None = None
    cost_usd: float | None = None
    ttft_ns: int | None = None
    tags: dict[str, str] = {}

    def say(self, is_input: bool, text: str) -> bool:
        """Set the input or output unless an earlier dialect did. Whether it was set."""
        name = "input" if is_input else "output"
        if not text or getattr(self, name):
            return False
        setattr(self, name, text)
        return True

    def count(self, tokens: Tokens) -> None:
        """Keep token counts that no earlier dialect gave."""
        for name, value in zip(_COUNTS, tokens, strict=True):
            if getattr(self, name) is None:
                setattr(self, name, value)

    def tag(self, name: Any, value: Any) -> None:
        """A tag, bounded; the first value of a name stays."""
        text = str(name).strip()[:100]
        if text and (text in self.tags or len(self.tags) < _TAGS):
            self.tags.setdefault(text, str(value).strip()[:200] or "true")


class Attributes:
    """A span's attributes and events that are read by taking: what nobody takes stays for the record."""

    def __init__(self, values: Mapping[str, Any], events: Iterable[RawEvent] = (), start_ns: int = 0) -> None:
        self.rest: dict[str, Any] = dict(values)
        self.events: list[RawEvent] = list(events)
        self.start_ns = start_ns

    def text(self, *names: str) -> str:
        """The first of ``names`` that holds text or a number, taken; empty text when none does."""
        rest = self.rest
        for name in names:
            if name in rest:
                value = rest[name]
                if isinstance(value, _PLAIN) and not isinstance(value, bool) and value != "":
                    del rest[name]
                    return str(value)
        return ""

    def count(self, *names: str) -> int | None:
        """The first of ``names`` that holds a number of 0 or more, taken."""
        number = self.number(*names)
        return None if number is None or number >= 1 << 53 else int(number)

    def number(self, *names: str) -> float | None:
        """The first of ``names`` that holds a finite number of 0 or more (numbers as text too), taken."""
        rest = self.rest
        for name in names:
            if name not in rest:
                continue
            value = rest[name]
            if value is None or isinstance(value, bool):
                continue
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                continue
            if math.isfinite(number) and number >= 0:
                del rest[name]
                return number
        return None

    def agreed(self, known: str, *names: str) -> str:
        """What is known, else the first of ``names`` that holds text, taken. What only repeats it is taken too."""
        for name in names:
            if known and self.rest.get(name) == known:
                del self.rest[name]
        return known or self.text(*names)

    def value(self, name: str) -> Any:
        """Anything, taken."""
        return self.rest.pop(name, None)

    def json(self, name: str) -> Any:
        """Anything, taken, and decoded when it is JSON text."""
        return decoded(self.value(name))

    def peek(self, name: str) -> Any:
        """Anything, decoded when it is JSON text, and left where it is."""
        return decoded(self.rest.get(name))

    def under(self, prefix: str) -> dict[str, Any]:
        """The attributes whose names start with ``prefix``, by the rest of their names; left where they are."""
        return {name[len(prefix) :]: value for name, value in self.rest.items() if name.startswith(prefix)}

    def drop(self, prefix: str) -> None:
        """Take everything whose name starts with ``prefix``."""
        for name in [name for name in self.rest if name.startswith(prefix)]:
            del self.rest[name]


def decoded(raw: Any) -> Any:
    """JSON text decoded; anything else as it is."""
    if not isinstance(raw, str):
        return raw
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return raw


class Counts:
    """The names under which a dialect tells token counts; ``put`` are tokens that were put into the vendor's cache."""

    def __init__(
        self,
        *,
        read: tuple[str, ...] = (),
        written: tuple[str, ...] = (),
        cached: tuple[str, ...] = (),
        reasoning: tuple[str, ...] = (),
        put: tuple[str, ...] = (),
    ) -> None:
        self.each = tuple(zip(_COUNTS, (read, written, cached, reasoning, put, ()), strict=True))
        self.names = frozenset((*read, *written, *cached, *reasoning, *put))


def take_usage(attributes: Attributes, reading: Reading, counts: Counts) -> None:
    """Token counts from attributes of these names; what an earlier dialect said stays."""
    rest = attributes.rest
    if counts.names.isdisjoint(rest):
        return
    for name, sources in counts.each:
        for source in sources:
            if source in rest:
                break
        else:
            continue
        known = getattr(reading, name)
        if known is None:
            known = attributes.count(*sources)
            setattr(reading, name, known)
        for source in sources:
            # What only repeats it need not be kept twice.
            if known is not None and rest.get(source) == known:
                del rest[source]


def converse(reading: Reading, is_input: bool, raw: Any) -> bool:
    """Messages (or plain text) said or heard. An ``llm`` span keeps its messages, any other span the question that a
    person asked. Whether everything in them is kept by that, so that the attribute may go."""
    messages = messages_of(raw)
    if messages is None:
        return isinstance(raw, str) and reading.say(is_input, raw)
    if not is_input:
        said = "\n\n".join(filter(None, map(text_of, messages)))
        lossless = all(set(message) <= {"role", "content"} for message in messages)
    elif reading.kind in ("llm", ""):
        said, lossless = compact(messages), True
    else:
        said, lossless = last_user_text(messages), len(messages) == 1
    return reading.say(is_input, said) and lossless


def take_conversation(attributes: Attributes, reading: Reading, asked: str, answered: str) -> None:
    """The messages under these two names."""
    rest = attributes.rest
    for name, is_input in ((asked, True), (answered, False)):
        if name in rest and converse(reading, is_input, rest[name]):
            del rest[name]


def spoken(value: Any, raw: str, kind: str) -> str:
    """What a person would read of a decoded JSON value: the text of one argument, the messages of a chat, the text of
    a vendor's answer, else the JSON."""
    if isinstance(value, dict):
        messages = messages_of(value.get("messages"))
        if messages is not None and kind == "llm":
            return compact(messages)
        answer = answered(value)
        if answer:
            return answer
        if len(value) == 1:
            name, value = next(iter(value.items()))
            if name in ("output", "outputs") and isinstance(value, list | dict):
                return compact(value)
    return value if isinstance(value, str) else raw


def answered(value: Mapping[str, Any]) -> str:
    """The text of a chat completion, a message of Anthropic's or a plain message; empty when it is none of them."""
    choices = value.get("choices")
    if isinstance(choices, list):
        found = [choice.get("message") for choice in choices if isinstance(choice, Mapping)]
    elif value.get("role") and ("content" in value or "tool_calls" in value):
        found = [value]
    else:
        return ""
    messages = messages_of(found)
    return "\n\n".join(filter(None, map(text_of, messages or [])))


def nested(values: Mapping[str, Any]) -> Any:
    """``{"0.message.role": "user"}`` as lists and dictionaries: a part of a name that is a number is a place in a
    list. None when the names contradict each other."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        place = tree
        *path, last = name.split(".")
        for part in path:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                return None
            place = inner
        if last in place:
            return None
        place[last] = value
    return _listed(tree, 12)


def _listed(tree: Any, depth: int) -> Any:
    if not isinstance(tree, dict) or depth == 0:
        return tree
    if tree and all(name.isascii() and name.isdecimal() and len(name) <= 6 for name in tree):
        return [_listed(tree[name], depth - 1) for name in sorted(tree, key=int)]
    return {name: _listed(value, depth - 1) for name, value in tree.items()}
