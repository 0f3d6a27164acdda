"""The controller: runs a plan step by step, keeps the history of every value, and asks the policy before each call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from trimtab.core import TrimtabError
from trimtab.guard.actions import DEFAULT_RULES, ActionRules, History, Result, ToolCall, effect_of, screen
from trimtab.guard.actions.rules import NO_ARGUMENT_RULE, NO_RULE
from trimtab.guard.actions.wording import names_a_thing, says_where
from trimtab.sdk import start_span

from .plan import MOST_CALLS, MOST_DONE, MOST_READS, MOST_ROUNDS, REFERENCE, WITHIN, Plan
from .values import USER, Value, inner, joined

#: What reads a text from outside: (text, question, schema) -> data that fits the schema.
Reader = Callable[[str, str, Mapping[str, Any]], Any]
#: What a person says of a call that the policy would hold: (call, reasons) -> whether it may run.
Approve = Callable[[ToolCall, Sequence[str]], bool]
#: What keeps a step for the trace: (name, kind, attributes) -> a span with the methods of ``sdk.LiveSpan``.
Spanning = Callable[[str, str, Mapping[str, Any]], AbstractContextManager[Any]]
_TEXT = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool of the application. ``readers`` says who may read a result; None: anybody may."""

    run: Callable[..., Any]
    description: str = ""
    schema: Mapping[str, Any] | None = None
    readers: Callable[[Any], Sequence[str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was done or refused. ``sources`` are those of every argument, by name; ``ran`` says whether it
    was done: what a person let through ran although the policy held it."""

    kind: Literal["call", "read"]
    name: str
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verdict: str = "allow"
    reasons: tuple[str, ...] = ()
    ran: bool = True


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a run: the answer with its sources, every step, and why it stopped if it did."""

    answer: str = ""
    sources: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)
    refused: str = ""
    plan: Plan | None = None


class Refused(TrimtabError):
    """A call that the policy does not allow; the run ends."""

    status = 403
    code = "guard_refused"


@dataclass(kw_only=True)
class Controller:
    """Runs plans. It decides by the plan, the values' capabilities and the rules; no model has a say in it."""

    tools: Mapping[str, Tool]
    reader: Reader
    rules: ActionRules = DEFAULT_RULES
    approve: Approve | None = None
    span: Spanning = start_span

    def run(self, plan: Plan, request: str) -> Outcome:
        """Run a plan for a request. A refused call ends it; what a tool raises is raised on."""
        run = _Run(self, plan, request)
        with self.span("dual.run", "CHAIN", {"dual.plan": _json(plan.steps)}) as span:
            span.set_inputs(request)
            try:
                run.block(plan.steps, {})
            except Refused as error:
                run.outcome.refused = error.message
                span.set_attribute("dual.refused", error.message)
                span.set_status("ERROR")
            span.set_outputs(run.outcome.answer)
        return run.outcome


class _Run:
    """One run of a plan."""

    def __init__(self, controller: Controller, plan: Plan, request: str) -> None:
        self._controller = controller
        self._request = request
        self._results: list[Result] = []
        self._made: list[ToolCall] = []
        self._reads = self._done = 0
        self.outcome = Outcome(plan=plan)

    def block(self, steps: Sequence[Mapping[str, Any]], known: dict[str, Value], within: str = "") -> None:
        """Run steps; what they set is seen after them, as the check of the plan says. ``within`` is where they stand:
        a step is known in the trace by its number, one within the third step as ``3.1``, of its else as ``3.e1``."""
        self._done += 1 + len(steps)
        if self._done > MOST_DONE:
            raise Refused(f"the run has gone through its {MOST_DONE} steps")
        for number, step in enumerate(steps, 1):
            at = f"{within}{number}"
            if "call" in step:
                self._keep(step, known, self._call(step, known, at))
            elif "read" in step:
                self._keep(step, known, self._read(step, known, at))
            elif "each" in step:
                every = _valued(step["each"], known)
                items = every.data if isinstance(every.data, list | tuple) else []
                for item in items[: step.get("most", MOST_ROUNDS)]:
                    self.block(step["steps"], {**known, step["as"]: every.made(item)}, f"{at}.")
            elif "if" in step:
                if _valued(step["if"], known).data:
                    self.block(step["steps"], dict(known), f"{at}.")
                else:
                    self.block(step.get("else", ()), dict(known), f"{at}.e")
            else:
                said = _valued(step["answer"], known)
                self.outcome.answer, self.outcome.sources = _text(said.data), tuple(sorted(said.sources))

    def _keep(self, step: Mapping[str, Any], known: dict[str, Value], value: Value) -> None:
        if "as" in step:
            known[step["as"]] = value

    def _call(self, step: Mapping[str, Any], known: Mapping[str, Value], at: str) -> Value:
        if len(self._made) >= MOST_CALLS:
            raise Refused(f"the run has made its {MOST_CALLS} calls")
        name = step["call"]
        given = {key: _valued(value, known) for key, value in (step.get("arguments") or {}).items()}
        call = ToolCall(tool=name, arguments={key: value.data for key, value in given.items()})
        flow = {key: tuple(sorted(value.sources)) for key, value in given.items()}
        told = {"dual.step": at, "dual.as": str(step.get("as", "")), "dual.sources": _json(flow)}
        with self._controller.span(name, "TOOL", told) as span:
            span.set_inputs(dict(call.arguments))
            judged = self._permit(call, given, flow)
            span.set_attribute("dual.verdict", judged.verdict)
            span.set_attribute("dual.reasons", _json(judged.reasons))
            self._stop(judged)
            tool = self._controller.tools[name]
            data = tool.run(**call.arguments)
            span.set_outputs(data)
            value = self._made_by(tool, name, data, given.values())
            span.set_attribute("dual.value", _json(_capabilities(value)))
        self._made.append(call)
        self._results.append(Result(tool=name, text=_text(data)))
        return value

    def _made_by(self, tool: Tool, name: str, data: Any, given: Iterable[Value]) -> Value:
        """What a tool gave back, with the history of what it was given."""
        readers = frozenset(tool.readers(data)) if tool.readers is not None else None
        own = Value(data=data, sources=frozenset({f"tool:{name}"}), readers=readers)
        return joined(data, (joined(data, given), own))

    def _permit(self, call: ToolCall, given: Mapping[str, Value], flow: Mapping[str, tuple[str, ...]]) -> Step:
        """Ask the policy, then the person: what was said of the call, and whether it may run."""
        rules = self._controller.rules
        verdict = screen(
            call, History(said=(self._request,), results=tuple(self._results), made=tuple(self._made)), rules
        )
        reasons = [f.reason for f in verdict.findings if f.action in ("block", "escalate")]
        blocked = verdict.action == "block"
        held = [*reasons, *_uncapable(call, given, rules)]
        word = "block" if blocked else "escalate" if held else "allow"
        may = not held or (
            not blocked and self._controller.approve is not None and self._controller.approve(call, held)
        )
        step = Step(kind="call", name=call.tool, sources=flow, verdict=word, reasons=tuple(held), ran=may)
        self.outcome.steps.append(step)
        return step

    def _stop(self, step: Step) -> None:
        """End the run at a call that may not be made. Raises Refused."""
        if not step.ran:
            raise Refused(f"The call of {step.name} was refused: {' '.join(step.reasons)}")

    def _read(self, step: Mapping[str, Any], known: Mapping[str, Value], at: str) -> Value:
        self._reads += 1
        if self._reads > MOST_READS:
            raise Refused(f"the run has made its {MOST_READS} readings")
        text = _valued(step["read"], known)
        flow = {"text": tuple(sorted(text.sources))}
        told = {"dual.step": at, "dual.as": str(step.get("as", "")), "dual.sources": _json(flow)}
        with self._controller.span("dual.read", "LLM", {**told, "dual.value": _json(_capabilities(text))}) as span:
            data = self._controller.reader(_text(text.data), str(step.get("question", "")), step["schema"])
            span.set_outputs(data)
        self.outcome.steps.append(Step(kind="read", name=step["read"], sources=flow))
        return text.made(data)


def _uncapable(call: ToolCall, given: Mapping[str, Value], rules: ActionRules) -> list[str]:
    """What the values of a call may not be used for: a place taken from outside, a reader who may not read."""
    rule = rules.tools.get(call.tool, NO_RULE)
    if (rule.effect or effect_of(call.tool)) == "read":
        return []
    wrong = []
    for name, value in given.items():
        allowed = rule.arguments.get(name, NO_ARGUMENT_RULE).origins
        if not allowed and not says_where(name):
            continue
        allowed = allowed or (("lookup", "result") if names_a_thing(name) else ("lookup",))
        bad = [source for source in sorted(value.sources) if not _covers(source, allowed, rules)]
        if bad:
            wrong.append(f"{name} comes from {', '.join(bad)}.")
    places = {str(each) for name, value in given.items() if says_where(name) for each in _flat(value.data)}
    for name, value in given.items():
        if value.readers is not None and places and not places <= value.readers:
            wrong.append(f"{name} may not be read by {', '.join(sorted(places - value.readers))}.")
    return wrong


def _covers(source: str, allowed: Sequence[str], rules: ActionRules) -> bool:
    """Whether an origin that the rule allows covers a source."""
    if source == USER or "any" in allowed:
        return True
    tool = source.removeprefix("tool:")
    if tool in rules.lookups and "lookup" in allowed:
        return True
    return any(
        kind in ("lookup", "result") and (place.partition(".")[0] == tool or (kind == "result" and not place))
        for kind, _, place in (origin.partition(":") for origin in allowed)
    )


def _valued(written: Any, known: Mapping[str, Value]) -> Value:
    """What a value of a plan stands for."""
    if isinstance(written, str):
        whole = REFERENCE.fullmatch(written)
        if whole:
            return _named(whole[1], known)
        parts = {name: _named(name, known) for name in WITHIN.findall(written)}
        text = WITHIN.sub(lambda found: _text(parts[found[1]].data), written)
        return joined(text, parts.values())
    if isinstance(written, Mapping):
        fields = {key: _valued(value, known) for key, value in written.items()}
        return joined({key: value.data for key, value in fields.items()}, fields.values())
    if isinstance(written, list | tuple):
        items = [_valued(each, known) for each in written]
        return joined([item.data for item in items], items)
    return Value(data=written)


def _named(reference: str, known: Mapping[str, Value]) -> Value:
    name, *path = reference.split(".")
    return inner(known[name], path)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _capabilities(value: Value) -> dict[str, Any]:
    """What a value carries beside its data, for the trace."""
    return {"sources": sorted(value.sources), "readers": None if value.readers is None else sorted(value.readers)}


def _flat(data: Any) -> list[Any]:
    return [each for item in data for each in _flat(item)] if isinstance(data, list | tuple) else [data]


def _text(data: Any) -> str:
    if isinstance(data, str):
        return data[:_TEXT]
    return msgspec.json.encode(data, enc_hook=str).decode()[:_TEXT]
