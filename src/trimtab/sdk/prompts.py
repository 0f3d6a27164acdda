"""Prompts from the registry: loaded by address, kept for a minute, and served stale when the server is away."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from trimtab.core import Address, BadInput, NotFound, TrimtabError, parse_address

from .connection import Unreachable, call
from .settings import Settings, current_settings

_LOG = logging.getLogger("trimtab")
# As the server reads them: ``\\{{`` is two braces, ``{{ name }}`` a variable.
_TOKEN = re.compile(r"\\\{\{|\{\{[ \t]*([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*\}\}")
_TIMEOUT = 3.0
_REMEMBERED = 8

# What was filled in here lately, so that the model call that carries the text can name its prompt.
_FILLED: ContextVar[tuple[tuple[str, str, int], ...]] = ContextVar("trimtab_prompts", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One version of a prompt. ``messages`` are its templates, with ``{{name}}`` where a variable goes."""

    name: str
    version: int
    messages: tuple[Mapping[str, Any], ...]
    label: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def template(self) -> str:
        """The text of the only message, or of all of them."""
        return "\n\n".join(text for message in self.messages for text in _texts(message))

    @property
    def variables(self) -> tuple[str, ...]:
        """The names that ``format`` wants, in the order they first appear in."""
        return tuple(dict.fromkeys(filter(None, _TOKEN.findall(self.template))))

    def format(self, **variables: object) -> Any:
        """The prompt with its variables filled in: text for a prompt of one message, else a list of messages.

        Raises BadInput for a variable that is missing or that the prompt does not have.
        """
        messages = self.to_messages(**variables)
        return messages[0]["content"] if len(messages) == 1 else messages

    #: Langfuse's name for ``format``.
    compile = format

    def to_messages(self, **variables: object) -> list[dict[str, Any]]:
        """The filled prompt as chat messages, whatever their number. Raises BadInput as ``format`` does."""
        wanted = self.variables
        for name in variables:
            if name not in wanted:
                raise BadInput(
                    f"{self.name}/{self.version} has no variable {name!r}",
                    field=name,
                    mend=f"It has {', '.join(wanted) or 'none'}.",
                )
        given = {**self.defaults, **{name: _written(value) for name, value in variables.items()}}
        for name in wanted:
            if name not in given:
                raise BadInput(f"{self.name}/{self.version} needs {name!r}", field=name, mend=f"Pass {name}=...")

        def fill(text: str) -> str:
            return _TOKEN.sub(lambda match: given[match[1]] if match[1] else "{{", text)

        filled = [_filled(message, fill) for message in self.messages]
        found = tuple((text, self.name, self.version) for message in filled for text in _texts(message) if text)
        _FILLED.set((*_FILLED.get(), *found)[-_REMEMBERED:])
        return filled


def _texts(message: Mapping[str, Any]) -> list[str]:
    """The texts of a message whose content is text or a list of parts."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    return [text for part in parts if isinstance(text := part.get("text"), str)]


def _filled(message: Mapping[str, Any], fill: Callable[[str], str]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        return {
            **message,
            "content": [{**p, "text": fill(p["text"])} if isinstance(p.get("text"), str) else p for p in content],
        }
    return {**message, "content": fill(str(content or ""))}


def _written(value: object) -> str:
    """A value as it stands in the text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def prompt_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str, int] | None:
    """The name and version of the prompt, filled in this context, whose text the messages carry."""
    texts = [text for message in messages for text in _texts(message)]
    for filled, name, version in sorted(_FILLED.get(), key=lambda item: -len(item[0])):
        if any(filled in text for text in texts):
            return name, version
    return None


