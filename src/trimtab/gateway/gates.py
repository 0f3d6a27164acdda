"""The guard at the door: which policy is on duty, and what leaves from the model. ``arriving`` has what arrives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from trimtab.core import BadInput, Call, Chunk, ConfigError, Layer, Version, evolve
from trimtab.guard import DEFAULT_ADDRESS, Context, Policy, StreamScanner, compile_policy

from .actions import history, judge
from .arriving import remembering
from .attempt import quiet
from .canned import Canned
from .live import LiveTrace, last_user_text
from .route import Route
from .toolcalls import CallText, Place, calls_of, with_arguments
from .watchman import Watchman, text_of, turns_before, watchman_of
from .wire import rewritten

if TYPE_CHECKING:
    from .gateway import Gateway
    from .prepared import Prepared


class Asking(Protocol):
    """The models of a route, in their order: asked for a stream, or for a whole answer."""

    def __call__(self, call: Call) -> AsyncGenerator[Chunk]: ...

    async def whole(self, call: Call) -> Chunk:
        """The answer as one piece."""
        ...


_NO_RULES = "Give the policy a stage `action` that is an object, or leave the plan out."
_ASKED_AGAIN = (
    "Your last answer was not accepted: {why}. Answer again with the complete corrected answer and nothing else."
)


def on_duty(gateway: Gateway, route: Route, live: LiveTrace) -> Policy | None:
    """The policy on duty: the route's, else the default one where there is one."""
    address = live.ask.pins.get("guards", route.guard or DEFAULT_ADDRESS)
    if not address:
        return None
    if address is DEFAULT_ADDRESS and "production" not in gateway.registry.labels("guards", "default"):
        return None
    version = gateway.pick_named("guards", address, live, f"the route {route.name}")
    live.pinned(guard=version.pin)
    live.allowed = 1.0
    return _compiled(version)


def leave(gateway: Gateway, ready: Prepared, attempt: Asking, call: Call, live: LiveTrace) -> AsyncGenerator[Chunk]:
    """What of a stream may pass; raises GuardRefused, perhaps after some of it has passed."""
    watch = _watching(gateway, ready, attempt, call, live)
    if watch is None:
        return attempt(call)
    context = _answering(watch.policy, call, live)
    if watch.policy.holds("output", watch.tier):
        return _held(watch, attempt, call, context)
    return _streaming(watch, attempt(call), context)


def leave_whole(
    gateway: Gateway, ready: Prepared, attempt: Asking, call: Call, live: LiveTrace
) -> Coroutine[Any, Any, Chunk]:
    """What of a whole answer may pass; raises GuardRefused."""
    watch = _watching(gateway, ready, attempt, call, live)
    if watch is None:
        return attempt.whole(call)
    return _plain(watch, attempt, call, _answering(watch.policy, call, live))


def _watching(gateway: Gateway, ready: Prepared, attempt: Asking, call: Call, live: LiveTrace) -> Watchman | None:
    """Who looks at the answer; nobody where the policy has nothing to say about it. A canned answer is the policy's
    own word, and passes as it is."""
    if ready.untouched and live.ask.plan is None:
        return None
    policy = ready.policy
    if isinstance(attempt, Canned):
        return None
    if live.ask.plan is not None and (policy is None or policy.actions is None):
        raise BadInput("cannot be kept: the policy has no rules for tools.", field="trimtab.plan", mend=_NO_RULES)
    if policy is None:
        return None
    watch = watchman_of(gateway, policy, "output", live)
    watch.call = call
    if policy.actions is not None:
        if call.params.get("tools"):  # a call of a tool that the request does not declare is seldom made
            watch.history = history(call, live)
    elif watch.idle and policy.idle("action") and (policy.idle("input") or not call.params.get("tools")):
        return None
    return watch


async def _plain(watch: Watchman, attempt: Asking, call: Call, context: Context) -> Chunk:
    reply = await attempt.whole(call)
    if why := await _misshapen(watch, reply.text, context):
        reply = await attempt.whole(_again(call, reply.text, why))
    texts = {0: reply.text} if reply.body is None else _texts_of([reply])
    said = {index: await _scanned(watch, f"choices[{index}]", text, context) for index, text in texts.items()}
    (reply,) = await _called(watch, [reply], context)
    reply = rewritten(reply, lambda index, text, last: said.get(index, text) if text else "")
    watch.write()
    return reply


async def _held(watch: Watchman, attempt: Asking, call: Call, context: Context) -> AsyncGenerator[Chunk]:
    """A stream that goes out once it is whole and found right, in the pieces that it came in unless it was changed.

    Of an answer that its provider keeps, its client hears at once that it is made, and under which id; and nobody is
    asked for another one.
    """
    kept = watch.live.ask.background or watch.live.ask.stored is not None
    pieces: list[Chunk] = []
    async with aclosing(attempt(call)) as arriving:
        async for chunk in arriving:
            if kept and not pieces and quiet(chunk):
                yield chunk
            else:
                pieces.append(chunk)
    texts = _texts_of(pieces)
    if not kept and (why := await _misshapen(watch, texts.get(0, ""), context)):
        pieces = await _every(attempt(_again(call, texts.get(0, ""), why)))
        texts = _texts_of(pieces)
    said = {index: await _scanned(watch, f"choices[{index}]", text, context) for index, text in texts.items()}
    pieces = await _called(watch, pieces, context)
    left = dict(said) if said != texts else None

    def change(index: int, text: str, last: bool) -> str:
        if left is None or said[index] == texts.get(index, ""):
            return text
        return left.pop(index, "") if text or last else ""

    for piece in pieces:
        yield rewritten(piece, change) if left is not None else piece
    watch.write()


