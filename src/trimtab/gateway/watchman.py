"""One policy on duty for one request: it looks at texts, keeps what was found, and asks the judge where it must."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trimtab.core import Call, Chunk, GuardRefused, Layer, TrimtabError, collect, text_in
from trimtab.guard import (
    NO_CONTEXT,
    Context,
    Finding,
    Judgement,
    Policy,
    Turn,
    Vault,
    Verdict,
    decided,
    question,
    read_answer,
)
from trimtab.guard.indirect import KIND as INDIRECT
from trimtab.guard.provenance import OUTSIDE

from .live import LiveTrace
from .toolcalls import thought_in

if TYPE_CHECKING:
    from trimtab.guard.actions import History

    from .gateway import Gateway

#: Characters that one request may have scanned on the event loop; what goes beyond is scanned in a thread.
INLINE = 3072
#: Findings of one rule in one text that the trace keeps: a hostile text has thousands.
KEPT = 100
#: Characters of one answer's reasoning that are kept until its tool calls are judged.
HEARD = 40_000
_ANSWER_TOKENS = 200
#: Characters of an instruction in a text from outside that the trace quotes.
_QUOTE = 300


@dataclass(slots=True, kw_only=True)
class Watchman:
    """Everything that a policy found at one stage of one request."""

    policy: Policy
    stage: str
    live: LiveTrace
    gateway: Gateway
    since_ns: int
    tier: str = "low"
    turns: tuple[Turn, ...] = ()
    vault: Vault | None = None
    #: What tool calls are judged by; None where the policy has no rules for tools, or the request declares none.
    history: History | None = None
    call: Call | None = None
    heard: list[str] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    #: Findings beyond those that are kept.
    left_out: int = 0
    #: Whether a text from outside is shown to the model in another way than it came.
    changed: bool = False
    _inline: int = INLINE
    _listens: int = HEARD
    _judged: Judgement | None = None

    async def scan(self, where: str, text: str, context: Context) -> str:
        """The text that may pass. Raises GuardRefused."""
        verdict = await self.policy.examine(
            self.stage, text, context=context, tier=self.tier, inline=self._inline, **self._replacing()
        )
        self._inline -= min(self._inline, len(text))
        if context.newest and self._doubtful(verdict, context):
            verdict = await self._closer(where, verdict, text)
        if verdict.findings or verdict.failures:
            self.note(where, verdict, text, context)
        if context.source not in OUTSIDE:
            return verdict.text
        shown = self.policy.shown(verdict, context)
        self.changed |= shown != text
        return shown

    def hear(self, chunk: Chunk) -> None:
        """Keep what the model thinks and says beside its tool calls: an order from outside may come back in it."""
        if self.history is None:
            return
        for text in (thought_in(chunk), chunk.text):
            if text and self._listens > 0:
                self.heard.append(text[: self._listens])
                self._listens -= len(text)

    async def look_back(self, where: str, text: str, context: Context, seen: Verdict) -> None:
        """Look at a streamed text once it has passed, whole and in every reading: what a window cannot see is kept in
        the trace as a flag. ``seen`` is what the window said."""
        verdict = await self.policy.examine(self.stage, text, context=context, tier=self.tier, inline=self._inline)
        known = {(found.rule, found.start) for found in seen.findings}
        late = [
            replace(found, action="flag", note="seen once it had passed")
            for found in verdict.findings
            if (found.rule, found.start) not in known
        ]
        failures = [failure for failure in verdict.failures if failure not in seen.failures]
        self.note(where, Verdict(action="flag", findings=tuple(late), failures=tuple(failures)))

    def note(self, where: str, verdict: Verdict, text: str = "", context: Context = NO_CONTEXT) -> None:
        """Keep what was found. Raises GuardRefused, naming rule and reason, when it blocks. Of a ``text`` from outside
        the provenance is kept too, and the sentences that speak to the model."""
        told = self._keep(where, verdict)
        if context.source in OUTSIDE:
            redactions = _redactions(verdict.findings)
            for found, kept in told:
                kept |= _from_outside(found, redactions, text, context)
        if not verdict.allowed:
            self._refuse(where, verdict)

    def hold(self, where: str, verdict: Verdict, why: str) -> None:
        """Keep what was found in something that a person must decide, and why it does not pass yet."""
        self._keep(where, verdict)
        self.live.allowed, self.live.why = 0.0, f"{why}."
        self.write(status="refused", error=self.live.why)

    def _keep(self, where: str, verdict: Verdict) -> list[tuple[Finding, dict[str, Any]]]:
        """Note findings and failures. Returns the findings that are kept, each with its note."""
        told: list[tuple[Finding, dict[str, Any]]] = []
        counts: Counter[str] = Counter()
        for found in verdict.findings:
            counts[found.rule] += 1
            if counts[found.rule] > KEPT:
                self.left_out += 1
                continue
            kept: dict[str, Any] = {"rule": found.rule, "action": found.action, "reason": found.reason, "where": where}
            kept |= {"start": found.start, "end": found.end}
            if found.scanner:
                kept |= {"scanner": found.scanner, "kind": found.kind, "score": round(found.score, 3)}
            if found.how:
                kept["how"] = list(found.how)
            if found.note:
                kept["note"] = found.note
            if found.mark:
                kept["mark"] = found.mark
            told.append((found, kept))
        self.found += [kept for _, kept in told]
        for failure in verdict.failures:
            self.failures.append(
                {
                    "rule": failure.rule,
                    "scanner": failure.scanner,
                    "why": failure.why,
                    "fail": failure.fail,
                    "where": where,
                }
            )
        return told

    def write(self, status: str = "ok", error: str = "") -> None:
        """A span for this stage, if there is something to tell."""
        if not self.found and not self.failures:
            return
        actions = ", ".join(dict.fromkeys(found["action"] for found in self.found))
        attributes: dict[str, Any] = {"stage": self.stage, "findings": self.found}
        if self.left_out:
            attributes["left_out"] = self.left_out
        if self.failures:
            attributes["failures"] = self.failures
            if not error:
                status, error = "error", "; ".join(f"{kept['rule']}: {kept['why']}" for kept in self.failures)
        self.live.step(
            f"guard {self.stage}", "guardrail", self.since_ns, Layer.SAFETY,
            status=status, error=error, output=actions, attributes=attributes,
        )  # fmt: skip
        self.found, self.failures, self.left_out = [], [], 0

    @property
    def idle(self) -> bool:
        """Whether the policy has nothing for this stage and no judge for this risk."""
        return self.policy.idle(self.stage) and not self._always()

    def _refuse(self, where: str, verdict: Verdict) -> None:
        rule = next((found for found in verdict.findings if found.action == "block"), None)
        if rule is not None:
            name, reason = rule.rule, rule.reason.rstrip(".")
        else:
            failure = next(failure for failure in verdict.failures if failure.fail == "closed")
            name, reason = failure.rule, f"it fails closed: {failure.why}"
        self.live.allowed, self.live.why = 0.0, f"{name}: {reason}."
        self.write(status="refused", error=self.live.why)
        raise GuardRefused(
            f"{verdict.message} The rule {name!r} stopped the {self.stage}: {reason}.",
            field=where,
            mend=f"The policy is guards:/{self.live.stamp.guard}.",
        )

    def _replacing(self) -> dict[str, Any]:
        return {"replace": self.vault.replace} if self.vault is not None else {}

    def _always(self) -> bool:
        judge = self.policy.judge
        return judge is not None and ("low", "medium", "high").index(self.tier) >= judge.always

    def _doubtful(self, verdict: Verdict, context: Context) -> bool:
        if not verdict.allowed:
            return False
        return verdict.action == "escalate" or (self._always() and context.source in ("user", "assistant"))

    async def _closer(self, where: str, verdict: Verdict, text: str) -> Verdict:
        """The verdict after the judge has spoken; without a judge, or without an answer, after the fail rule."""
        judge = self.policy.judge
        said = await self._ask(text) if judge is not None else None
        fail = judge.fail if judge is not None else self.policy.fail
        message = ""
        if said is None:
            why = "no judge answered" if judge is not None else "the policy names no judge"
            message = f"The guard stopped this: it needs a closer look, and {why}."
            self.failures.append({"rule": "judge", "scanner": "judge", "why": why, "fail": fail, "where": where})
        safe = said.safe if said is not None else fail == "open"
        if safe or verdict.action == "escalate":
            settled = decided(verdict, "flag" if safe else "block")
            return replace(settled, message=message or settled.message) if settled.action == "block" else settled
        codes = ", ".join(said.categories) if said is not None else "no answer"
        self.live.allowed, self.live.why = 0.0, f"judge: {codes or 'unsafe'}"
        self.write(status="refused", error=self.live.why)
        raise GuardRefused(
            message or f"The guard stopped this after a closer look: {codes or 'unsafe'}.",
            field=where,
            mend=f"The policy is guards:/{self.live.stamp.guard}.",
        )

    async def _ask(self, text: str) -> Judgement | None:
        """What the judge says, or None if it cannot be told in time."""
        judge = self.policy.judge
        if judge is None:
            return None
        since_ns = self.live.clock()
        messages = tuple(question(judge, self.stage, text, self.turns))
        call = Call(
            model=judge.model,
            messages=messages,
            params={"temperature": 0, "max_tokens": _ANSWER_TOKENS},
            timeout=judge.timeout,
        )
        answer, why = "", ""
        try:
            reply = await asyncio.wait_for(collect(self.gateway.as_model(judge.model)(call)), judge.timeout)
            answer = reply.text
        except TimeoutError:
            why = f"it took longer than {judge.timeout:g} s"
        except TrimtabError as error:
            why = str(error)
        said = read_answer(judge, answer) if not why else None
        if said is None and not why:
            why = "its answer is neither safe nor unsafe"
        told = "" if said is None else "safe" if said.safe else ", ".join(said.categories) or "unsafe"
        self.live.step(
            "guard judge", "guardrail", since_ns, Layer.SAFETY, status="error" if why else "ok", error=why, output=told,
            attributes={"stage": self.stage, "judge": judge.model, "reason": said.reason if said else ""},
        )  # fmt: skip
        return said


def _redactions(findings: Sequence[Finding]) -> list[tuple[int, int]]:
    """Where something else than an instruction is redacted, in order and without overlaps."""
    spans: list[tuple[int, int]] = []
    for found in findings:
        if found.action == "redact" and found.kind != INDIRECT:
            start, end = spans.pop() if spans and found.start <= spans[-1][1] else (found.start, found.end)
            spans.append((start, max(end, found.end)))
    return spans


def _from_outside(found: Finding, redactions: Sequence[tuple[int, int]], text: str, context: Context) -> dict[str, Any]:
    """Where a text from outside comes from; and the quote of an instruction in it, unless something else that is
    redacted stands there."""
    kept: dict[str, Any] = {"source": context.source}
    if origin := context.extra.get("origin"):
        kept["origin"] = str(origin)
    before = bisect_left(redactions, (found.end, 0))
    hidden = before > 0 and redactions[before - 1][1] > found.start
    if found.kind == INDIRECT and not hidden:
        kept["quote"] = text[found.start : found.end][:_QUOTE]
    return kept


def turns_before(messages: Sequence[Any], at: int) -> tuple[Turn, ...]:
    """The messages before one, as the turns that a scanner or judge may know."""
    return tuple(Turn(str(message.get("role")), text_of(message)) for message in messages[:at])


def text_of(message: Any) -> str:
    """The text of a message; of several parts, those that are text."""
    return text_in(message.get("content"))


def watchman_of(gateway: Gateway, policy: Policy, stage: str, live: LiveTrace) -> Watchman:
    """The policy on duty at a stage of a request, at the risk of its route and tools."""
    tools = live.ask.params.get("tools")
    names = [name for tool in tools or () if (name := _tool_name(tool))] if policy.risk.tools else []
    return Watchman(
        policy=policy,
        stage=stage,
        live=live,
        gateway=gateway,
        since_ns=live.clock(),
        tier=policy.tier_of(live.route, names),
    )


def _tool_name(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""
