"""How a probe asks a model: through the gateway, as traffic of Trimtab's own, on a budget of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from trimtab.core import Call, Chunk, LimitReached, Message, Model, ModelTimeout, Usage
from trimtab.evals import OWN_PROJECTS
from trimtab.gateway import Ask, Gateway
from trimtab.traces import price_of

#: Seconds for one call, and calls of one run under way at once.
TIMEOUT_S, AT_ONCE = 20.0, 4
#: Opens a model by reference, for a probe by name.
Door = Callable[[str, str], Model]


class Spent(LimitReached):
    """The probe's budget of the day is spent: an end of the run, no failure."""

    code = "probe_budget_spent"


def through(gateway: Gateway) -> Door:
    """Models as the gateway asks them: recorded under Trimtab's own project, so that nobody scores or watches them as
    traffic, with the probe's name as a tag; neither guarded nor given a prompt."""

    def opened(ref: str, probe: str) -> Model:
        async def model(call: Call) -> AsyncIterator[Chunk]:
            ask = Ask(
                model=ref, messages=call.messages, params=call.params, stream=call.stream, project=OWN_PROJECTS,
                pins={"guards": "", "prompts": ""}, tags={"probe": probe}, timeout=call.timeout,
            )  # fmt: skip
            async with aclosing(gateway.serve(ask)) as chunks:
                async for chunk in chunks:
                    yield chunk

        return model

    return opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer. ``logprobs`` are those of its first token, empty where the provider gives none."""

    text: str
    model: str
    fingerprint: str
    logprobs: Mapping[str, float]


class Meter:
    """Counts what one run asks and costs, and ends it when the day's budget is spent.

    Money is what the provider's usage comes to at known prices; a call that is under way when the budget ends still
    ends, so the budget is overspent by AT_ONCE calls at most. A call without a known price is counted in ``unpriced``.
    """

    def __init__(self, door: Door, probe: str, *, calls_left: int | None = None, usd_left: float | None = None) -> None:
        self._door, self._probe = door, probe
        self._calls_left, self._usd_left = calls_left, usd_left
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.calls = self.failed = self.unpriced = 0
        self.usd = 0.0

    @property
    def left(self) -> bool:
        """Whether anything may still be asked."""
        within = self._calls_left is None or self.calls < self._calls_left
        return within and (self._usd_left is None or self.usd < self._usd_left)

    def model(self, ref: str) -> Model:
        """A model whose calls are counted. Raises Spent where the budget is."""
        asked = self._door(ref, self._probe)

        async def model(call: Call) -> AsyncIterator[Chunk]:
            async with self._turns:
                if not self.left:
                    raise Spent("The probe's budget of today is spent.", mend="It goes on after midnight UTC.")
                self.calls += 1
                usage: Usage | None = None
                answered = ""
                try:
                    async for chunk in asked(replace(call, model=ref)):
                        usage, answered = chunk.usage or usage, chunk.model or answered
                        yield chunk
                except Exception:  # house: except because what failed is counted and raised on
                    self.failed += 1
                    raise
                finally:
                    self._pay(ref, answered, usage)

        return model

    async def ask(self, ref: str, messages: tuple[Message, ...], params: Mapping[str, Any]) -> Said:
        """One plain question. Raises Spent, ModelTimeout, and what the model raises."""
        call = Call(model=ref, messages=messages, params=params, timeout=TIMEOUT_S)
        text, model, fingerprint, logprobs = "", "", "", dict[str, float]()
        try:
            async with asyncio.timeout(TIMEOUT_S + 5.0):
                async for chunk in self.model(ref)(call):
                    text += chunk.text
                    model, fingerprint = chunk.model or model, chunk.fingerprint or fingerprint
                    logprobs = logprobs or first_logprobs(chunk.body)
        except TimeoutError:
            raise ModelTimeout(f"{ref} did not answer a probe within {TIMEOUT_S:g} s.") from None
        return Said(text=text, model=model, fingerprint=fingerprint, logprobs=logprobs)

    def _pay(self, ref: str, answered: str, usage: Usage | None) -> None:
        provider = ref.partition("/")[0]
        cost = price_of(ref, f"{provider}/{answered}" if answered else "", usage) if usage is not None else None
        if cost is None:
            self.unpriced += usage is not None
        else:
            self.usd += cost


def first_logprobs(body: Mapping[str, Any] | None) -> dict[str, float]:
    """The log-probabilities of the first token in a chat completion's body; empty where it has none."""
    try:
        rows = body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]  # type: ignore[index]
        return {str(row["token"]): float(row["logprob"]) for row in rows}
    except (KeyError, IndexError, TypeError, ValueError):
        return {}
