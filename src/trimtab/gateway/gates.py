"""The guard at the door: what arrives from the caller and what leaves from the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trimtab.core import BadInput, Chunk, ConfigError, GuardRefused, Layer, Message, Version, evolve
from trimtab.guard import Policy, StreamScanner, Verdict, compile_policy

from .draft import Draft
from .live import LiveTrace
from .route import Route
from .wire import rewritten, whole

if TYPE_CHECKING:
    from .gateway import Gateway

DEFAULT_GUARD = "guards:/default@production"
#: Whose messages arrive from outside; the rest is the application's own.
OUTSIDE = ("user", "tool", "function")


@dataclass(slots=True, kw_only=True)
class Watchman:
    """One policy on duty for one request, and everything it found at one stage."""

    policy: Policy
    stage: str
    live: LiveTrace
    since_ns: int
    found: list[dict[str, Any]] = field(default_factory=list)

    def scan(self, where: str, text: str) -> str:
        """The text that may pass. Raises GuardRefused."""
        verdict = self.policy.scan(self.stage, text)
        if verdict.findings:
            self.note(where, verdict)
        return verdict.text

    def note(self, where: str, verdict: Verdict) -> None:
        """Keep what was found. Raises GuardRefused, naming rule and reason, when it blocks."""
        for found in verdict.findings:
            place = {"where": where, "start": found.start, "end": found.end}
            self.found.append({"rule": found.rule, "action": found.action, "reason": found.reason, **place})
        if verdict.allowed:
            return
        rule = next(found for found in verdict.findings if found.action == "block")
        self.live.allowed, self.live.why = 0.0, f"{rule.rule}: {rule.reason}"
        self.write(status="refused", error=self.live.why)
        raise GuardRefused(
            f"{verdict.message} The rule {rule.rule!r} stopped the {self.stage}: {rule.reason.rstrip('.')}.",
            field=where,
            mend=f"The policy is guards:/{self.live.stamp.guard}.",
        )

    def write(self, status: str = "ok", error: str = "") -> None:
        """A span for this stage, if there is something to tell."""
        if self.found:
            actions = ", ".join(dict.fromkeys(found["action"] for found in self.found))
            attributes = {"stage": self.stage, "findings": self.found}
            self.live.step(
                f"guard {self.stage}", "guardrail", self.since_ns, Layer.SAFETY,
                status=status, error=error, output=actions, attributes=attributes,
            )  # fmt: skip
            self.found = []

    @property
    def idle(self) -> bool:
        """Whether the policy has no rule for this stage."""
        stage = self.policy.stages.get(self.stage)
        return stage is None or not stage.rules


def on_duty(gateway: Gateway, route: Route, live: LiveTrace) -> Policy | None:
    """The policy on duty: the route's, else the default one where there is one."""
    address = live.ask.pins.get("guards", route.guard or DEFAULT_GUARD)
    if not address:
        return None
    if address is DEFAULT_GUARD and "production" not in gateway.registry.labels("guards", "default"):
        return None
    version = gateway.pick_named("guards", address, live, f"the route {route.name}")
    live.pinned(guard=version.pin)
    live.allowed = 1.0
    return _compiled(version)


def arrive(policy: Policy | None, draft: Draft, live: LiveTrace) -> Draft:
    """Scan what the caller sent: variables, and the messages from outside. Returns it redacted.

    Raises GuardRefused. The template and the passages are the house's own and are not scanned here.
    """
    if policy is None:
        return draft
    watch = Watchman(policy=policy, stage="input", live=live, since_ns=live.clock())
    if watch.idle:
        return draft
    variables = {name: _through(value, f"trimtab.variables.{name}", watch) for name, value in draft.variables.items()}
    messages = tuple([_arriving(message, f"messages[{n}]", watch) for n, message in enumerate(draft.messages)])
    if not watch.found:  # the common case, and then nothing was changed
        return draft
    if any(found["action"] == "redact" for found in watch.found):
        live.keep_as(messages, variables)
    watch.write()
    return replace(draft, messages=messages, variables=variables)


def leave(policy: Policy | None, chunks: AsyncGenerator[Chunk], live: LiveTrace) -> AsyncGenerator[Chunk]:
    """What of the model's answer may pass; raises GuardRefused, in a stream perhaps after some of it has passed."""
    if policy is None:
        return chunks
    watch = Watchman(policy=policy, stage="output", live=live, since_ns=live.clock())
    if watch.idle:
        return chunks
    return _streaming(watch, chunks) if live.ask.stream else _plain(watch, chunks)


