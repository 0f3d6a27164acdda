"""The dual-LLM as a preset of a route: the route's models plan, another model reads, a controller decides.

The tools are the client's. So a run is spread over the requests of a conversation: each answer is the next tool call
of the plan, or what is told at its end. A call's id names the run, so that its result leads back to it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from trimtab.core import (
    BadInput,
    Call,
    Chunk,
    ConfigError,
    Conflict,
    GuardRefused,
    Layer,
    Message,
    ModelTimeout,
    Usage,
    collect,
    digest_of,
    new_id,
    text_in,
)
from trimtab.dual import Outcome, Plan, Tool, read_plan
from trimtab.dual.models import corrected, fitting, planning, reading, wrong_twice
from trimtab.dual.resumed import Held, Known, Made, Next, Unread, advance
from trimtab.dual.values import read_json
from trimtab.guard.actions import DEFAULT_RULES, ActionRules, tools_of
from trimtab.guard.text import encodable

from .actions import conversation_of, held, put_to_a_person
from .continued import refuse_kept
from .dualnotes import Noted, noting
from .live import LiveTrace
from .toolcalls import CallText
from .wire import joined

if TYPE_CHECKING:
    from .gateway import Gateway
    from .prepared import Prepared

#: What the client says of the planner: how it thinks and who asks. Anything else may be a vendor's way to fetch text
#: from outside (``web_search_options``, ``mcp_servers``), or cuts the plan to the form and the length of an answer.
_FOR_PLANNER = frozenset(
    ("temperature", "top_p", "top_k", "seed", "reasoning_effort", "verbosity", "service_tier", "user",
     "safety_identifier", "metadata", "store", "prompt_cache_key", "prompt_cache_retention")
)  # fmt: skip
_OURS = re.compile(r"call_(run_[0-9a-f]{6,32})_(\d{1,4})\Z")
_WHERE = "choices[0].tool_calls[0]"
_SYSTEM = ("system", "developer")
#: Bytes of a run that are kept between two requests.
_MOST_KEPT = 1 << 20


@dataclass(slots=True)
class _Run:
    """A run as it stands: the request it serves, its plan, and what it knows."""

    id: str
    request: str
    plan: Plan = field(default_factory=lambda: Plan(()))
    known: Known = field(default_factory=Known)


class Dual:
    """Answers in the place of the models of a route with the section ``dual``."""

    def __init__(self, gateway: Gateway, ready: Prepared, call: Call, live: LiveTrace) -> None:
        refuse_kept(call)
        self._gateway = gateway
        self._ready = ready
        self._call = call
        self._live = live
        self._usage = Usage()
        self._answer: Chunk | None = None
        self._steps: list[Noted] = []  # how far the run came, not yet told to the trace

    async def __call__(self, call: Call) -> AsyncGenerator[Chunk]:
        """The answer as a stream: it is known at once."""
        answer = await self.whole(call)
        parts = tuple({"index": n, **part} for n, part in enumerate(answer.tool_calls))
        yield Chunk(text=answer.text, tool_calls=parts, model=answer.model)
        yield Chunk(finish=answer.finish, usage=answer.usage, model=answer.model)

    async def whole(self, call: Call) -> Chunk:
        """The next tool call, or the answer. Raises GuardRefused, and Unreadable where a model does not answer as it
        must. Asked again about the form of its answer it says the same: nobody words it."""
        if self._answer is None:
            try:
                async with asyncio.timeout(self._call.timeout):
                    self._answer = await self._answered()
            except TimeoutError:
                raise ModelTimeout(f"the plan was not served within {self._call.timeout:g} s") from None
            finally:
                self._tell()
        return self._answer

    async def _answered(self) -> Chunk:
        tools = {
            tool.name: Tool(run=_nobody, description=tool.description, schema=tool.schema)
            for tool in tools_of(self._call.params.get("tools") or ())
        }
        run = await self._run(tools)
        rules = self._rules()
        while True:
            self._steps = []
            span = noting(self._steps, self._live.clock)
            going = partial(advance, run.plan, run.request, tuple(tools), run.known, rules=rules, span=span)
            at = await asyncio.to_thread(going)
            if isinstance(at, Unread):
                run.known.read[at.digest] = await self._reading(at)
            elif isinstance(at, Held):
                await self._by_a_person(at, run, rules)
                run.known.approved.add(at.call.digest)
                self._live.approved = frozenset(run.known.approved)
            else:
                break
        if isinstance(at, Next):
            await self._keep(run)
            return Chunk(tool_calls=(_called(run, at),), finish="tool_calls", usage=self._usage)
        run.known.read = {}
        await self._keep(run)
        return self._told(at)

    def _told(self, outcome: Outcome) -> Chunk:
        if outcome.refused:
            self._live.allowed, self._live.why = 0.0, outcome.refused
            raise GuardRefused(
                outcome.refused, field=_WHERE, mend=f"The policy is guards:/{self._live.stamp.guard or 'none'}."
            )
        return Chunk(text=outcome.answer, finish="stop", usage=self._usage)

    def _rules(self) -> ActionRules:
        policy = self._ready.policy
        return policy.actions if policy is not None and policy.actions is not None else DEFAULT_RULES

    # The run and where it is kept.

    async def _run(self, tools: Mapping[str, Tool]) -> _Run:
        """The run that the newest messages belong to, or a new one with its plan."""
        self._refuse_outside()
        messages = self._call.messages
        newest = next((each for each in reversed(messages) if each.get("role") not in _SYSTEM), {})
        if newest.get("role") == "tool":
            return await self._gone_on(str(newest.get("tool_call_id") or ""), tools)
        if newest.get("role") != "user":
            mend = "End with a message of the user, or with the result of a tool."
            raise BadInput("end with what this route cannot go on from", field="messages", mend=mend)
        run = _Run(id=new_id("run"), request=_asked(messages))
        waiting = self._known("waits", conversation_of(self._live), run.request)
        if kept := await self._recall(waiting):
            await self._write(waiting, [])
            run.id = str(kept[0])
            if await self._recalled(run, tools):
                return run
        application = "\n\n".join(_said(each) for each in messages if each.get("role") in _SYSTEM)
        asked = planning(run.request, tools, application)
        run.plan = await self._twice(asked, self._planner, lambda text: read_plan(text, tools))
        return run

    async def _gone_on(self, ident: str, tools: Mapping[str, Tool]) -> _Run:
        mend = "Send back the ids of tool calls as they came, or begin with a message of the user."
        ours = _OURS.match(ident)
        if ours is None:
            raise BadInput("is no result of a call of this route's plan", field="messages[].tool_call_id", mend=mend)
        run, before, calls = _Run(id=ours[1], request=""), 0, dict[str, str]()
        for number, message in enumerate(self._call.messages):
            for each in message.get("tool_calls") or ():
                known = _OURS.match(str(each.get("id") or ""))
                if known is not None and known[1] == run.id:
                    before = before or number
                    calls[known[0]] = str((each.get("function") or {}).get("name") or "")
            result = str(message.get("tool_call_id") or "")
            if message.get("role") == "tool" and (name := calls.get(result)) is not None:
                # Each result once and none left out: a call would be made again, or taken for another.
                if result != _ident(run):
                    raise Conflict("lack a result of the plan, or have one twice", field="messages", mend=mend)
                run.known.made.append(Made(tool=name, data=_data(_said(message))))
        if not run.known.made:
            raise Conflict("lack the call that was answered", field="messages", mend=mend)
        run.request = _asked(self._call.messages[:before])
        if not await self._recalled(run, tools):
            raise Conflict("the plan of this conversation is not known any more", field="messages", mend=mend)
        return run

    async def _recalled(self, run: _Run, tools: Mapping[str, Tool]) -> bool:
        """Take plan and readings of a run from where they are kept; whether they are there."""
        kept = await self._recall(self._known("run", run.id))
        if not kept:
            return False
        run.plan = read_plan(kept[0]["plan"], tools)
        run.known.read = dict(kept[0]["read"])
        return True

    async def _keep(self, run: _Run) -> None:
        kept = {"plan": list(run.plan.steps), "read": run.known.read}
        if len(json.dumps(kept)) > _MOST_KEPT:
            raise Conflict("the run has read more than can be kept", field="messages", mend="Plan smaller steps.")
        await self._write(self._known("run", run.id), [kept])

    def _known(self, *parts: str) -> str:
        """What something is kept as: another key or another route does not find it."""
        live = self._live
        key = live.ask.key.id if live.ask.key is not None else ""
        return digest_of({"dual": parts, "key": key, "route": live.route})

    async def _recall(self, name: str) -> list[Any]:
        store = self._gateway.conversations
        return await store.recall_any(name) if store is not None else []

    async def _write(self, name: str, what: Sequence[Any]) -> None:
        store = self._gateway.conversations
        if store is None:
            raise ConfigError("a route with the section dual needs a metadata database", mend="Set storage.metadata.")
        await store.keep_any(name, what)

    def _refuse_outside(self) -> None:
        """The planner sees what the user and the application say, so nothing else may stand there."""
        ask = self._live.ask
        if self._live.passages:
            wrong = f"the prompt of the route {self._live.route} brings passages, and its planner may see none"
            raise ConfigError(wrong, mend="Leave `corpus` out of the prompt and offer the search as a tool.")
        if ask.sources:
            mend = "Let a tool bring texts from outside: only its reader sees them."
            raise BadInput("cannot be given to a route that plans", field="trimtab.sources", mend=mend)
        if ask.plan is not None:
            raise BadInput("cannot be given: this route makes its own", field="trimtab.plan", mend="Leave it out.")

    # The two models.

    async def _planner(self, messages: Sequence[Mapping[str, Any]]) -> str:
        params = {name: value for name, value in self._call.params.items() if name in _FOR_PLANNER}
        call = Call(model=self._call.model, messages=tuple(messages), params=params, timeout=self._call.timeout)
        before = self._live.attempts
        asking = self._gateway.choose(self._ready, call, self._live)
        try:
            said = joined([await asking.whole(call)])
        finally:
            self._live.attempts = [*before, *self._live.attempts]
        if said.usage is not None:
            self._usage = _sum(self._usage, said.usage)
        return said.text

    async def _reader(self, messages: Sequence[Mapping[str, Any]]) -> str:
        dual = self._ready.route.dual
        assert dual is not None
        # Without a temperature: models that reason take none.
        call = Call(model=dual.reader, messages=tuple(messages), timeout=self._call.timeout)
        return (await collect(self._gateway.as_model(dual.reader)(call))).text

    async def _reading(self, asked: Unread) -> Any:
        messages = reading(asked.text, asked.question, asked.schema)
        return await self._twice(messages, self._reader, lambda text: fitting(text, asked.schema))

    async def _twice(
        self,
        messages: Sequence[Mapping[str, Any]],
        ask: Callable[[Sequence[Mapping[str, Any]]], Awaitable[str]],
        read: Callable[[str], Any],
    ) -> Any:
        """What a model says, read; asked once more where it is wrong. Raises Unreadable."""
        said = await ask(messages)
        try:
            return read(said)
        except BadInput as error:
            again = await ask(corrected(messages, said, error))
        try:
            return read(again)
        except BadInput as error:
            raise wrong_twice(error) from error

    # The person and the trace.

    async def _by_a_person(self, at: Held, run: _Run, rules: ActionRules) -> None:
        """Return where a person let the call through. Raises GuardRefused where it waits or was refused."""
        queue, live = self._gateway.approvals, self._live
        waiting = await put_to_a_person(queue, live, at.call, at.reasons, rules.wait) if queue is not None else None
        if queue is not None and waiting is None:
            return
        state = "was refused" if waiting is None or waiting.state == "refused" else f"waits for approval {waiting.id}"
        why = f"The call of {at.call.tool} {state}: {' '.join(at.reasons)}"
        # The controller stopped before it could note what was said of the call.
        self._steps[-1].attributes |= {"dual.verdict": "escalate", "dual.reasons": json.dumps(at.reasons)}
        self._steps[-1].status = "error"
        self._tell(why)
        live.allowed, live.why = 0.0, why
        if waiting is None:
            raise GuardRefused(why, field=_WHERE, mend=f"The policy is guards:/{live.stamp.guard or 'none'}.")
        await self._keep(run)
        if not run.known.made:  # nothing in the messages names the run yet
            await self._write(self._known("waits", conversation_of(live), run.request), [run.id])
        raise held(CallText(_WHERE, at.call.tool, ""), waiting, at.reasons)

    def _tell(self, refused: str = "") -> None:
        """The plan and every step so far as spans of this request, once."""
        steps, self._steps = self._steps, []
        for step in steps:
            if refused and "dual.plan" in step.attributes:
                step.attributes["dual.refused"], step.status = refused, "error"
            self._live.step(
                step.name, "chain", step.since_ns, Layer.SAFETY, input=step.input, output=step.output,
                status=step.status, error=str(step.attributes.get("dual.refused") or ""), attributes=step.attributes,
            )  # fmt: skip


def _called(run: _Run, at: Next) -> dict[str, Any]:
    """The call in the words of chat completions."""
    arguments = json.dumps(dict(at.call.arguments), ensure_ascii=False, default=str)
    function = {"name": at.call.tool, "arguments": arguments}
    return {"id": _ident(run), "type": "function", "function": function}


def _ident(run: _Run) -> str:
    """The id of the call that is the next of a run."""
    return f"call_{run.id}_{len(run.known.made)}"


def _asked(messages: Sequence[Message]) -> str:
    """What the user asks for: the newest message, and those before it as what was said before."""
    said = [text for each in messages if each.get("role") == "user" and (text := _said(each).strip())]
    if not said:
        raise BadInput("have no text of the user", field="messages", mend="Say what is to be done.")
    *before, newest = said
    if not before:
        return newest
    earlier = "\n".join(f"- {text}" for text in before)
    return f"{newest}\n\nThe user said before, and it was served:\n{earlier}"


def _said(message: Message) -> str:
    return text_in(message.get("content"))


def _data(text: str) -> Any:
    """What a tool gave back: an object or a list where it is one in JSON, else the text."""
    if text[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return read_json(text)
    return encodable(text)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
        written_tokens=one.written_tokens + other.written_tokens,
        hour_tokens=one.hour_tokens + other.hour_tokens,
    )


def _nobody(**arguments: Any) -> None:
    """Stands for a tool of the client's while the planner is told of it."""
