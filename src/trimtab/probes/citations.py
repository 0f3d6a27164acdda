"""Whether citations carry the answers: recorded questions asked again with and without the document that was cited.

An answer that stays as it is when the document is gone did not come from it: the citation was decoration. The messages
are those that the model was sent, so prompt and passages are the ones that served; both answers are new, so that a
model that changed since is no finding here. What another passage says as well proves nothing and is passed over.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.core import Filter, Message, Span, SpanQuery, TrimtabError, Version
from trimtab.evals import OWN_PROJECTS, cited, content_words, declines, passage_words
from trimtab.knowledge import Passage, render

from .asking import Spent
from .fall import Fall
from .found import Found, Job
from .retrieval import live

#: The share of an answer's words that the other passages hold from which on they say it too, and the share of two
#: answers' words in common from which on they are the same.
_SAID_TOO, _SAME = 0.7, 0.6
#: Newest answers that questions are drawn from, questions that are remembered so that none is asked twice, and the
#: longest call that is asked again, in characters.
_NEWEST, _REMEMBERED, _LONGEST = 500, 1000, 100_000
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_MARK = re.compile(r"\s*\[\d{1,3}\]")
#: Parameters that an answer is asked again with, if it was asked with them.
_KEPT = ("max_tokens", "max_completion_tokens", "response_format", "reasoning_effort")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A recorded question as it was sent, and the same without the documents that its answer cited. ``others`` are the
    passages that are left."""

    trace_id: str
    question: str
    corpus: str
    ref: str
    documents: tuple[str, ...]
    params: Mapping[str, Any]
    whole: tuple[Message, ...]
    without: tuple[Message, ...]
    others: tuple[Mapping[str, Any], ...]


async def citations(job: Job) -> Found:
    """One run: some of the latest answers that cite, drawn by chance."""
    corpora = {version.name: version for version in live(job)}
    if not corpora:
        return Found(verdict="ok", text="No corpus is live: nothing is cited.", state=dict(job.state))
    pairs = await _drawn(job, corpora)
    fall = Fall(job.state, reference=job.declared.count("reference"), threshold=2.0 * job.declared.a_year)
    known, stayed, errors, why = fall.fell, list[str](), 0, ""
    given = await asyncio.gather(*(_carries(job, pair) for pair in pairs), return_exceptions=True)
    for pair, carried in zip(pairs, given, strict=True):
        if isinstance(carried, TrimtabError):
            if not isinstance(carried, Spent):
                errors, why = errors + 1, carried.message
        elif isinstance(carried, BaseException):
            raise carried
        elif carried is not None:
            fall.take(float(carried))
            stayed += [] if carried else [f"{', '.join(pair.documents)}: {pair.question}"]
    forgiven = known and fall.forgive()
    version = corpora[pairs[0].corpus] if pairs else next(iter(corpora.values()))
    asked = [*job.state.get("asked", ()), *(pair.trace_id for pair in pairs)][-_REMEMBERED:]
    state = {**fall.state, "asked": asked}
    if pairs and errors == len(pairs):
        text = f"No question could be asked again: {why}"
        return Found(verdict="unknown", text=text, state=state, asset=version.name, pin=version.pin)
    return Found(
        verdict="learning" if fall.learning else "alarm" if fall.fell else "ok",
        text=_text(job, fall, len(pairs), errors, forgiven=forgiven), state=state, value=fall.now, usual=fall.usual,
        asset=version.name, pin=version.pin,
        detail={"evidence": fall.evidence, "failed": errors, "decoration": list(dict.fromkeys(stayed))[:50]},
    )  # fmt: skip


def _text(job: Job, fall: Fall, asked: int, errors: int, *, forgiven: bool) -> str:
    text = f"{fall.now or 0:.2f} of the latest citations carry their answer, before {fall.usual or 0:.2f}"
    if fall.learning:
        text = f"Learning the reference: {fall.n} of {job.declared.count('reference')} citations"
    if not asked:
        text += "; no new answer that cites a passage was recorded"
    if errors:
        text += f"; {errors} questions could not be asked again"
    return f"{text}{'; it is as good as before again' if forgiven else ''}."


async def _drawn(job: Job, corpora: Mapping[str, Version]) -> list[Pair]:
    """Questions that were not asked before, drawn from the newest answers."""
    if job.spans is None:
        return []
    filters = (Filter(column="status", op="=", value="ok"), Filter(column="stamp.knowledge", op="exists", value=1))
    page = await job.spans.query(SpanQuery(filters=filters, limit=_NEWEST))
    asked = set(job.state.get("asked", ()))
    roots = [root for root in page.spans if root.trace_id not in asked and _usable(root) and _corpus(root) in corpora]
    wanted, found = job.declared.count("queries"), list[Pair]()
    for root in job.rng.sample(roots, min(len(roots), 3 * wanted)):
        trace = await job.spans.trace(root.trace_id)
        pair = pair_of(root, trace.spans) if trace is not None else None
        if pair is not None:
            found.append(pair)
        if len(found) >= wanted:
            break
    return found


