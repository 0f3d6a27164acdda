"""Tool calls of an answer before the caller gets them: judged by the policy, held for a person, let through once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from trimtab.core import BadInput, Call, GuardRefused, digest_of
from trimtab.guard import Finding, Verdict, decided
from trimtab.guard.actions import History, ToolCall, arguments_of, history_of, tools_of

from .live import LiveTrace
from .toolcalls import CallText

if TYPE_CHECKING:
    from trimtab.guard.approvals import Approval, Approvals

    from .watchman import Watchman

#: Characters of results that are looked at on the event loop; more of them are looked at in a thread.
INLINE = 20_000
_NOT_JSON = "The arguments are not a JSON object."


def history(call: Call, live: LiveTrace) -> History:
    """What the calls of an answer are judged by."""
    tools = call.params.get("tools")
    return history_of(
        call.messages,
        tools=tools_of(tools if isinstance(tools, list) else ()),
        route=live.route,
        user=live.ask.key.name if live.ask.key is not None else "",
        documents=tuple(str(passage.get("text", "")) for passage in live.passages),
        plan=live.ask.plan,
        pins=live.tool_pins,
    )


async def judge(watch: Watchman, call: CallText, text: str) -> None:
    """Judge one call with the arguments that are left of it. Raises GuardRefused: stopped, or held for a person."""
    rules = watch.policy.actions
    if rules is None or watch.call is None:
        return
    past = watch.history or history(watch.call, watch.live)
    thought = "".join(watch.heard)
    try:
        proposed = ToolCall(tool=call.name, arguments=arguments_of(text), reasoning=thought)
    except BadInput:
        action = rules.at_most.get("schema", "block")
        finding = Finding(
            rule=call.name or "tool", action=action, start=0, end=len(text), reason=_NOT_JSON, scanner="actions",
            kind="schema",
        )  # fmt: skip
        watch.note(call.where, Verdict(action=action, findings=(finding,), message=_NOT_JSON))
        return
    if sum(map(len, past.untrusted)) + len(thought) > INLINE:
        verdict = await asyncio.to_thread(watch.policy.judge_call, proposed, past)
    else:
        verdict = watch.policy.judge_call(proposed, past)
    if verdict.action == "escalate":
        verdict = await _by_a_person(watch, call, proposed, verdict, rules.wait)
    if verdict.findings or verdict.failures:
        watch.note(call.where, verdict)
    # Further calls of the same answer are judged as if this one were made: a plan and a limit count them all.
    watch.history = replace(past, made=(*past.made, proposed))


async def _by_a_person(watch: Watchman, call: CallText, proposed: ToolCall, verdict: Verdict, wait: float) -> Verdict:
    """What a person said of a call; until then it waits. Without a queue the policy's fail rule is followed."""
    queue = watch.gateway.approvals
    if queue is None:
        return decided(verdict, "flag" if watch.policy.fail == "open" else "block")
    live = watch.live
    reasons = [finding.reason for finding in verdict.findings if finding.action == "escalate"]
    waiting = None if proposed.digest in live.approved else await put_to_a_person(queue, live, proposed, reasons, wait)
    if waiting is None:
        return decided(verdict, "flag")
    watch.hold(call.where, verdict, f"waits for approval {waiting.id}")
    raise held(call, waiting, reasons)


async def put_to_a_person(
    queue: Approvals, live: LiveTrace, proposed: ToolCall, reasons: Sequence[str], wait: float
) -> Approval | None:
    """The approval that a call waits for, or that was refused; None where it was given, which uses it up."""
    conversation = conversation_of(live)
    if await queue.take(conversation, proposed.digest) is not None:
        return None
    return await queue.ask(
        proposed, conversation=conversation, reasons=reasons, wait=wait, route=live.route,
        user=live.ask.key.name if live.ask.key is not None else "", policy=live.stamp.guard, trace_id=live.trace_id,
    )  # fmt: skip


def held(call: CallText, approval: Approval, reasons: Sequence[str]) -> GuardRefused:
    """What the caller of a call that does not pass yet, or never, is told."""
    why = " ".join(reasons)
    if approval.state == "refused":
        return GuardRefused(
            f"The call of {call.name} was refused by {approval.by or 'a person'} (approval {approval.id}). {why}",
            field=call.where,
            mend="Ask for something else.",
        )
    return GuardRefused(
        f"The call of {call.name} waits for a person (approval {approval.id}). {why}",
        field=call.where,
        mend="Send the same request again once it is approved: `trimtab guard approvals approve ID`.",
    )


def conversation_of(live: LiveTrace) -> str:
    """What a conversation is known by: its session where the client names one, else its first message; per key."""
    ask = live.ask
    key = ask.key.id if ask.key is not None else ""
    first = next((message.get("content") for message in ask.messages if message.get("role") == "user"), "")
    return digest_of({"key": key, "session": ask.session or None, "first": None if ask.session else first})
