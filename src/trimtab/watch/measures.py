"""What is measured of every answered request, beside its scores: pure functions of a gateway trace.

A measure gives 1 or 0 (a test), or a number that its slice's own past says is usual or not (a level). None is no
opinion: the measure does not apply to this request.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from trimtab.core import Layer
from trimtab.evals import content_words
from trimtab.guard.indirect import KIND as INDIRECT
from trimtab.guard.untrusted import SURE, orders_in

from .measure import MOST_SPANS, SOME, Measure
from .measured_calls import CALLS
from .measured_searches import SEARCHES
from .measured_texts import TEXTS_AND_PASSAGES, dates_in, findings_in, scores_in
from .plainly import attacks, foreign, lets_out, refuses
from .traffic import SHOWN, Traffic

_NS = 10**9
_DAY_NS = 86_400 * _NS
#: Passages, and characters of each, that are looked at.
_PASSAGES, _LOOKED_AT = 4, 1000


def first_token(seen: Traffic) -> float | None:
    """Seconds to the first token."""
    return seen.root.ttft_ns / _NS if seen.ok and seen.root.ttft_ns else None


def speed(seen: Traffic) -> float | None:
    """Output tokens a second, first token to last; of answers long enough to tell."""
    root = seen.root
    if not seen.ok or not root.ttft_ns or not root.output_tokens or root.output_tokens < 20:
        return None
    spent = root.duration_ns - root.ttft_ns
    return root.output_tokens * _NS / spent if spent > 0 else None


def length(seen: Traffic) -> float | None:
    """Output tokens."""
    return float(seen.root.output_tokens) if seen.ok and seen.root.output_tokens else None


def willing(seen: Traffic) -> float | None:
    """0 when the answer says at its beginning that it does not know, cannot or will not."""
    return float(not refuses(seen.root.output[:SHOWN])) if seen.ok and seen.root.output else None


def same_script(seen: Traffic) -> float | None:
    """0 when more than a fifth of the answer's letters are of scripts that neither question nor passages use."""
    root = seen.root
    if not seen.ok or not root.output:
        return None
    share = 0.0 if root.output.isascii() else foreign(root.output[:SHOWN], root.input[:SHOWN], seen.text)
    return None if share is None else float(share <= 0.2)


def top_score(seen: Traffic) -> float | None:
    """The retrieval score of the best passage."""
    return max(scores_in(seen), default=None)


def passages_found(seen: Traffic) -> float | None:
    """How many passages were found, where a corpus was asked."""
    return float(len(seen.passages)) if seen.root.stamp.knowledge and seen.root.status == "ok" else None


def coverage(seen: Traffic) -> float | None:
    """The share of the question's content words that occur in the passages, with whatever ending."""
    if not seen.passages:
        return None
    asked = content_words(seen.root.input[:SHOWN])
    text = seen.text
    return sum([word in text for word in asked]) / len(asked) if asked else None


def age(seen: Traffic) -> float | None:
    """Days since the youngest passage was updated: it grows when an index job has died."""
    dated = dates_in(seen)
    return max(0.0, (seen.root.end_ns - max(dated)) / _DAY_NS) if dated else None


def plain_passages(seen: Traffic) -> float | None:
    """0 when a passage gives orders: the guard found it when the passage was used, or would find it now."""
    if not seen.passages:
        return None
    if any(_is_order(each) and str(each.get("where", "")).startswith("passages.") for each in findings_in(seen)):
        return 0.0
    if seen.root.stamp.guard:
        return 1.0
    return float(not any(_gives_orders(str(p.get("text", ""))[:_LOOKED_AT]) for p in seen.passages[:_PASSAGES]))


def _is_order(finding: Mapping[str, Any]) -> bool:
    """Whether a finding is a sentence that speaks to a model, and a sure one."""
    score = finding.get("score")
    return finding.get("kind") == INDIRECT and (not isinstance(score, int | float) or score >= SURE)


@lru_cache(maxsize=4096)
def _gives_orders(passage: str) -> bool:
    """Whether a passage speaks to a model. The same passages are found again and again."""
    return bool(orders_in(passage))


def filled(seen: Traffic) -> float | None:
    """0 when a variable of the prompt reached the model unfilled."""
    if not seen.root.stamp.prompt:
        return None
    for span in seen.spans[:MOST_SPANS]:
        if span.kind == "llm" and span.input:
            return float("{{" not in span.input)
    return None


