"""What will be sent to the model, while it is being put together: the prompt's template, variables, passages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from trimtab.core import (
    INDEX_SOURCE,
    INDEX_WATERMARK,
    BadInput,
    Call,
    ConfigError,
    Layer,
    Message,
    TrimtabError,
    Version,
)
from trimtab.knowledge import quarantined, render
from trimtab.prompts import Template, params_of, validate

from .ask import Ask
from .live import LiveTrace, last_user_text
from .route import Route

if TYPE_CHECKING:
    from .gateway import Gateway

PASSAGES = 4
#: Documents in quarantine that a trace names.
_MOST_NAMED = 50


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """``messages`` and ``variables`` are the caller's; ``template`` is None when no prompt was asked for.

    ``reading`` is the template, read, and ``partials`` the contents of the prompts that it puts in, by address.
    """

    messages: tuple[Message, ...]
    variables: Mapping[str, Any]
    template: Mapping[str, Any] | None = None
    passages: Mapping[str, str] = {}
    reading: Template | None = None
    partials: Mapping[str, Mapping[str, Any]] = {}

    def call(self, ask: Ask, route: Route) -> Call:
        """The call to the model. Raises BadInput (layer 3) naming a variable that is missing or unknown."""
        params = ask.params
        messages = self.messages
        if self.template is not None and self.reading is not None:
            params = {**params_of(self.template), **params}
            try:
                values = {**self.variables, **self.passages}
                messages = tuple(self.reading.fill(values, messages, self.partials.__getitem__))
            except BadInput as error:
                error.layer, error.field = Layer.PROMPT, f"trimtab.{error.field}"
                raise
        return call_of(ask, route, messages, params)


def call_of(ask: Ask, route: Route, messages: tuple[Message, ...], params: Mapping[str, Any]) -> Call:
    """The call that a request makes with these messages, within its own time and the route's."""
    return Call(
        model=ask.model,
        messages=messages,
        params=params,
        stream=ask.stream,
        timeout=min(ask.timeout, route.total) if ask.timeout else route.total,
        native=ask.native,
    )


def fill(gateway: Gateway, route: Route, live: LiveTrace) -> Draft:
    """Choose the prompt version that speaks, if the request or its route names a prompt."""
    ask = live.ask
    address = ask.pins.get("prompts", ask.prompt or route.prompt)
    if not address:
        if ask.variables:
            mend = "Name a prompt as trimtab.prompt, or leave the variables out."
            raise BadInput("are given, and there is no prompt to put them in.", field="trimtab.variables", mend=mend)
        return Draft(messages=ask.messages, variables={})
    if ask.prompt:
        version = gateway.pick("prompts", address, live)
    else:
        version = gateway.pick_named("prompts", address, live, f"the route {route.name}")
    live.pinned(prompt=version.pin)
    reading = gateway.once(version, _read_template)
    partials = _partials(gateway, version, reading, live) if reading.addresses else {}
    return Draft(
        messages=ask.messages, variables=ask.variables, template=version.content, reading=reading, partials=partials
    )


def _partials(gateway: Gateway, version: Version, reading: Template, live: LiveTrace) -> dict[str, Mapping[str, Any]]:
    """The prompts that this one puts in, by address. What they are is the prompt's business and not the caller's."""
    found: dict[str, Mapping[str, Any]] = {}

    def resolve(address: str) -> Mapping[str, Any]:
        part = gateway.pick("prompts", address, live, pinned=f"prompts:{address}")
        live.partials = {**live.partials, address: part.pin}
        found[address] = part.content
        return part.content

    try:
        reading.partials(resolve)
    except BadInput as error:
        broken = ConfigError(f"{version.address} cannot be used: {error}", mend="Roll it back or register a right one.")
        broken.layer = Layer.PROMPT
        raise broken from error
    return found


async def ground(gateway: Gateway, draft: Draft, live: LiveTrace, quarantine: float | None = None) -> Draft:
    """Find passages for the last thing the user said, if the prompt names a corpus. A document in which an instruction
    was found when it was taken in, with a score from ``quarantine`` on, gives none."""
    template = draft.template
    if template is None or not template.get("corpus"):
        return draft
    if "passages" in draft.variables:
        mend = "Leave it out: the passages come from the prompt's corpus."
        raise BadInput("is filled by Trimtab.", field="trimtab.variables.passages", mend=mend)
    address = live.ask.pins.get("corpora", template["corpus"])
    if not address:
        return replace(draft, passages={"passages": render([])})
    since_ns = live.clock()
    try:
        version = gateway.pick_named("corpora", address, live, f"the prompt {live.stamp.prompt}")
        live.pinned(knowledge=version.pin)
        query = last_user_text(draft.messages)
        limit = template.get("passages", PASSAGES)
        found = await gateway.corpora.search(version, query, limit, quarantine=quarantine)
    except TrimtabError as error:
        error.layer = Layer.KNOWLEDGE
        raise
    live.passages = [asdict(passage) for passage in found]
    text = render(found)
    # Sources may have been read anew since, and their snapshot not be served.
    newest_ns = gateway.registry.newest_ns(version.kind, version.name)
    attributes: dict[str, Any] = {"found": len(found), INDEX_WATERMARK: version.created_ns, INDEX_SOURCE: newest_ns}
    if kept_out := quarantined(version, quarantine):
        attributes["quarantined"] = kept_out[:_MOST_NAMED]
    live.step(version.name, "retriever", since_ns, Layer.KNOWLEDGE, output=text, attributes=attributes)
    return replace(draft, passages={"passages": text})


def _read_template(version: Version) -> Template:
    """A template is checked where it is used: a registry holds whatever was put in."""
    try:
        validate(version.content)
        return Template(version.content)
    except BadInput as error:
        broken = ConfigError(f"{version.address} cannot be used: {error}", mend="Roll it back or register a right one.")
        broken.layer = Layer.PROMPT
        raise broken from error