class PromptCache:
    """Keeps what ``fetch`` brought for ``fresh`` seconds, and longer while the server does not answer.

    A prompt by number never changes and is kept for good. ``clock`` gives seconds.
    """

    def __init__(
        self,
        fetch: Callable[[Settings, Address], Prompt],
        *,
        fresh: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._fresh, self._clock = fetch, fresh, clock
        self._kept: dict[tuple[str, Address], tuple[Prompt, float]] = {}
        self._lock = threading.Lock()
        self._stale_said = False

    def get(self, settings: Settings, address: Address) -> Prompt:
        """The prompt, fetched when it is not fresh. Raises what ``fetch`` raises when nothing is kept."""
        place = (settings.url, address)
        with self._lock:
            kept = self._kept.get(place)
        if kept and (address.number or self._clock() - kept[1] < self._fresh):
            return kept[0]
        try:
            prompt = self._fetch(settings, address)
        except Unreachable as error:
            if kept is None:
                raise
            if not self._stale_said:
                self._stale_said = True
                _LOG.warning("trimtab: %s; prompts are served from memory until it does.", error.message)
            prompt = kept[0]
        else:
            self._stale_said = False
        with self._lock:
            # A stale prompt counts as fresh again, so that an absent server is not asked by every call.
            self._kept[place] = (prompt, self._clock())
        return prompt

    def forget(self) -> None:
        """Drop everything kept."""
        with self._lock:
            self._kept.clear()


def fetch_prompt(settings: Settings, address: Address) -> Prompt:
    """One prompt from the server. Raises NotFound, naming what there is, or another TrimtabError."""
    path = f"/api/versions/prompts/{quote(address.name, safe='')}"
    number = address.number
    if not number:
        labels = _ask(settings, path + "?limit=1").get("labels") or {}
        if address.label not in labels:
            there = ", ".join(sorted(labels)) or "no label"
            raise NotFound(
                f"the prompt {address.name!r} has no label {address.label!r}", field="address", mend=f"It has {there}."
            )
        number = int(labels[address.label])
    return _prompt(_ask(settings, f"{path}/{number}"), address.label)


def _ask(settings: Settings, path: str, body: bytes | None = None) -> dict[str, Any]:
    answer = call(settings, "POST" if body else "GET", path, body, timeout=_TIMEOUT)
    if answer.status == NotFound.status:
        raise NotFound(answer.problem, field="address")
    if not 200 <= answer.status < 300:
        raise TrimtabError(f"{settings.url} answered {answer.problem}")
    return answer.json()


def _prompt(version: Mapping[str, Any], label: str) -> Prompt:
    content = version.get("content") or {}
    variables = content.get("variables") or {}
    return Prompt(
        name=str(version["name"]),
        version=int(version["number"]),
        messages=tuple(content.get("messages") or ()),
        label=label,
        defaults={name: _written(spec["default"]) for name, spec in variables.items() if "default" in spec},
    )


CACHE = PromptCache(fetch_prompt)


def load_prompt(address: str) -> Prompt:
    """A prompt by address: ``prompts:/name@label``, ``prompts:/name/7``, or ``name`` for the label production.

    Raises NotFound when there is none, Unreachable when the server does not answer and nothing is kept.
    """
    return CACHE.get(current_settings(), parse_address(address, kind="prompts"))


def get_prompt(name: str, *, label: str = "production", version: int = 0) -> Prompt:
    """A prompt by name, and by number or label (Langfuse's way to ask). Raises as ``load_prompt`` does."""
    return load_prompt(f"prompts:/{name}/{version}" if version else f"prompts:/{name}@{label}")


def register_prompt(
    name: str, template: str | Sequence[Mapping[str, Any]], *, note: str = "", label: str = "", author: str = ""
) -> Prompt:
    """Register a version: one text (it becomes the system message) or chat messages, variables as ``{{name}}``.

    The same content is the same version. ``label`` also moves that label onto it. Raises BadInput for a template
    that the server refuses, Unreachable when it does not answer.
    """
    messages = [{"role": "system", "content": template}] if isinstance(template, str) else [dict(m) for m in template]
    body = json.dumps({"content": {"messages": messages}, "note": note, "label": label, "author": author}).encode()
    answer = call(current_settings(), "POST", f"/api/versions/prompts/{quote(name, safe='')}", body, timeout=_TIMEOUT)
    if not 200 <= answer.status < 300:
        raise BadInput(f"the prompt {name!r} was not registered: {answer.problem}", field="template")
    CACHE.forget()
    return _prompt(answer.json(), label)
