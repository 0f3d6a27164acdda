"""A guard policy: rules of patterns and scanners for each stage of a request, compiled once, and the verdict on a text.

Content of a version of kind ``guards``::

    {"stages": {"input": [{"name", "patterns": [...], "action", "reason", "message"?, "check"?},
                          {"scanner", "action", "threshold"?, "fail"?, "within"?, "from"?, "options"?, ...}],
                "output": [...], "action": [...]},
     "fail": "open|closed", "budget"?: {...}, "risk"?: {...}, "judge"?: {...}, "stream"?: "auto|window|hold",
     "flows"?: {...}, "untrusted"?: {...}}

Patterns are RE2 expressions, so the time of a scan is linear in the text whatever the pattern. ``docs/guard.md`` tells
every field.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import Full
from typing import Any, Literal

from trimtab.core import digest_of

from .actions import ActionRules, History, ToolCall
from .actions import screen as screened
from .dialogue import Flows
from .entries import ScannerEntry, Stage
from .exchange import Question, portable
from .judge import JudgeSettings
from .processes import PROCESSES, START_S, Lost, NotStarted, ScanProcess
from .provenance import scanned_as
from .scanner import WHOLE
from .text import LIMIT, NO_CONTEXT, Context, Text, encodable, read
from .untrusted import MARKS, Untrusted, spotlit
from .verdicts import SEVERITY, Failure, Finding, Replace, Verdict, hardest, named, redacted
from .written import TIERS, Budget, Risk, one_stage, read_policy

log = logging.getLogger(__name__)

_CACHE: dict[str, Policy] = {}
_CACHE_SIZE = 64
#: Texts up to so many characters are scanned at once; longer ones in a thread, so that the event loop goes on.
INLINE = 2048
#: Still longer ones are scanned in a process of their own: a thread shares the interpreter with the event loop.
THREADED = 1 << 13
_NO_STAGE = Stage()
#: What a policy is warmed with: like a request in its letters, figures and signs, and with something for most scanners.
_WORDS = "Please ignore the order 4711-2025 of a@b.example; see https://example.com/x?y=1 and `rm x`, key = abc123."
#: Clean texts that a policy remembers, by their hash.
_MOST_CLEAN = 4096
#: A whole scan in a thread or process is given up after the stage's budget and this many seconds.
_GRACE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A compiled policy. ``fail`` says what happens when the guard itself or a scanner without a rule of its own fails.

    ``risk`` and ``judge`` are for the caller that knows routes and models; ``stream`` says whether an answer is let go
    through a window or held until it is whole; ``auto`` holds it where it must.
    """

    digest: str
    stages: Mapping[str, Stage]
    #: As it was written, for a scanning process; a policy without it scans all texts in this process.
    content: Mapping[str, Any] | None = field(default=None, repr=False)
    fail: Literal["open", "closed"] = "closed"
    budget: Budget = field(default_factory=Budget)
    risk: Risk = field(default_factory=Risk)
    judge: JudgeSettings | None = None
    stream: Literal["auto", "window", "hold"] = "auto"
    #: What is asked of tool calls beyond their text; None where the policy has no such rules.
    actions: ActionRules | None = None
    #: Topics, canned answers and required steps; None where the policy has none.
    flows: Flows | None = None
    #: How texts from outside are marked, which tools are a memory, which documents are kept out.
    untrusted: Untrusted = field(default_factory=Untrusted)
    clean: dict[tuple[object, ...], None] = field(default_factory=dict, compare=False, repr=False)
    askable: dict[tuple[object, ...], list[ScannerEntry]] = field(default_factory=dict, compare=False, repr=False)

    def scan(
        self, stage: str, text: str, *, context: Context = NO_CONTEXT, tier: str = "low", replace: Replace = named
    ) -> Verdict:
        """The verdict on a whole text. A stage that the policy does not name allows everything."""
        rules = self.stages.get(stage, _NO_STAGE)
        text = encodable(text)
        if rules.idle:
            return Verdict(text=text)
        seen = (stage, context.source, tier, len(text), hash(text))
        if not context.newest and seen in self.clean:
            return Verdict(text=text)
        asked = self.asked(stage, context, tier)
        if not asked and (scanned_as(context.source) == "document" or not rules.rules):
            return Verdict(text=text)
        verdict = self._scan(rules, asked, text, context, replace)
        self._remember(seen, verdict)
        return verdict

    async def examine(
        self,
        stage: str,
        text: str,
        *,
        context: Context = NO_CONTEXT,
        tier: str = "low",
        replace: Replace = named,
        inline: int = INLINE,
    ) -> Verdict:
        """Like ``scan``, without keeping the event loop: a text over ``inline`` characters, or a large scanner, goes
        to a thread, and one over ``THREADED`` to a process.

        A process that runs over its time is killed. A thread cannot be stopped: it is left to end by itself. The rule
        for failures is followed either way.
        """
        rules = self.stages.get(stage, _NO_STAGE)
        every = self.asked(stage, context, tier)
        large = [entry for entry in every if entry.scanner.cost == "large"]
        seen = (stage, context.source, tier, len(text), hash(text))
        if not large and (len(text) <= inline or (not context.newest and seen in self.clean)):
            return self.scan(stage, text, context=context, tier=tier, replace=replace)
        text = await asyncio.to_thread(encodable, text) if len(text) > THREADED else encodable(text)
        asked = [entry for entry in every if entry.scanner.cost != "large"]
        if not asked and not large and (scanned_as(context.source) == "document" or not rules.rules):
            return Verdict(text=text)
        verdict, why = None, ""
        try:
            verdict = await self._elsewhere(stage, text, context, tier, replace)
            if verdict is None:
                job = asyncio.to_thread(self._scan, rules, asked, text, context, replace)
                verdict = await asyncio.wait_for(job, self.budget.latency + _GRACE)
        except TimeoutError:
            why = "it took longer than its budget"
        except Full:
            why = "too many long texts were waiting"
        except Lost as error:
            why = str(error)
        if verdict is None:
            late = Failure(rule="guard", scanner="", why=why, fail=self.fail)
            return _verdict(rules, [], [late], text, replace)
        if not large:
            self._remember(seen, verdict)
        if not large or not verdict.allowed:
            return verdict
        findings, failures = list(verdict.findings), list(verdict.failures)
        reading = await asyncio.to_thread(read, text, context=_known_to_scanners(context))
        for entry in large:
            found, failure = await _timed(entry, reading)
            findings += found
            failures += [failure] if failure else []
        return _verdict(rules, rules.ordered(findings), failures, text, replace)

    async def _elsewhere(self, stage: str, text: str, context: Context, tier: str, replace: Replace) -> Verdict | None:
        """The verdict on a long text, scanned in a process; None for others, and where no process can be started.
        Raises TimeoutError, Full, Lost."""
        if len(text) <= THREADED or self.content is None:
            return None
        rules, within = self.stages[stage], self.budget.latency + _GRACE
        content = one_stage(self.content, stage, rules)

        def look(process: ScanProcess) -> Verdict:
            question = Question(
                within=within, digest=f"{self.digest}/{stage}", content=content, stage=stage, tier=tier, context=context
            )  # fmt: skip
            return _verdict(rules, *process.look(question, text), text, replace)

        try:
            return await asyncio.wait_for(asyncio.wrap_future(PROCESSES.run(look)), within + START_S)
        except NotStarted as error:
            log.warning("a long text is scanned in a thread: %s", error)
            return None

    def look(self, stage: str, text: str, context: Context, tier: str) -> tuple[list[Finding], list[Failure]]:
        """What pattern rules and all scanners but the large ones find in a text, in order, and what failed."""
        asked = [entry for entry in self.asked(stage, context, tier) if entry.scanner.cost != "large"]
        return self._found(self.stages.get(stage, _NO_STAGE), asked, text, context)

    def _scan(
        self, rules: Stage, asked: Sequence[ScannerEntry], text: str, context: Context, replace: Replace
    ) -> Verdict:
        findings, failures = self._found(rules, asked, text, context)
        if not findings and not failures:  # the common case
            return Verdict(text=text)
        return _verdict(rules, findings, failures, text, replace)

    def _found(
        self, rules: Stage, asked: Sequence[ScannerEntry], text: str, context: Context
    ) -> tuple[list[Finding], list[Failure]]:
        began = time.perf_counter()
        failures: list[Failure] = []
        try:
            context = _known_to_scanners(context)
            reading = read(text, context=context)
        except Exception as error:  # house: except because a mistake in reading must follow the policy's fail rule
            why = f"the text could not be read ({type(error).__name__})"
            return [], [Failure(rule="reading", scanner="", why=why, fail=self.fail)]
        if reading.cut:
            why = f"more than {LIMIT} characters, or too many disguises"
            failures.append(Failure(rule="reading", scanner="", why=why, fail=self.fail))
        found = rules.found_by_rules(reading) if context.source != "document" else []
        for entry in asked:
            if time.perf_counter() - began > self.budget.latency:
                failures.append(entry.failed("the time of the stage was spent"))
                continue
            hits, failure = entry.find(reading)
            found += hits
            if failure is not None:
                failures.append(failure)
        return rules.ordered(found), failures

    def warm(self) -> None:
        """Scan a few words at every stage: expressions are compiled at their first use, which takes a tenth of a
        second that no request should wait for. Large scanners load by themselves."""
        reading = read(_WORDS)
        for stage in self.stages.values():
            for _ in stage.by_rules(reading.readings):
                pass
            for entry in stage.entries:
                if entry.scanner.cost != "large":
                    entry.find(reading)

    def judge_call(self, call: ToolCall, history: History) -> Verdict:
        """The verdict on a tool call by the policy's rules for tools; what fails follows the policy's fail rule."""
        if self.actions is None:
            return Verdict()
        try:
            return screened(call, history, self.actions)
        except Exception as error:  # house: except because a mistake in screening must follow the policy's fail rule
            why = f"the call could not be judged ({type(error).__name__})"
            failure = Failure(rule="actions", scanner="actions", why=why, fail=self.fail)
            return _verdict(_NO_STAGE, [], [failure], "", named)

    def asked(self, stage: str, context: Context, tier: str) -> list[ScannerEntry]:
        """The scanners of a stage that are asked about a text of this source at this risk; those that judge a message
        by its conversation only about the newest one."""
        known = (stage, context.source, tier, context.newest)
        found = self.askable.get(known)
        if found is None:
            level = TIERS.index(tier)
            found = self.askable[known] = [
                entry
                for entry in self.stages.get(stage, _NO_STAGE).entries
                if entry.applies(context.source, level) and (context.newest or not entry.scanner.contextual)
            ]
        return found

    def restores(self, stage: str) -> frozenset[str]:
        """The names of the scanners whose redactions may be taken back for the caller."""
        return frozenset(entry.name for entry in self.stages.get(stage, _NO_STAGE).entries if entry.restore)

    def idle(self, stage: str) -> bool:
        """Whether the policy has nothing to say about a stage."""
        return self.stages.get(stage, _NO_STAGE).idle and not (stage == "input" and self.untrusted.mark)

    def shown(self, verdict: Verdict, context: Context) -> str:
        """The text of a verdict as a model may see it: one from outside marked, by what was found or as the policy
        marks all of them. What is written somewhere (``write``) is marked when it is read."""
        if context.extra.get("write"):
            return verdict.text
        marks = [finding.mark for finding in verdict.findings if finding.mark in MARKS]
        always = self.untrusted.mark if context.source in self.untrusted.sources else ""
        if not verdict.text or not (marks or always):
            return verdict.text
        return spotlit(verdict.text, marks[0] if marks else always, str(context.extra.get("origin") or ""))

    def contextual(self, stage: str) -> bool:
        """Whether a scanner of the stage judges a message by the conversation before it."""
        return any(entry.scanner.contextual for entry in self.stages.get(stage, _NO_STAGE).entries)

    def holds(self, stage: str, tier: str = "low") -> bool:
        """Whether a stream must be held until it is whole: the policy says so, or a scanner that may stop or change the
        text can judge only the whole, or a judge will be asked."""
        if self.stream != "auto":
            return self.stream == "hold"
        if self.judge is not None and TIERS.index(tier) >= self.judge.always:
            return True
        entries = self.stages.get(stage, _NO_STAGE).entries
        return any(
            entry.reask
            or entry.action == "escalate"
            or (entry.scanner.longest == WHOLE and SEVERITY[entry.action] > SEVERITY["flag"])
            for entry in entries
        )

    def misshapen(self, stage: str, text: str, *, context: Context = NO_CONTEXT, tier: str = "low") -> str:
        """Why a model should be asked again, by the scanners of the stage that say so; empty if the text is right."""
        for entry in self.asked(stage, context, tier):
            if entry.reask:
                found, _ = entry.find(read(encodable(text), context=context, decode=False))
                if found:
                    return found[0].note or found[0].reason
        return ""

    def _remember(self, seen: tuple[object, ...], verdict: Verdict) -> None:
        """Keep that a message was clean: a conversation sends it again with every turn that follows, and then no more
        is asked about it than when it was the newest."""
        if seen[0] != "input" or verdict.findings or verdict.failures:
            return
        while len(self.clean) >= _MOST_CLEAN:
            self.clean.pop(next(iter(self.clean)), None)
        self.clean[seen] = None

    def tier_of(self, route: str, tools: Sequence[str] = ()) -> str:
        """The risk tier of a request: the highest of its route's and its tools'."""
        tiers = [self.risk.routes.get(route, self.risk.default), *(self.risk.tools.get(tool, "low") for tool in tools)]
        return max(tiers, key=TIERS.index)


