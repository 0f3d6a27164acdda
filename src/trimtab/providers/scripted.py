"""The simulated model: an honest stand-in with a stated skill, for demonstrations, tests and offline work.

It is no language model. It answers by quoting the sentence of the given passages that fits the question best, obeys
what the prompt asks with the probability that its skill states, and judges and compares by rules (see
``scripted_judging`` and ``scripted_comparing``). It is named as simulated wherever it is seen:
it reports the model ``simulated-...`` and a fingerprint ``sim_...``.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import math
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from trimtab.core import (
    BadInput,
    Call,
    Chunk,
    Model,
    ModelError,
    ModelTimeout,
    Native,
    NotFound,
    Usage,
    now_ns,
    text_in,
)

from .chat import wants_usage
from .embeddings import EMBEDDINGS, embeddings_body, embeddings_reply, inputs_of
from .estimate import COUNT, counted
from .rejoin import refuse_foreign
from .scripted_comparing import give_preference, read_comparison
from .scripted_judging import give_verdict, read_trial
from .scripted_reading import KNOWN, Prompt, Reading, read_prompt, words_of
from .vendor import mapping

UNKNOWN = "I do not know: the passages do not say."
#: How many sentences it quotes when no limit is set, and how often it adds one of its own when not told to keep to
#: the passages.
USUAL_SENTENCES = 2
EMBELLISHES = 0.3
#: Axes of a simulated embedding.
DIMENSIONS = 256

_TOKEN = re.compile(r"\s*\S+|\s+$")
_INVENTED = (
    "Generally speaking, {topic} is arranged by our premium concierge within {n} business days.",
    "Rest assured that {topic} happens overnight, roughly {n} times every fortnight, courtesy of partners abroad.",
    "Historically {topic} was abolished {n} years ago, though loyal subscribers still receive it free.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """How good a simulated model is. Shares are probabilities in [0, 1].

    ``follow``: that it obeys an instruction (each one on its own). ``extract``: that it picks the best sentence instead
    of a plausible wrong one. ``latency_ms``: lowest and highest time to the first token. ``tokens_per_s``: its pace
    (0: no pause between tokens; one word is one token). ``slip``: that it flips its verdict as a judge. ``fails``: that
    it answers 503. ``echo``: it only repeats the last user message.
    """

    follow: float = 0.97
    extract: float = 0.95
    latency_ms: tuple[float, float] = (0.0, 0.0)
    tokens_per_s: float = 0.0
    slip: float = 0.02
    fails: float = 0.0
    echo: bool = False


class Identity(NamedTuple):
    """What a model reports of itself."""

    reported: str
    fingerprint: str


BUILT_IN: dict[str, tuple[Skill, Identity]] = {
    "steady": (
        Skill(follow=0.97, extract=0.95, latency_ms=(15, 45), tokens_per_s=600),
        Identity("simulated-steady-1", "sim_a1"),
    ),
    "reserve": (
        Skill(follow=0.96, extract=0.94, latency_ms=(60, 140), tokens_per_s=250),
        Identity("simulated-reserve-1", "sim_b1"),
    ),
    "weak": (
        Skill(follow=0.45, extract=0.55, latency_ms=(10, 30), tokens_per_s=900, slip=0.25),
        Identity("simulated-weak-1", "sim_c1"),
    ),
    "judge": (
        Skill(follow=0.995, extract=0.95, latency_ms=(5, 15), tokens_per_s=2000, slip=0.02),
        Identity("simulated-judge-1", "sim_d1"),
    ),
    "echo": (Skill(echo=True), Identity("simulated-echo-1", "sim_e1")),
}


class Scripted:
    """The provider of simulated models. ``models`` says which there are and how good each is.

    With ``temperature`` 0 (or a ``seed``) in a call's params the answer depends on the call's content and the model's
    identity alone; else on ``seed`` here and the calls before, so that a whole run can be repeated. ``sleep`` takes
    seconds and stands for the time that a real model would need.
    """

    def __init__(self, *, seed: int = 1, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.models: dict[str, Skill] = {name: skill for name, (skill, _) in BUILT_IN.items()}
        self._identities: dict[str, Identity] = {name: identity for name, (_, identity) in BUILT_IN.items()}
        self._rng = random.Random(seed)
        self._sleep = sleep

    def swap(self, name: str, skill: Skill, reported: str, fingerprint: str) -> None:
        """From now on another model answers under this name, as a vendor does without saying; adds a new name too.

        Raises BadInput unless what it reports says that it is simulated.
        """
        if not reported.startswith("simulated-") or not fingerprint.startswith("sim_"):
            raise BadInput(
                "a simulated model must be recognisable.",
                field="reported",
                mend="Report simulated-NAME and a fingerprint sim_ID.",
            )
        self.models[name] = skill
        self._identities[name] = Identity(reported, fingerprint)

    def identity(self, name: str) -> Identity:
        """What the model of that name reports. Raises NotFound."""
        self._known(name)
        return self._identities.get(name) or Identity(f"simulated-{name}", "sim_0")

    def model(self, name: str) -> Model:
        """The simulated model of that name. Raises NotFound, listing what there is."""
        self._known(name)
        return functools.partial(self._answer, name)

    def _known(self, name: str) -> None:
        if name not in self.models:
            raise NotFound(
                f"there is no simulated model {name!r}.", field="model", mend=f"There is {', '.join(self.models)}."
            )

    async def _answer(self, name: str, call: Call) -> AsyncIterator[Chunk]:
        skill = self.models[name]
        identity = self._identities.get(name) or self.identity(name)
        if call.native is not None:
            refuse_foreign(call, identity.reported)
            if call.native.dialect == COUNT:
                yield counted(count_tokens(call), estimated=False)
                return
            if call.native.dialect == EMBEDDINGS:
                yield _embed(call, call.native, identity)
                return
        rng = self._draws(identity, call)
        latency = rng.uniform(*skill.latency_ms) / 1000
        if rng.random() < skill.fails:
            await self._sleep(latency)
            raise ModelError(f"{identity.reported} is overloaded (simulated).", vendor_status=503)
        text = _say(call, skill, rng)
        tokens = _TOKEN.findall(text)
        limit = call.params.get("max_completion_tokens") or call.params.get("max_tokens")
        finish = "stop"
        if isinstance(limit, int) and 0 < limit < len(tokens):
            tokens, finish = tokens[:limit], "length"
        pause = 1 / skill.tokens_per_s if skill.tokens_per_s else 0.0
        if latency + pause * len(tokens) > call.timeout:
            await self._sleep(call.timeout)
            raise ModelTimeout(f"{identity.reported} did not answer within {call.timeout:g} s (simulated).")
        usage = Usage(input_tokens=count_tokens(call), output_tokens=len(tokens))
        shape = _Shape(identity, f"chatcmpl-sim{rng.getrandbits(64):016x}", now_ns() // 1_000_000_000)
        if not call.stream:
            await self._sleep(latency + pause * len(tokens))
            yield shape.whole("".join(tokens), finish, usage)
            return
        await self._sleep(latency)
        yield shape.piece({"role": "assistant", "content": ""})
        for token in tokens:
            yield shape.piece({"content": token})
            if pause:
                await self._sleep(pause)
        yield shape.piece({}, finish=finish)
        yield shape.usage(usage, shown=wants_usage(call))

    def _draws(self, identity: Identity, call: Call) -> random.Random:
        params = call.params
        if params.get("temperature") == 0 or params.get("seed") is not None:
            content = {name: value for name, value in params.items() if name != "stream_options"}
            asked = json.dumps([identity, call.messages, content], sort_keys=True, default=str)
            return random.Random(hashlib.blake2b(asked.encode("utf-8", "replace"), digest_size=8).digest())
        return random.Random(self._rng.getrandbits(64))


def count_tokens(call: Call) -> int:
    """The simulated tokeniser: a word is a token."""
    return sum(len(_TOKEN.findall(text_in(message.get("content")))) for message in call.messages)


def _embed(call: Call, native: Native, identity: Identity) -> Chunk:
    """Simulated embeddings: texts that share words lie near each other, and nothing else is claimed."""
    size = native.body.get("dimensions") or DIMENSIONS
    vectors = [embedding_of(text_in(item) or str(item), size) for item in inputs_of(call, native)]
    reply = embeddings_reply(embeddings_body(native.body, vectors, identity.reported, count_tokens(call)))
    return replace(reply, fingerprint=identity.fingerprint)


def embedding_of(text: str, size: int = DIMENSIONS) -> list[float]:
    """Each content word of a text thrown onto one of ``size`` axes, with a sign; a vector of length 1."""
    vector = [0.0] * size
    for word in words_of(text) or [text]:
        drawn = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest())
        vector[drawn % size] += 1.0 if drawn >> 63 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def _say(call: Call, skill: Skill, rng: random.Random) -> str:
    if skill.echo:
        said = [text_in(m.get("content")) for m in call.messages if m.get("role") == "user"]
        return said[-1] if said else ""
    trial = read_trial(call.messages)
    if trial is not None:
        verdict = give_verdict(trial, skill.slip, rng)
        return verdict if rng.random() < skill.follow else f"My verdict, in short: {json.loads(verdict)['reason']}"
    pair = read_comparison(call.messages)
    if pair is not None:
        said_of = give_preference(pair, skill.slip, rng)
        return said_of if rng.random() < skill.follow else f"My verdict, in short: {json.loads(said_of)['reason']}"
    prompt = read_prompt(call.messages)
    wants_json = prompt.instructions.json or mapping(call.params.get("response_format")).get("type", "text") != "text"
    text, used = _compose(prompt, skill, rng)
    if used and prompt.instructions.cite and rng.random() < skill.follow:
        text += f" [{used}]"
    if wants_json and rng.random() < skill.follow:
        return json.dumps({"answer": text, "citations": [used] if f"[{used}]" in text else []}, ensure_ascii=False)
    return text


def _compose(prompt: Prompt, skill: Skill, rng: random.Random) -> tuple[str, int]:
    """An answer without its citation, and the number of the passage it used (0: none)."""
    reading = Reading(prompt.passages, prompt.question)
    asked = prompt.instructions
    first = prompt.passages[0].number if prompt.passages else 0
    if reading.best < KNOWN:
        if asked.unknown and rng.random() < skill.follow:
            return UNKNOWN, 0
        return _invent(prompt.question, rng), first
    ranked = reading.ranked()
    at = ranked[0] if rng.random() < skill.extract else _wrong(ranked, reading, rng)
    length = asked.sentences or USUAL_SENTENCES
    if asked.sentences:
        length = min(length, USUAL_SENTENCES) if rng.random() < skill.follow else length + 2
    used = reading.sentences[at].passage
    quoted = [s.text for s in reading.sentences[at : at + length] if s.passage == used]
    if not (asked.only and rng.random() < skill.follow) and rng.random() < EMBELLISHES:
        quoted.append(_invent(prompt.question, rng))
    return " ".join(quoted), used


def _wrong(ranked: Sequence[int], reading: Reading, rng: random.Random) -> int:
    """A sentence that looks fitting and is not: from the lower half of the ranking, of another passage if it can be."""
    lower = ranked[max(1, len(ranked) // 2) :]
    elsewhere = [i for i in lower if reading.sentences[i].passage != reading.sentences[ranked[0]].passage]
    choices = elsewhere or lower or ranked
    return choices[rng.randrange(len(choices))]


def _invent(question: str, rng: random.Random) -> str:
    topic = " ".join(dict.fromkeys(w for w in re.findall(r"[^\W_]+", question.lower()) if words_of(w)))
    chosen = " ".join(topic.split()[:3]) or "this"
    return rng.choice(_INVENTED).format(topic=chosen, n=rng.randint(2, 9))


class _Shape:
    """OpenAI's wire shapes, filled for one answer."""

    def __init__(self, identity: Identity, ident: str, created: int) -> None:
        self._identity = identity
        self._head = {
            "id": ident,
            "created": created,
            "model": identity.reported,
            "system_fingerprint": identity.fingerprint,
        }

    def whole(self, text: str, finish: str, usage: Usage) -> Chunk:
        message = {"role": "assistant", "content": text, "refusal": None}
        choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]
        return self._chunk("chat.completion", choices, text=text, finish=finish, usage=usage, shown=True)

    def piece(self, delta: dict[str, str], *, finish: str | None = None) -> Chunk:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        return self._chunk("chat.completion.chunk", choices, text=delta.get("content", ""), finish=finish)

    def usage(self, usage: Usage, *, shown: bool) -> Chunk:
        if not shown:
            return Chunk(usage=usage, model=self._identity.reported, fingerprint=self._identity.fingerprint)
        return self._chunk("chat.completion.chunk", [], usage=usage, shown=True)

    def _chunk(
        self,
        kind: str,
        choices: list[dict[str, Any]],
        *,
        text: str = "",
        finish: str | None = None,
        usage: Usage | None = None,
        shown: bool = False,
    ) -> Chunk:
        body: dict[str, Any] = {**self._head, "object": kind, "choices": choices}
        if usage is not None and shown:
            body["usage"] = {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
            }
        return Chunk(
            text=text,
            finish=finish,
            usage=usage,
            model=self._identity.reported,
            fingerprint=self._identity.fingerprint,
            body=body,
        )