async def _streaming(watch: Watchman, chunks: AsyncGenerator[Chunk], context: Context) -> AsyncGenerator[Chunk]:
    """Each choice of the stream through a window of its own; tool calls once they are whole."""
    windows: dict[int, StreamScanner] = {}
    said: dict[int, list[str]] = defaultdict(list)
    closed: set[int] = set()
    calling: list[Chunk] = []
    last_said = Chunk()

    def window(index: int, text: str, last: bool) -> str:
        scanner = windows.get(index) or windows.setdefault(
            index, StreamScanner(watch.policy, context=context, tier=watch.tier)
        )
        said[index].append(text)
        out = scanner.feed(text)
        if last and index not in closed:
            closed.add(index)
            out += scanner.close()
        return out

    async with aclosing(chunks) as arriving, aclosing(together(arriving)) as pieces:
        async for chunk in pieces:
            if calling or chunk.tool_calls:
                calling.append(chunk)  # what is said beside the calls is heard with them
                if not chunk.finish:
                    continue
                for held in await _called(watch, calling, context):
                    passing = rewritten(held, window)
                    if not _blocked(windows):
                        yield passing
                calling = []
                continue
            watch.hear(chunk)
            passing = rewritten(chunk, window)
            if _blocked(windows):
                break
            # An event in the client's own dialect that says no text passes; one whose text is held back does not.
            event = chunk.native is not None and not chunk.text
            if _says(passing) or event or chunk.finish or chunk.usage:
                yield passing
            if chunk.body is None or chunk.body.get("choices"):
                last_said = chunk
        else:  # a stream that ended without saying so still holds back calls and text
            for held in await _called(watch, calling, context):
                yield rewritten(held, window)
            rest = rewritten(last_said, lambda index, text, last: window(index, "", True))
            if _says(rest):
                yield replace(rest, finish=None, usage=None, tool_calls=(), native=None)
    for index, scanner in windows.items():
        watch.note(f"choices[{index}]", scanner.verdict)
        await watch.look_back(f"choices[{index}]", "".join(said[index]), context, scanner.verdict)
    watch.write()


async def _called(watch: Watchman, pieces: Sequence[Chunk], context: Context) -> list[Chunk]:
    """The pieces with the arguments of every tool call scanned, as output and as action, and redacted.

    Raises GuardRefused. In a dialect of its own a call cannot be changed, so what would be redacted there is refused.
    """
    changed: dict[Place, str] = {}
    for piece in pieces:
        watch.hear(piece)
    for place, call in calls_of(pieces).items():
        text = ""
        try:
            text = await _call_scanned(watch, call, context)
        finally:  # what may not pass is not kept either
            if text != call.arguments:
                watch.live.hide(call.arguments, text)
        if text != call.arguments:
            changed[place] = text
    return with_arguments(pieces, changed) if changed else list(pieces)


async def _call_scanned(watch: Watchman, call: CallText, context: Context) -> str:
    """The arguments of one call that may pass. Raises GuardRefused."""
    text = call.arguments
    tool = replace(context, source="assistant", extra={"tool": call.name})
    for stage in ("output", "action"):
        watch.stage = stage
        text = text if not text or watch.policy.idle(stage) else await watch.scan(call.where, text, tool)
    if text and not watch.policy.idle("input") and watch.policy.untrusted.writes(call.name):
        text = await remembering(watch, call, text)
    await judge(watch, call, text)
    watch.stage = "output"
    return text


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


def _answering(policy: Policy, call: Call, live: LiveTrace) -> Context:
    """What the scanners of an answer may know: the system prompt, the passages, and what was asked."""
    system = "\n".join(text_of(message) for message in call.messages if message.get("role") in ("system", "developer"))
    return Context(
        source="assistant",
        system=system,
        passages=tuple(str(passage.get("text", "")) for passage in live.passages),
        asked=last_user_text(call.messages),
        turns=turns_before(call.messages, len(call.messages)) if policy.contextual("output") else (),
    )


async def _scanned(watch: Watchman, where: str, text: str, context: Context) -> str:
    return await watch.scan(where, text, context) if text else ""


async def _misshapen(watch: Watchman, text: str, context: Context) -> str:
    """Why an answer should be asked for again, by the scanners that say so; empty if it is right."""
    return watch.policy.misshapen("output", text, context=context, tier=watch.tier) if text else ""


def _again(call: Call, answer: str, why: str) -> Call:
    """The same call with the answer and what was wrong with it: the one repeated question of a request."""
    told = ({"role": "assistant", "content": answer}, {"role": "user", "content": _ASKED_AGAIN.format(why=why)})
    return evolve(call, messages=(*call.messages, *told), native=None)


def _texts_of(pieces: Sequence[Chunk]) -> dict[int, str]:
    """The whole text of each choice."""
    texts: dict[int, str] = {}

    def gather(index: int, text: str, last: bool) -> str:
        texts[index] = texts.get(index, "") + text
        return text

    for piece in pieces:
        rewritten(piece, gather)
    return texts


async def _every(chunks: AsyncGenerator[Chunk]) -> list[Chunk]:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks]


def _blocked(windows: Mapping[int, StreamScanner]) -> bool:
    return any(scanner.blocked for scanner in windows.values())


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


def _compiled(version: Version) -> Policy:
    try:
        return compile_policy(version.content, version.digest)
    except BadInput as error:
        broken = ConfigError(f"{version.address} cannot be used: {error}", mend="Roll it back or register a right one.")
        broken.layer = Layer.SAFETY
        raise broken from error