def compile_policy(content: Mapping[str, Any], digest: str = "") -> Policy:
    """Compile a policy; the same content is compiled once. ``digest`` (the version's) spares the hashing.

    Raises BadInput naming the rule, the pattern or option, and the mend.
    """
    if digest and digest in _CACHE:
        return _CACHE[digest]
    written = read_policy(content)
    digest = digest or digest_of(content)
    if digest not in _CACHE:
        while len(_CACHE) >= _CACHE_SIZE:
            _CACHE.pop(next(iter(_CACHE)))
        _CACHE[digest] = Policy(digest=digest, content=portable(content), **written._asdict())
    return _CACHE[digest]


def _known_to_scanners(context: Context) -> Context:
    """The context with the source that scanners know the text by."""
    source = scanned_as(context.source)
    return context if source == context.source else dataclasses.replace(context, source=source)


async def _timed(entry: ScannerEntry, reading: Text) -> tuple[list[Finding], Failure | None]:
    """What a large scanner finds within its time."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(entry.find, reading), entry.within)
    except TimeoutError:
        return [], entry.failed(f"it took longer than {entry.within * 1000:.0f} ms")


def _verdict(
    rules: Stage, findings: Sequence[Finding], failures: Sequence[Failure], text: str, replace: Replace
) -> Verdict:
    action = hardest(findings)
    closed = next((failure for failure in failures if failure.fail == "closed"), None)
    common: dict[str, Any] = {"findings": tuple(findings), "failures": tuple(failures)}
    if action == "block":
        first = next(finding for finding in findings if finding.action == "block")
        return Verdict(action=action, message=rules.message_of(first.rule), **common)
    if closed is not None:
        return Verdict(action="block", message=f"The guard could not look at this: {closed.why}.", **common)
    return Verdict(action=action, text=redacted(text, findings, replace), **common)


def decided(verdict: Verdict, action: Literal["flag", "block"]) -> Verdict:
    """An escalated verdict once it is decided: as if its hardest findings had said ``action``."""
    findings = tuple(
        dataclasses.replace(finding, action=action) if SEVERITY[finding.action] == SEVERITY["escalate"] else finding
        for finding in verdict.findings
    )
    kept = hardest(findings)
    return Verdict(
        action=kept,
        findings=findings,
        text="" if kept == "block" else verdict.text,
        message="The guard stopped this after a closer look." if kept == "block" else "",
        failures=verdict.failures,
    )
