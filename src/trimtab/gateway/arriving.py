"""What arrives: the caller's words, results of tools, documents, e-mails and memories, each by its provenance."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core import Message
from trimtab.guard import Context, Policy, Vault
from trimtab.guard.actions import tools_of
from trimtab.guard.untrusted import said_by, words_of

from .draft import Draft
from .live import LiveTrace
from .toolcalls import CallText
from .watchman import Watchman, text_of, turns_before, watchman_of

if TYPE_CHECKING:
    from .gateway import Gateway

#: Whose messages arrive from outside; the rest is the application's own.
ROLES = ("user", "tool", "function")
#: From where a part of a message comes: (source, origin), by the positions of message and part, -1 for all parts.
Origins = Mapping[tuple[int, int], tuple[str, str]]


async def arrive(gateway: Gateway, policy: Policy | None, draft: Draft, live: LiveTrace) -> Draft:
    """Scan what the caller sent: variables, and the messages from outside. Returns it redacted, and texts from outside
    marked as the policy says.

    Raises GuardRefused. The template is the house's own and is not scanned; passages are scanned by the scanners that
    name documents among their sources.
    """
    if policy is None:
        return draft
    if policy.actions is not None and isinstance(tools := live.ask.params.get("tools"), list):
        live.tool_pins = await gateway.tool_pins.seen(live.route, tools_of(tools))
    watch = watchman_of(gateway, policy, "input", live)
    if watch.idle:
        return draft
    restoring = policy.restores("input")
    watch.vault = Vault(restoring, after=_earlier(live)) if restoring else None
    variables = {
        name: await through(value, f"trimtab.variables.{name}", watch, Context())
        for name, value in draft.variables.items()
    }
    newest = max((n for n, message in enumerate(draft.messages) if message.get("role") in ROLES), default=-1)
    if newest >= 0 and (policy.contextual("input") or policy.judge is not None):
        watch.turns = turns_before(draft.messages, newest)
    origins = origins_of(draft.messages, live, policy)
    messages = [
        await _arriving(message, n, watch, origins, newest=n == newest) if message.get("role") in ROLES else message
        for n, message in enumerate(draft.messages)
    ]
    retrieved = Context(source="document", extra={"origin": "documents that were looked up"})
    passages = {name: await watch.scan(f"passages.{name}", text, retrieved) for name, text in draft.passages.items()}
    if watch.vault is not None and not watch.vault.empty:
        live.vault = watch.vault
    if not watch.found and not watch.failures and not watch.changed:  # the common case, and then nothing was changed
        return draft
    if any(found["action"] == "redact" for found in watch.found):
        live.keep_as(tuple(messages), variables)
    watch.write()
    return msgspec.structs.replace(draft, messages=tuple(messages), variables=variables, passages=passages)


def _earlier(live: LiveTrace) -> int:
    """From where the placeholders of a request are counted. The model still has those of earlier turns that its
    provider keeps, and nobody knows here how many: so such a request begins at a place of its own."""
    native = live.ask.native
    if native is None or not native.body.get("previous_response_id"):
        return 0
    return 1_000 * (1 + int(live.trace_id[-8:], 16) % 9_990)


def origins_of(messages: tuple[Message, ...], live: LiveTrace, policy: Policy) -> Origins:
    """Where messages and parts come from: as the client says, else by their role; a result knows its tool."""
    origins: dict[tuple[int, int], tuple[str, str]] = {}
    called: dict[str, str] = {}
    for n, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            function = call.get("function") if isinstance(call, Mapping) else None
            if isinstance(function, Mapping):
                called[str(call.get("id"))] = str(function.get("name") or "")
        if message.get("role") in ("tool", "function"):
            tool = called.get(str(message.get("tool_call_id")), str(message.get("name") or ""))
            memory = bool(tool) and policy.untrusted.remembers(tool)
            origins[n, -1] = ("memory" if memory else "tool", f"the tool {tool}" if tool else "a tool")
    for each in live.ask.sources:
        origins[each.message, each.part] = (each.source, each.origin)
    return origins


async def _arriving(message: Message, n: int, watch: Watchman, origins: Origins, *, newest: bool) -> Message:
    turns = watch.turns if newest else ()
    whole = origins.get((n, -1), ("user", ""))

    def context(part: int) -> Context:
        source, origin = origins.get((n, part), whole)
        return Context(source=source, newest=newest, turns=turns, extra={"origin": origin} if origin else {})

    content = message.get("content")
    where = f"messages[{n}].content"
    if isinstance(content, str):
        text = await watch.scan(where, content, context(0))
        return message if text == content else {**message, "content": text}
    # Only text parts: an image in base64 may look like a card number, and would not survive a redaction.
    parts = [
        {**part, "text": await watch.scan(f"{where}[{p}].text", part["text"], context(p))}
        if part["type"] == "text"
        else part
        for p, part in enumerate(content or ())
    ]
    return {**message, "content": parts}


async def through(value: Any, where: str, watch: Watchman, context: Context) -> Any:
    """Any JSON value with each text in it scanned."""
    if isinstance(value, str):
        return await watch.scan(where, value, context)
    if isinstance(value, list):
        return [await through(item, f"{where}[{n}]", watch, context) for n, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {name: await through(item, f"{where}.{name}", watch, context) for name, item in value.items()}
    return value


async def remembering(watch: Watchman, call: CallText, text: str) -> str:
    """The arguments of a call that writes into a memory, scanned as what they will be when they are read again.

    What the user said in so many words is the user's own wish, and passes. Raises GuardRefused.
    """
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        return text  # it is judged as what is no JSON
    messages = watch.call.messages if watch.call is not None else ()
    said = [text_of(message) for message in messages if message.get("role") == "user"]
    foreign = await asyncio.to_thread(lambda: _foreign(arguments, [words_of(each) for each in said]))
    watch.stage = "input"
    context = Context(source="memory", extra={"origin": f"the tool {call.name}", "write": True})
    changed = await through(foreign, call.where, watch, context)
    return text if changed == foreign else json.dumps(_put(arguments, changed), ensure_ascii=False)


def _foreign(value: Any, said: Sequence[frozenset[str]]) -> Any:
    """A value with every text that the user said taken out."""
    if isinstance(value, str):
        return "" if said_by(value, said) else value
    if isinstance(value, list):
        return [_foreign(item, said) for item in value]
    if isinstance(value, dict):
        return {name: _foreign(item, said) for name, item in value.items()}
    return value


def _put(value: Any, changed: Any) -> Any:
    """A value with the texts that were changed in place of its own."""
    if isinstance(value, str):
        return changed or value
    if isinstance(value, list):
        return [_put(item, other) for item, other in zip(value, changed, strict=True)]
    if isinstance(value, dict):
        return {name: _put(item, changed[name]) for name, item in value.items()}
    return value