async def _plain(watch: Watchman, chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    async with aclosing(chunks):
        reply = await whole(chunks)
    yield rewritten(reply, lambda index, text, last: watch.scan(f"choices[{index}]", text) if text else "")
    watch.write()


async def _streaming(watch: Watchman, chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    """Each choice of the stream through a window of its own."""
    windows: dict[int, StreamScanner] = {}
    closed: set[int] = set()
    last_said = Chunk()

    def window(index: int, text: str, last: bool) -> str:
        scanner = windows.get(index) or windows.setdefault(index, StreamScanner(watch.policy))
        out = scanner.feed(text)
        if last and index not in closed:
            closed.add(index)
            out += scanner.close()
        return out

    async with aclosing(chunks), aclosing(together(chunks)) as pieces:
        async for chunk in pieces:
            passing = rewritten(chunk, window)
            if any(scanner.blocked for scanner in windows.values()):
                break
            # An event in the client's own dialect that says no text passes; one whose text is held back does not.
            event = chunk.native is not None and not chunk.text
            if _says(passing) or event or chunk.finish or chunk.usage or chunk.tool_calls:
                yield passing
            if chunk.body is None or chunk.body.get("choices"):
                last_said = chunk
        else:  # a stream that ended without saying so still holds text back
            rest = rewritten(last_said, lambda index, text, last: window(index, "", True))
            if _says(rest):
                yield replace(rest, finish=None, usage=None, tool_calls=(), native=None)
    for index, scanner in windows.items():
        watch.note(f"choices[{index}]", scanner.verdict)
    watch.write()


async def together(chunks: AsyncIterator[Chunk]) -> AsyncGenerator[Chunk]:
    """The same stream with pieces of plain text that arrived together as one: the guard then looks at them once."""
    run: list[Chunk] = []
    async for chunk in chunks:
        if (chunk.more or run) and _only_text(chunk):
            run.append(chunk)
            if chunk.more:
                continue
            chunk = _one(run)
            run = []
        elif run:
            yield _one(run)
            run = []
        yield chunk
    if run:
        yield _one(run)


def _only_text(chunk: Chunk) -> bool:
    """Whether a piece says some text of the only choice, and nothing else."""
    choices = chunk.body.get("choices") if chunk.body is not None else None
    if not chunk.text or chunk.finish or chunk.usage or chunk.tool_calls or not choices or len(choices) != 1:
        return False
    choice = choices[0]
    delta = choice.get("delta")
    return bool(delta) and len(delta) == 1 and not choice.get("logprobs") and delta.get("content") == chunk.text


def _one(run: list[Chunk]) -> Chunk:
    """Pieces of plain text as one."""
    last = run[-1]
    if len(run) == 1 or last.body is None:
        return last
    text = "".join([chunk.text for chunk in run])
    choice = {**last.body["choices"][0], "delta": {"content": text}}
    return evolve(last, text=text, body={**last.body, "choices": [choice]})


def _says(chunk: Chunk) -> bool:
    """Whether a piece of a stream is worth sending: it has text, or anything besides text."""
    if chunk.body is None:
        return bool(chunk.text)
    deltas = [choice.get("delta") or {} for choice in chunk.body.get("choices") or ()]
    return not deltas or any(delta.get("content") or set(delta) - {"content"} for delta in deltas)


def _arriving(message: Message, where: str, watch: Watchman) -> Message:
    if message.get("role") not in OUTSIDE:
        return message
    content = message.get("content")
    if isinstance(content, str):
        text = watch.scan(f"{where}.content", content)
        return message if text == content else {**message, "content": text}
    # Only text parts: an image in base64 may look like a card number, and would not survive a redaction.
    parts = [
        {**part, "text": watch.scan(f"{where}.content[{n}].text", part["text"])} if part["type"] == "text" else part
        for n, part in enumerate(content or ())
    ]
    return {**message, "content": parts}


def _through(value: Any, where: str, watch: Watchman) -> Any:
    """Any JSON value with each text in it scanned."""
    if isinstance(value, str):
        return watch.scan(where, value)
    if isinstance(value, list):
        return [_through(item, f"{where}[{n}]", watch) for n, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {name: _through(item, f"{where}.{name}", watch) for name, item in value.items()}
    return value


def _compiled(version: Version) -> Policy:
    try:
        return compile_policy(version.content, version.digest)
    except BadInput as error:
        broken = ConfigError(f"{version.address} cannot be used: {error}", mend="Roll it back or register a right one.")
        broken.layer = Layer.SAFETY
        raise broken from error
