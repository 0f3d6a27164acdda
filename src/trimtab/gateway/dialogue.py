"""Dialogue flows on a request: canned answers in place of a model, and what the model is told to say."""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimtab.core import Call, Layer, TrimtabError, digest_of, evolve
from trimtab.guard.dialogue import Flows, Meant, Outcome, nearest
from trimtab.providers import EMBEDDINGS

from .actions import conversation_of
from .cache import unit
from .canned import Canned
from .draft import Draft
from .live import LiveTrace
from .watchman import text_of

if TYPE_CHECKING:
    from .gateway import Gateway

_DOES = {
    "pass": "The model answers.",
    "answer": "A canned answer is given.",
    "instruct": "The model is told what to do.",
}
#: Messages of a conversation that are recognised, the newest of them.
MOST_TURNS = 100
#: Vectors of examples and messages that are kept, and texts that are embedded at once.
_MOST_VECTORS, _AT_ONCE = 4096, 256
#: From so many examples on they are compared in a thread.
_INLINE_EXAMPLES = 200


class Vectors:
    """Texts as vectors of length 1, by the model that made them; what was used longest ago goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Sequence[float]] = OrderedDict()

    async def of(self, gateway: Gateway, flows: Flows, texts: Sequence[str]) -> list[Sequence[float]]:
        """A vector for each text. Raises what the model raises, and TimeoutError."""
        model = flows.match.model
        # What is known is taken before the wait: other requests may push it out meanwhile.
        found = {text: self._kept[model, text] for text in texts if (model, text) in self._kept}
        wanted = list(dict.fromkeys(text for text in texts if text not in found))
        if wanted:
            embed = gateway.providers.embedder(model)
            async with asyncio.timeout(flows.match.timeout):
                for at in range(0, len(wanted), _AT_ONCE):
                    part = wanted[at : at + _AT_ONCE]
                    found |= zip(part, (array("f", unit(vector)) for vector in await embed(part)), strict=True)
        for text, vector in found.items():
            self._kept[model, text] = vector
            self._kept.move_to_end((model, text))
        while len(self._kept) > _MOST_VECTORS:
            self._kept.popitem(last=False)
        return [found[text] for text in texts]


async def steer(
    gateway: Gateway, flows: Flows, draft: Draft, call: Call, live: LiveTrace
) -> tuple[Call, Canned | None]:
    """What the flows of the policy make of a request: the call, perhaps with an instruction for the model, and the
    answer that stands in the place of the models, if there is one."""
    newest = draft.messages[-1] if draft.messages else {}
    embeds = live.ask.native is not None and live.ask.native.dialect == EMBEDDINGS
    if embeds or newest.get("role") != "user":
        return call, None
    since_ns = live.clock()
    outcome, meant, how = await _outcome(gateway, flows, draft, live)
    if outcome.by or meant.intent:
        finding: dict[str, Any] = {"rule": outcome.by or "no flow", "action": "allow", "reason": _DOES[outcome.kind]}
        finding |= {"scanner": "flows", "kind": meant.intent, "score": meant.score}
        live.step(
            "guard flow", "guardrail", since_ns, Layer.SAFETY, output="allow",
            attributes={"stage": "dialogue", "matched": how, "outcome": outcome.kind, "findings": [finding]},
        )  # fmt: skip
    if outcome.kind == "answer":
        return call, Canned(outcome.text)
    if outcome.kind == "instruct":
        return evolve(call, messages=({"role": "system", "content": outcome.text}, *call.messages)), None
    return call, None


async def _outcome(gateway: Gateway, flows: Flows, draft: Draft, live: LiveTrace) -> tuple[Outcome, Meant, str]:
    """What the newest message gets, what it means, and how that was found."""
    texts = [text_of(message) for message in draft.messages if message.get("role") == "user"][-MOST_TURNS:]
    meant, how = await _meant(gateway, flows, texts)
    turns = [flows.turn(text, each.intent) for text, each in zip(texts, meant, strict=True)]
    seed = conversation_of(live)
    store = gateway.conversations
    alone = len(turns) == 1 and not any(message.get("role") == "assistant" for message in draft.messages)
    if store is not None and live.ask.session and alone:  # a client that sends only what is new
        known = digest_of({"conversation": seed, "policy": live.stamp.guard.rpartition("/")[0], "route": live.route})
        turns = [*await store.recall(known), *turns]
        await store.keep(known, turns)
    return flows.follow(turns, seed), meant[-1], how


async def _meant(gateway: Gateway, flows: Flows, texts: Sequence[str]) -> tuple[list[Meant], str]:
    """The intent of each text: by vectors where the policy names a model, and by words where that fails."""
    large = len(flows.examples) > _INLINE_EXAMPLES or len(texts) > 20
    how = "words"
    if flows.match.model:
        try:
            vectors = await gateway.vectors.of(gateway, flows, [*texts, *(text for _, text in flows.examples)])
        except (TrimtabError, TimeoutError) as error:
            how = f"words ({type(error).__name__})"
        else:
            owned = [intent for intent, _ in flows.examples]
            examples = list(zip(owned, vectors[len(texts) :], strict=True))
            return await asyncio.to_thread(
                lambda: [nearest(vector, examples, flows.match.near) for vector in vectors[: len(texts)]]
            ), "vectors"
    if large:
        return await asyncio.to_thread(_by_words, flows, texts), how
    return _by_words(flows, texts), how


def _by_words(flows: Flows, texts: Sequence[str]) -> list[Meant]:
    return [flows.by_words(text) for text in texts]
