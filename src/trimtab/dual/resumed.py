"""A run whose tools somebody else runs: it goes as far as it can, says what it needs, and is begun again with that.

A plan is deterministic, so nothing of a run is kept but its plan, what its tools gave back and what the reader read.
Every judgement is made anew each time, from the same history.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.core import Conflict, digest_of
from trimtab.guard.actions import ActionRules, ToolCall

from .controller import Controller, Outcome, Spanning, Tool
from .plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A call that was made, and what came back."""

    tool: str
    data: Any


@dataclass(frozen=True, slots=True)
class Next:
    """The call that is to be made now."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class Held:
    """The call that a person must decide, and why."""

    call: ToolCall
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """The text that the reader must read now."""

    text: str
    question: str
    schema: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The same for the same question about the same text."""
        return digest_of({"text": self.text, "question": self.question, "schema": dict(self.schema)})


@dataclass(slots=True)
class Known:
    """What a run has come to know: the calls that were made, what was read (by digest of what was asked), and the
    digests of the calls that a person let through."""

    made: list[Made] = field(default_factory=list)
    read: dict[str, Any] = field(default_factory=dict)
    approved: set[str] = field(default_factory=set)


class _Pause(Exception):
    """Ends a run at what it needs."""

    def __init__(self, at: Next | Held | Unread) -> None:
        super().__init__()
        self.at = at


def advance(
    plan: Plan,
    request: str,
    tools: Collection[str],
    known: Known,
    *,
    rules: ActionRules,
    span: Spanning,
) -> Outcome | Next | Held | Unread:
    """How far a run comes with what is known. Raises Conflict where the calls are not those of the plan."""
    left = list(known.made)

    def recorded(name: str) -> Tool:
        def run(**arguments: Any) -> Any:
            if not left:
                raise _Pause(Next(ToolCall(tool=name, arguments=arguments)))
            done = left.pop(0)
            if done.tool != name:
                wrong = f"a call of {done.tool} was made where the plan says {name}"
                raise Conflict(wrong, field="messages", mend="Send the conversation back as it came.")
            return done.data

        return Tool(run=run)

    def reader(text: str, question: str, schema: Mapping[str, Any]) -> Any:
        asked = Unread(text, question, schema)
        if asked.digest not in known.read:
            raise _Pause(asked)
        return known.read[asked.digest]

    def approve(call: ToolCall, reasons: Sequence[str]) -> bool:
        if not left and call.digest not in known.approved:
            raise _Pause(Held(call, tuple(reasons)))
        return True

    controller = Controller(
        tools={name: recorded(name) for name in tools}, reader=reader, rules=rules, approve=approve, span=span
    )
    try:
        return controller.run(plan, request)
    except _Pause as pause:
        return pause.at
