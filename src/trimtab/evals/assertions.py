"""Prompt assertions on real answers: what a prompt's version promises, kept or not, as deterministic scores.

Every answer made with a version is held against the assertions of that version. For as long as the version runs in a
rollout, and for an hour after it took the place of another one, also against those of the version before it: an
assertion that a new version dropped or loosened would otherwise make a regression invisible in the very hour in which
the two are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from trimtab.core import Change, NotFound, Score
from trimtab.prompts import Assertion, assertions_of, broken_rule, language_of
from trimtab.registry import Registry

from .output import Output
from .wording import cited, declines

#: The score that is 1 when an answer keeps all assertions, and how the scores of the single ones begin.
AGGREGATE = "assertions"
PREFIX = "assert:"
#: How long the assertions of the version before count, in nanoseconds.
KEPT_FOR_NS = 3_600 * 10**9
_CHANGES = 1000
_REMEMBERED = 1024

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:['’.-][^\W_]+)*")
_FENCE = re.compile(r"\s*```[a-zA-Z]*\n(.*?)\n?```\s*", re.DOTALL)
#: How refusals begin, in English, German, French, Spanish and Italian; looked for in the first sentences only.
_REFUSES = re2.compile(
    r"(?i)\b(?:I (?:cannot|can['’]?t|won['’]?t|will not|am unable to|am not able to|must decline to)"
    r"|I['’]m (?:unable|not able) to)\s+(?:\w+\s+){0,3}?"
    r"(?:help|assist|comply|provide|do (?:that|this)|answer|discuss|create|generate|write|share|fulfil|support|engage)"
    r"|\bas an (?:AI|artificial)\b[^.!?\n]{0,40}\b(?:cannot|can['’]?t|unable|not able)\b"
    r"|\b(?:kann|darf) ich (?:\w+ ){0,4}nicht (?:\w+ ){0,2}(?:helfen|beantworten|geben|sagen|unterstützen)\b"
    r"|\bje ne peux (?:malheureusement )?pas (?:\w+ ){0,2}(?:aider|répondre|fournir|faire)\b"
    r"|\bno puedo (?:\w+ ){0,2}(?:ayudar|responder|proporcionar|hacer)"
    r"|\bnon posso (?:\w+ ){0,2}(?:aiutar|rispondere|fornire|fare)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Whether an answer keeps one assertion; ``pin`` is the version that asserts it, ``reason`` says what is wrong."""

    name: str
    ok: bool
    pin: str
    reason: str = ""


def holds(assertion: Assertion, output: Output) -> str | None:
    """What is wrong with an answer: "" when it keeps the assertion, None when the assertion does not apply to it."""
    return _RULES[assertion.kind](assertion.arguments, output)


def held(assertions: Iterable[tuple[str, Assertion]], output: Output) -> list[Kept]:
    """The assertions that apply to an answer, each given with the pin of its version.

    One name may come from two versions: it is kept only if both are, so that the score of that name never gets
    better because the assertion got easier.
    """
    found: dict[str, Kept] = {}
    for pin, assertion in assertions:
        reason = holds(assertion, output) if output.answered else None
        if reason is None:
            continue
        before = found.get(assertion.name)
        if before is None or (before.ok and reason):
            found[assertion.name] = Kept(name=assertion.name, ok=not reason, pin=pin, reason=reason)
    return list(found.values())


class Assertions:
    """Which assertions an answer is held against, by what the registry knows."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._read: dict[str, tuple[Assertion, ...]] = {}
        self._newest = ""
        self._moves: dict[str, list[tuple[str, int]]] = {}

    async def kept(self, output: Output) -> list[Kept]:
        """The verdicts on one answer; none for an answer without a registered prompt."""
        pin = output.stamp.prompt
        if not pin or not output.answered:
            return []
        asserted = [(pin, assertion) for assertion in await self._of(pin)]
        for before in self._before(pin, output.time_ns):
            asserted += [(before, assertion) for assertion in await self._of(before)]
        return held(asserted, output)

    async def _of(self, pin: str) -> tuple[Assertion, ...]:
        known = self._read.get(pin)
        if known is not None:
            return known
        name, _, number = pin.rpartition("/")
        try:
            await self._registry.ready(pin, kind="prompts")
            known = assertions_of(self._registry.version("prompts", name, int(number)).content)
        except (NotFound, ValueError):
            return ()
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[pin] = known
        return known

    def _before(self, pin: str, time_ns: int) -> list[str]:
        """The versions whose place this one took, or is about to take."""
        name, _, number = pin.rpartition("/")
        running = self._registry.running("prompts", name)
        found = {f"{name}/{running.base}"} if running and str(running.candidate) == number else set()
        found |= {other for other, moved_ns in self._replaced().get(pin, ()) if moved_ns >= time_ns - KEPT_FOR_NS}
        return sorted(found - {pin})

    def _replaced(self) -> Mapping[str, Sequence[tuple[str, int]]]:
        """For each version that lately took the place of another one: which, and when. Read anew after a change."""
        newest = next(iter(self._registry.changes(limit=1)), None)
        if newest is not None and newest.id != self._newest:
            self._moves = {}
            for change in self._registry.changes(limit=_CHANGES):
                pin, other = _places(change) if change.kind == "prompts" else ("", "")
                if pin and other:
                    self._moves.setdefault(pin, []).append((other, change.time_ns))
            self._newest = newest.id
        return self._moves


def _places(change: Change) -> tuple[str, str]:
    """The newer version of a move, and the one whose place it took or that took its place back."""
    if change.action in ("label", "promote", "rollout", "share"):
        return change.after, change.before
    return (change.before, change.after) if change.action in ("abort", "rollback") else ("", "")


def values_of(kept: Sequence[Kept]) -> dict[str, float]:
    """The verdicts as values by score name, the aggregate among them; empty when nothing applied."""
    if not kept:
        return {}
    return {AGGREGATE: float(all(k.ok for k in kept)), **{f"{PREFIX}{k.name}": float(k.ok) for k in kept}}


def scores_of(output: Output, kept: Sequence[Kept]) -> list[Score]:
    """The verdicts as scores of the answer's trace: one for each assertion, and one over all of them."""
    if not kept:
        return []
    pin = output.stamp.prompt
    by = f"assert:{pin.rpartition('/')[0]}"
    broken = ", ".join(k.name for k in kept if not k.ok)
    rows = [(AGGREGATE, not broken, pin, f"not kept: {broken}" if broken else "")]
    rows += [(f"{PREFIX}{k.name}", k.ok, k.pin, k.reason) for k in kept]
    return [
        Score(
            id=f"{output.trace_id}:{name}",
            trace_id=output.trace_id,
            span_id=output.span_id,
            name=name,
            value=float(ok),
            by=by,
            by_version=version,
            reason=reason,
            time_ns=output.time_ns,
            slice=output.slice,
            project=output.project,
            stamp=output.stamp,
        )
        for name, ok, version, reason in rows
    ]