def prompt_length(seen: Traffic) -> float | None:
    """Input tokens."""
    return float(seen.root.input_tokens) if seen.ok and seen.root.input_tokens else None


def steps(seen: Traffic) -> float | None:
    """Calls of models and tools for one answer."""
    return float(sum([span.kind in ("llm", "tool", "agent") for span in seen.spans])) if seen.ok else None


def no_repeats(seen: Traffic) -> float | None:
    """0 when the same tool was called with the same input three times or more."""
    counts: dict[tuple[str, str], int] = {}
    for span in seen.spans[:MOST_SPANS]:
        if span.kind == "tool":
            key = span.name, span.input[:SHOWN]
            counts[key] = counts.get(key, 0) + 1
    return float(max(counts.values()) < 3) if counts else None


def guarded(seen: Traffic) -> float | None:
    """0 when no guard took part."""
    return float(bool(seen.root.stamp.guard)) if seen.root.stamp.route and not seen.limited else None


def guard_sound(seen: Traffic) -> float | None:
    """0 when a scanner of the guard failed or ran out of time."""
    if not seen.root.stamp.guard:
        return None
    return float(not any(s.kind == "guardrail" and s.attributes.get("failures") for s in seen.spans[:MOST_SPANS]))


def private(seen: Traffic) -> float | None:
    """0 when the kept answer holds personal data or a secret that no passage holds: the guard let it pass."""
    answer = seen.root.output
    return float(not lets_out(answer[:SHOWN], seen.text)) if seen.ok and answer else None


def plain_questions(seen: Traffic) -> float | None:
    """0 when the question openly attacks the assistant."""
    return None if seen.limited else float(not attacks(seen.root.input[:SHOWN]))


def attacks_stopped(seen: Traffic) -> float | None:
    """Of open attacks: 1 when the guard stopped it, 0 when it was answered."""
    stopped = seen.root.status == "refused" and seen.root.layer == Layer.SAFETY
    told = (seen.ok or stopped) and attacks(seen.root.input[:SHOWN])
    return float(stopped) if told else None


def admitted(seen: Traffic) -> float | None:
    """0 when a limit (a rate, a budget, places) turned the request away."""
    return float(not seen.limited)


def whole(seen: Traffic) -> float | None:
    """0 when the trace lacks spans of the model's calls that its root counts."""
    calls = seen.root.attributes.get("attempts")
    if not seen.ok or not isinstance(calls, int) or not calls:
        return None
    return float(sum([span.kind in ("llm", "embedding") for span in seen.spans]) >= calls)


def cost(seen: Traffic) -> float | None:
    """US dollars."""
    return seen.root.cost_usd if seen.ok else None


def cached_share(seen: Traffic) -> float | None:
    """The share of the input tokens that came from the vendor's cache; of long prompts only."""
    root = seen.root
    if not seen.ok or not root.input_tokens or root.input_tokens < 1024 or root.cached_tokens is None:
        return None
    return root.cached_tokens / root.input_tokens


def priced(seen: Traffic) -> float | None:
    """0 when nobody knows what the answer cost."""
    return float(seen.root.cost_usd is not None) if seen.ok and seen.root.model else None


def _measures(*measures: Measure) -> dict[str, Measure]:
    return {measure.name: measure for measure in measures}