def _usable(root: Span) -> bool:
    """Whether somebody's request was answered by a model, with words that cite."""
    own = root.project.startswith(OWN_PROJECTS) or root.attributes.get("gateway") is not True
    return not own and bool(cited(root.output)) and not declines(root.output)


def _corpus(root: Span) -> str:
    return root.stamp.knowledge.rpartition("/")[0]


def pair_of(root: Span, spans: Sequence[Span]) -> Pair | None:
    """The question of a trace with and without what its answer cites. Pure.

    None where nothing can be told: the passages do not stand in the call as they were rendered, nothing but the cited
    document was found and cited, or what is left says the same.
    """
    passages = [p for each in root.attributes.get("passages") or () if (p := _passage(each)) is not None]
    numbers = cited(root.output)
    documents = {passage.document for passage in passages if passage.number in numbers}
    call = next((span for span in reversed(spans) if span.kind == "llm" and span.status == "ok"), None)
    if not documents or call is None or len(call.input) > _LONGEST:
        return None
    left = [passage for passage in passages if passage.document not in documents]
    others = tuple({"title": passage.title, "text": passage.text} for passage in left)
    messages = _messages(call.input)
    without = _replaced(messages, render(passages), render(left))
    if without is None or _said_too(root.output, others):
        return None
    ask = root.attributes.get("ask")
    params = ask.get("params") if isinstance(ask, Mapping) else None
    kept = {name: params[name] for name in _KEPT if name in params} if isinstance(params, Mapping) else {}
    return Pair(
        trace_id=root.trace_id, question=root.input[:200], corpus=_corpus(root),
        ref=root.stamp.model.partition("=")[0], documents=tuple(sorted(documents)), params=kept, whole=messages,
        without=without, others=others,
    )  # fmt: skip


async def _carries(job: Job, pair: Pair) -> bool | None:
    """Whether the answer changes without what it cites; None where today's answer cites nothing, or the others say it.

    Raises Spent, and what the model raises.
    """
    answer = await _answer(job, pair, pair.whole)
    if declines(answer) or not cited(answer) or _said_too(answer, pair.others):
        return None
    return changed(answer, await _answer(job, pair, pair.without))


async def _answer(job: Job, pair: Pair, messages: tuple[Message, ...]) -> str:
    try:
        return (await job.ask.ask(pair.ref, messages, {**pair.params, "temperature": 0})).text
    except TrimtabError as error:
        if getattr(error, "vendor_status", 0) not in (400, 422):
            raise
        return (await job.ask.ask(pair.ref, messages, pair.params)).text  # a model that knows no temperature


def changed(answer: str, other: str) -> bool:
    """Whether two answers to one question say different things: one declines, the numbers differ, or the words do.
    Pure."""
    one, two = _MARK.sub("", answer), _MARK.sub("", other)
    if declines(one) != declines(two) or set(_NUMBER.findall(one)) != set(_NUMBER.findall(two)):
        return True
    first, second = content_words(one), content_words(two)
    return len(first & second) < _SAME * len(first | second)


def _said_too(answer: str, others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the other passages hold what an answer says: its numbers, and most of its words."""
    plain = _MARK.sub("", answer)
    text = " ".join(str(each["text"]) for each in others)
    if not set(_NUMBER.findall(plain)) <= set(_NUMBER.findall(text)):
        return False
    words = content_words(plain)
    held = {word for each in others for word in passage_words(each)}
    return bool(words) and len(words & held) >= _SAID_TOO * len(words)


def _passage(told: Any) -> Passage | None:
    """A passage as it was recorded; None for what was stripped or never was one."""
    try:
        return msgspec.convert(told, Passage, strict=False)
    except msgspec.ValidationError:
        return None


def _messages(text: str) -> tuple[Message, ...]:
    """The messages of a recorded call; none where they were not kept."""
    try:
        return tuple(msgspec.json.decode(text, type=list[dict[str, Any]]))
    except msgspec.DecodeError:
        return ()


def _replaced(messages: Sequence[Message], rendered: str, other: str) -> tuple[Message, ...] | None:
    """The messages with other passages; None where they do not stand in exactly one of them as they were rendered."""
    places = [n for n, m in enumerate(messages) if isinstance(m.get("content"), str) and rendered in m["content"]]
    if len(places) != 1:
        return None
    at = places[0]
    changed_one = {**messages[at], "content": messages[at]["content"].replace(rendered, other)}
    return (*messages[:at], changed_one, *messages[at + 1 :])