def word_count(text: str) -> int:
    """Words as people count them; Chinese and Japanese characters count one each, code and numbers as words."""
    return len(_WORD.findall(text))


def _must_cite(arguments: Mapping[str, Any], output: Output) -> str | None:
    if declines(output.text) or (not output.passages and output.asked_corpus):
        return None  # who says that he does not know, or was given nothing, has nothing to cite
    given = {passage.get("number") for passage in output.passages}
    numbers = cited(output.text)
    count, least = len(numbers & given if given else numbers), int(arguments.get("at_least", 1))
    return "" if count >= least else f"cites {count} of the passages it was given, not {least}"


def _json(arguments: Mapping[str, Any], output: Output) -> str | None:
    return _decoded(arguments, output)[1]


def _json_schema(arguments: Mapping[str, Any], output: Output) -> str | None:
    value, wrong = _decoded(arguments, output)
    return wrong or broken_rule(arguments["schema"], value)


def _decoded(arguments: Mapping[str, Any], output: Output) -> tuple[Any, str]:
    text = output.text
    if arguments.get("fenced") and (match := _FENCE.fullmatch(text)):
        text = match[1]
    try:
        return json.loads(text), ""
    except (ValueError, RecursionError) as error:
        return None, f"is not JSON: {str(error)[:100]}"


def _max_words(arguments: Mapping[str, Any], output: Output) -> str | None:
    count = word_count(output.text)
    return "" if count <= arguments["words"] else f"has {count} words, more than {arguments['words']}"


def _min_words(arguments: Mapping[str, Any], output: Output) -> str | None:
    count = word_count(output.text)
    return "" if count >= arguments["words"] else f"has {count} words, fewer than {arguments['words']}"


def _language(arguments: Mapping[str, Any], output: Output) -> str | None:
    found = language_of(output.text)
    if not found:
        return None
    return "" if found == arguments["language"] else f"is in {found!r}, not in {arguments['language']!r}"


def _contains(arguments: Mapping[str, Any], output: Output) -> str | None:
    missing = [text for text in _texts(arguments) if not _has(output.text, text, arguments)]
    return f"does not contain {missing[0][:60]!r}" if missing else ""


def _not_contains(arguments: Mapping[str, Any], output: Output) -> str | None:
    there = [text for text in _texts(arguments) if _has(output.text, text, arguments)]
    return f"contains {there[0][:60]!r}" if there else ""


def _texts(arguments: Mapping[str, Any]) -> Sequence[str]:
    text = arguments["text"]
    return [text] if isinstance(text, str) else text


def _has(answer: str, text: str, arguments: Mapping[str, Any]) -> bool:
    return text.casefold() in answer.casefold() if arguments.get("ignore_case", True) else text in answer


def _regex(arguments: Mapping[str, Any], output: Output) -> str | None:
    return "" if _pattern(arguments["pattern"]).search(output.text) else "does not match the pattern"


@lru_cache(maxsize=512)
def _pattern(text: str) -> Any:
    return re2.compile(text)


def _no_refusal(arguments: Mapping[str, Any], output: Output) -> str | None:
    return "refuses to answer" if _REFUSES.search(output.text[:400]) else ""


_RULES: Mapping[str, Callable[[Mapping[str, Any], Output], str | None]] = {
    "must_cite": _must_cite,
    "json": _json,
    "json_schema": _json_schema,
    "max_words": _max_words,
    "min_words": _min_words,
    "language": _language,
    "contains": _contains,
    "not_contains": _not_contains,
    "regex": _regex,
    "no_refusal": _no_refusal,
}
