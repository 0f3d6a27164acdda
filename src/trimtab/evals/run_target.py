"""Who answers the cases of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from trimtab.core import BadInput, Message, NotFound, TrimtabError, Version
from trimtab.prompts import Template, params_of

from .dataset import Case
from .output import Output
from .scorer import short_digest


class Target(Protocol):
    """Answers a case. ``digest`` is that of everything that decides how; ``repeat`` numbers the answers to one case.

    What it raises is an error of that case: a TrimtabError says whether another try may help.
    """

    @property
    def digest(self) -> str: ...

    async def __call__(self, case: Case, repeat: int) -> Output: ...


class Unanswered(TrimtabError):
    """A request that failed, and the trace that recorded it."""

    def __init__(self, error: TrimtabError, trace_id: str) -> None:
        super().__init__(error.message, field=error.field, mend=error.mend, retry_after=error.retry_after)
        self.status, self.layer, self.retryable, self.code = error.status, error.layer, error.retryable, error.code
        self.vendor_status = getattr(error, "vendor_status", 0)
        self.trace_id = trace_id


class Ask(Protocol):
    """Asks a model with one version of a prompt; "" is the route's own prompt, None no prompt at all.

    Raises Unanswered.
    """

    async def __call__(
        self, *, model: str, prompt: str | None, messages: tuple[Message, ...], variables: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> Output: ...  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A model asked through the gateway as traffic would: with a registered prompt, a spelled one, or the route's own.

    ``template`` is that of the spelled ``content``; variables of a case that it does not know are left out.
    """

    ask: Ask
    model: str
    prompt: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    template: Template | None = None
    part: Callable[[str], Mapping[str, Any]] | None = None

    @property
    def digest(self) -> str:
        return short_digest({"model": self.model, "prompt": self.prompt, "content": self.content})

    async def __call__(self, case: Case, repeat: int) -> Output:
        """The answer. Raises Unanswered, and BadInput where the prompt's variables do not fit."""
        messages: tuple[Message, ...] = ({"role": "user", "content": case.input},) if case.input else ()
        variables = case.variables
        if self.template is not None:
            # A spelled prompt says itself where the input goes, as {{input}}, or the input follows it.
            known = self.template.variables
            given = {name: value for name, value in case.variables.items() if name in known}
            if "input" in known:
                given.setdefault("input", case.input)
                messages = ()
            messages = tuple(self.template.fill(given, messages, self.part))
            variables = {}
        params = {} if self.prompt else params_of(self.content)
        prompt = None if self.content else self.prompt
        output = await self.ask(model=self.model, prompt=prompt, messages=messages, variables=variables, params=params)
        return replace(output, question=case.input or output.question)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answers that the cases bring along: nothing is asked. An error for a case that has none."""

    digest: str = "recorded"

    async def __call__(self, case: Case, repeat: int) -> Output:
        if not case.answer:
            raise BadInput("the case has no recorded answer.", field="answer", mend="Write it, or name a model.")
        passages = tuple({"number": n, **passage} for n, passage in enumerate(case.passages, 1))
        calls = case.expects.get("called", ())
        return Output(
            text=case.answer, question=case.input, passages=passages, cost_usd=0.0, repeat=repeat,
            tool_calls=tuple(c for c in calls if isinstance(c, Mapping)), steps=tuple(case.expects.get("made", ())),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Earlier:
    """The answers of an earlier run, to be scored again without asking anybody."""

    run: str
    output_of: Callable[[str, str, int], Awaitable[Output | None]]

    @property
    def digest(self) -> str:
        return short_digest({"run": self.run})

    async def __call__(self, case: Case, repeat: int) -> Output:
        found = await self.output_of(self.run, case.id, repeat)
        if found is None:
            raise NotFound(f"the run {self.run} has no answer to {case.id}.", field="target.run")
        return replace(found, cost_usd=0.0)


@dataclass(frozen=True, slots=True)
class Own:
    """A function of your own as a target: ``async (case) -> str | Output``."""

    function: Callable[[Case], Awaitable[str | Output]]
    digest: str = ""

    async def __call__(self, case: Case, repeat: int) -> Output:
        found = await self.function(case)
        if isinstance(found, Output):
            return replace(found, question=found.question or case.input)
        passages = tuple({"number": n, **passage} for n, passage in enumerate(case.passages, 1))
        return Output(text=found, question=case.input, passages=passages)


def check_model(model: object, version: Version | None) -> str:
    """The model that a target asks: its own, else what the prompt suggests. Raises BadInput when there is none."""
    suggested = version.content.get("model", "") if version is not None else ""
    chosen = model or suggested
    if not isinstance(chosen, str) or not chosen:
        mend = "Name one, or let the prompt suggest one in its field model."
        raise BadInput("names no model.", field="target.model", mend=mend)
    return chosen
