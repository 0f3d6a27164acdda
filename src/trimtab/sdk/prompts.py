"""Prompts from the registry: loaded by address, filled in, and named by the spans that use them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from trimtab.core import Address, BadInput, NotFound, TrimtabError, parse_address
from trimtab.templates import Template, Variable

from .connection import call
from .livespan import Sticky, get_current_span, sticky
from .promptcache import Known, PromptCache, Served
from .settings import Settings, current_settings

_TIMEOUT = 3.0
_REMEMBERED = 8
_OK, _NOT_MODIFIED = 200, 304


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One version of a prompt. ``messages`` are its templates, with ``{{name}}`` where a variable goes.

    ``content`` is everything that the version holds, and ``parts`` the contents of the prompts that it puts in.
    While a version is rolled out, ``rollout`` and ``arm`` (base or candidate) say how this one was drawn.
    """

    name: str
    version: int
    messages: tuple[Mapping[str, Any], ...]
    label: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rollout: str = ""
    arm: str = ""

    @property
    def template(self) -> str:
        """The text of the only message, or of all of them."""
        return "\n\n".join(text for message in self.messages for text in _texts(message))

    @property
    def variables(self) -> tuple[str, ...]:
        """The names that ``format`` takes, in the order they are declared, else first appear, in."""
        template = self._template()
        return tuple(template.all_variables(template.partials(self._part).values()))

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters that the prompt asks a model to be called with, such as the temperature."""
        return dict(self.content.get("params") or {})

    def _part(self, address: str) -> Mapping[str, Any]:
        found = self.parts.get(address)
        if found is None:
            mend = "Load the prompt with load_prompt."
            raise BadInput(f"{self.name}/{self.version} puts {address!r} in, which was not loaded", mend=mend)
        return found

    def _template(self) -> Template:
        return Template(self.content or {"messages": self.messages})

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
        template = self._template()
        declared = template.all_variables(template.partials(self._part).values())
        given = {name: _fitting(value, declared.get(name)) for name, value in variables.items()}
        try:
            filled = [dict(message) for message in template.fill(given, (), self._part)]
        except BadInput as error:
            message, field = f"{self.name}/{self.version}: {error.message}", error.field.removeprefix("variables.")
            raise BadInput(message, field=field, mend=error.mend) from None
        found = tuple((text, self) for message in filled for text in _texts(message) if text)
        _FILLED.set((*_FILLED.get(), *found)[-_REMEMBERED:])
        if (span := get_current_span()) is not None:
            span.set_attributes(self.attributes)
        return filled

    @property
    def attributes(self) -> dict[str, Any]:
        """What a span says about the prompt that it used."""
        named = {"gen_ai.prompt.name": self.name, "gen_ai.prompt.version": str(self.version)}
        drawn = {"trimtab.rollout": self.rollout, "trimtab.arm": self.arm}
        return named | (drawn if self.rollout else {})


def _texts(message: Mapping[str, Any]) -> list[str]:
    """The texts of a message whose content is text or a list of parts."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    return [text for part in parts if isinstance(text := part.get("text"), str)]


def _fitting(value: object, variable: Variable | None) -> object:
    """A value as the template takes it: for a text whatever is given is written out, everything else is checked."""
    return _written(value) if variable is None or variable.type == "string" else value


def _written(value: object) -> str:
    """A value as it stands in the text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


# What was filled in here lately, so that the model call that carries the text can name its prompt.
_FILLED: ContextVar[tuple[tuple[str, Prompt], ...]] = ContextVar("trimtab_prompts", default=())


def filled_in(messages: Sequence[Mapping[str, Any]]) -> Prompt | None:
    """The prompt, filled in this context, whose text the messages carry."""
    texts = [text for message in messages for text in _texts(message)]
    for filled, prompt in sorted(_FILLED.get(), key=lambda item: -len(item[0])):
        if any(filled in text for text in texts):
            return prompt
    return None


def prompt_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str, int] | None:
    """The name and version of the prompt, filled in this context, whose text the messages carry."""
    prompt = filled_in(messages)
    return (prompt.name, prompt.version) if prompt else None


def fetch_prompt(settings: Settings, address: Address, who: Sticky, known: Known) -> Served:
    """What the server serves for this caller. Raises NotFound, naming what there is, or another TrimtabError."""
    named = f"{address.name}/{address.number}" if address.number else f"{address.name}@{address.label}"
    query = {"address": f"prompts:/{named}", "key": who.session, "user": who.user, "request": who.request}
    path = "/api/resolve?" + urlencode({name: value for name, value in query.items() if value})
    tags = ", ".join(f'"{digest}"' for digest in known)
    answer = call(settings, "GET", path, known=tags, timeout=_TIMEOUT)
    if answer.status == NotFound.status:
        raise NotFound(answer.problem, field="address")
    digest = answer.headers.get("etag", "").strip('"')
    rollout, arm, by = (answer.headers.get(f"x-trimtab-{name}", "") for name in ("rollout", "arm", "sticky"))
    if answer.status == _NOT_MODIFIED and digest in known:
        prompt = known[digest]
    elif answer.status == _OK:
        prompt = _prompt(answer.json(), address.label)
    else:
        raise TrimtabError(f"{settings.url} answered {answer.problem}")
    return Served(prompt=replace(prompt, rollout=rollout, arm=arm), digest=digest, sticky=by)


def _prompt(version: Mapping[str, Any], label: str) -> Prompt:
    content = version.get("content") or {}
    return Prompt(
        name=str(version["name"]),
        version=int(version["number"]),
        messages=tuple(content.get("messages") or ()),
        label=label,
        content=content,
    )


CACHE = PromptCache(fetch_prompt)


def load_prompt(address: str) -> Prompt:
    """A prompt by address: ``prompts:/name@label``, ``prompts:/name/7``, or ``name`` for the label production.

    While a version is rolled out, the session said with ``set_session`` (else the tag ``user``, else the trace) decides
    who gets it, and keeps it. Raises NotFound when there is none, Unreachable when the server does not answer and
    nothing is kept.
    """
    return _with_parts(_kept(address))


def _kept(address: str) -> Prompt:
    return CACHE.get(current_settings(), parse_address(address, kind="prompts"), sticky())


def _with_parts(prompt: Prompt) -> Prompt:
    """The prompt with the contents of all prompts that it puts in, so that filling it asks nobody."""
    parts: dict[str, Mapping[str, Any]] = {}

    def resolve(address: str) -> Mapping[str, Any]:
        parts[address] = _kept(address).content
        return parts[address]

    Template(prompt.content).partials(resolve)
    return replace(prompt, parts=parts) if parts else prompt


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
    return _with_parts(_prompt(answer.json(), label))