MEASURES: dict[str, Measure] = _measures(
    Measure(
        name="first_token", layer=Layer.MODEL, title="First token", unit="seconds", of=first_token, worse="up",
        tolerance=0.5, least=0.25, tells=0.9, dear=SOME, help="The first token comes in the usual time.",
    ),
    Measure(
        name="speed", layer=Layer.MODEL, title="Speed", unit="tokens a second", of=speed, worse="down",
        tolerance=0.3, tells=0.9, dear=SOME, help="Tokens come at the usual speed.",
    ),
    Measure(
        name="length", layer=Layer.MODEL, title="Length", unit="tokens", of=length, worse="either",
        tolerance=0.3, least=10.0, dear=SOME, help="Answers are as long as usual.",
    ),
    Measure(
        name="willing", layer=Layer.MODEL, title="Willing", unit="share of answers", of=willing,
        dear=SOME, help="The answer does not begin with that it does not know, cannot or will not.",
    ),
    Measure(
        name="same_script", layer=Layer.MODEL, title="Same script", unit="share of answers", of=same_script,
        tells=0.9, dear=SOME, help="The answer is written in a script of its question or passages.",
    ),
    Measure(
        name="top_score", layer=Layer.KNOWLEDGE, title="Top score", unit="retrieval score", of=top_score,
        worse="down", tolerance=0.2, tells=1.0, dear=SOME, help="The best passage matches as well as usual.",
    ),
    Measure(
        name="passages_found", layer=Layer.KNOWLEDGE, title="Passages", unit="passages", of=passages_found,
        worse="down", tells=1.0, dear=SOME, help="As many passages are found as usual.",
    ),
    Measure(
        name="coverage", layer=Layer.KNOWLEDGE, title="Coverage", unit="share of words", of=coverage, worse="down",
        tolerance=0.1, dear=SOME, tells=0.9, help="The passages speak of what the question asks.",
    ),
    Measure(
        name="age", layer=Layer.KNOWLEDGE, title="Age", unit="days", of=age, worse="up", tolerance=0.25, least=1.0,
        tells=1.0, dear=SOME, help="The youngest passage is as young as usual.",
    ),
    Measure(
        name="plain_passages", layer=Layer.KNOWLEDGE, title="Plain passages", unit="share of requests",
        of=plain_passages, harm=True, tells=1.0, help="No passage gives orders.",
    ),
    Measure(
        name="filled", layer=Layer.PROMPT, title="Filled", unit="share of requests", of=filled,
        harm=True, tells=1.0, help="Every variable of the prompt was filled.",
    ),
    Measure(
        name="prompt_length", layer=Layer.PROMPT, title="Prompt length", unit="tokens", of=prompt_length,
        worse="either", tolerance=0.3, tells=0.6, dear=SOME, help="Prompts are as long as usual.",
    ),
    Measure(
        name="steps", layer=Layer.PROMPT, title="Steps", unit="calls", of=steps, worse="up", tolerance=0.5,
        dear=SOME, help="A request takes as many calls as usual.",
    ),
    Measure(
        name="no_repeats", layer=Layer.PROMPT, title="No repeats", unit="share of requests", of=no_repeats,
        harm=True, help="No tool is called again and again with the same input.",
    ),
    Measure(
        name="guarded", layer=Layer.SAFETY, title="Guarded", unit="share of requests", of=guarded,
        harm=True, tells=1.0, help="A guard took part.",
    ),
    Measure(
        name="guard_sound", layer=Layer.SAFETY, title="Guard sound", unit="share of requests", of=guard_sound,
        harm=True, tells=1.0, help="No scanner of the guard failed.",
    ),
    Measure(
        name="private", layer=Layer.SAFETY, title="Private", unit="share of answers", of=private, dear=SOME,
        harm=True, tells=0.9, help="The answer holds no personal data or secret but what its passages hold.",
    ),
    Measure(
        name="plain_questions", layer=Layer.SAFETY, title="Plain questions", unit="share of requests",
        of=plain_questions, dear=SOME, tells=1.0, help="The question is no open attack.",
    ),
    Measure(
        name="attacks_stopped", layer=Layer.SAFETY, title="Attacks stopped", unit="share of open attacks",
        of=attacks_stopped, dear=SOME, harm=True, tells=1.0, help="The guard stopped an open attack.",
    ),
    Measure(
        name="admitted", layer=Layer.OPERATIONS, title="Admitted", unit="share of requests", of=admitted,
        harm=True, tells=1.0, help="No limit turned the request away.",
    ),
    Measure(
        name="whole", layer=Layer.OPERATIONS, title="Whole traces", unit="share of answers", of=whole,
        harm=True, tells=1.0, help="The trace holds every call that the request made.",
    ),
    Measure(
        name="cost", layer=Layer.OPERATIONS, title="Cost", unit="US dollars", of=cost, worse="up", tolerance=0.2,
        harm=True, help="A request costs what it usually does.",
    ),
    Measure(
        name="cached_share", layer=Layer.OPERATIONS, title="Cached share", unit="share of tokens", of=cached_share,
        worse="down", tolerance=0.3, dear=SOME, help="The vendor's cache holds as much of the prompt as usual.",
    ),
    Measure(
        name="priced", layer=Layer.OPERATIONS, title="Priced", unit="share of answers", of=priced,
        harm=True, tells=0.8, help="The price of the answer is known.",
    ),
    *CALLS,
    *TEXTS_AND_PASSAGES,
    *SEARCHES,
)  # fmt: skip
