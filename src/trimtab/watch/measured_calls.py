"""What is measured of a request's calls, beside what ``measures`` has: of models, tools and the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput, Layer, Span
from trimtab.gateway import GONE
from trimtab.prompts import broken_rule, check_schema

from .measure import MOST_SPANS, SOME, Measure
from .traffic import Traffic

_NS = 10**9
#: The signal's name.
BUDGET_LEFT = "budget_left"
#: A call of fewer input tokens says little of how a model counts them.
_LEAST_TOKENS = 50
#: Characters of arguments and of a schema that are compared.
_MOST_TEXT = 20_000
#: Roles of messages that a conversation brings; the others are the prompt's.
_SPOKEN = frozenset({"user", "assistant", "tool", "function"})
_ROLE = '"role":'
#: The part of what even spending would leave of a budget from which on less is trouble.
_OF_EVEN = 0.25


def first_try(seen: Traffic) -> float | None:
    """0 when the answer took another call because one failed: an error, a timeout, a limit of the vendor."""
    calls = [span for span in seen.spans[:MOST_SPANS] if span.kind == "llm" and "hedge" not in span.attributes]
    return float(all(span.status != "error" for span in calls)) if seen.ok and calls else None


def token_size(seen: Traffic) -> float | None:
    """Characters of the call for each token that the vendor counted: another tokenizer counts others."""
    call = _answering(seen.spans)
    if not seen.ok or call is None or not call.input or (call.input_tokens or 0) < _LEAST_TOKENS:
        return None
    return len(call.input) / (call.input_tokens or 1)


def stayed(seen: Traffic) -> float | None:
    """0 when whoever asked hung up before the answer had ended."""
    if seen.root.status == "error":
        return 0.0 if seen.root.error == GONE else None
    return 1.0 if seen.ok else None


def known_tools(seen: Traffic) -> float | None:
    """0 when the model proposed a tool that the request does not offer."""
    offered, calls = _offered(seen.root), calls_of(seen.root)
    if not offered or not calls:
        return None
    return float(all(_named(call) in offered for call in calls))


def tool_arguments(seen: Traffic) -> float | None:
    """0 when the model proposed a call whose arguments are no JSON object, or none that the tool's schema allows."""
    calls = calls_of(seen.root)
    if not calls:
        return None
    offered = _offered(seen.root)
    return float(all(_fits(call, offered.get(_named(call))) for call in calls))


def prompt_parts(seen: Traffic) -> float | None:
    """Messages that the model was given beside the conversation: its instructions and examples."""
    call = next((span for span in seen.spans[:MOST_SPANS] if span.kind == "llm"), None)
    # Inside of a text the quotes are escaped, so this counts messages without reading the whole call.
    given = call.input.count(_ROLE) if call is not None else 0
    if not given or call is None:
        return None
    ask = seen.root.attributes.get("ask")
    messages = ask.get("messages") if isinstance(ask, Mapping) else None
    listed = messages if isinstance(messages, list | tuple) else ()
    spoken = sum([isinstance(each, Mapping) and each.get("role") in _SPOKEN for each in listed])
    return float(max(0, given - spoken))


def overhead(seen: Traffic) -> float | None:
    """Seconds before the first call of a model that no search took: the queue, the guard, the prompt."""
    starts = [span.start_ns for span in seen.spans[:MOST_SPANS] if span.kind == "llm"]
    if not seen.ok or not starts:
        return None
    first = min(starts)
    searched = sum([s.duration_ns for s in seen.spans if s.kind in ("retriever", "embedding") and s.start_ns < first])
    return max(0.0, (first - seen.root.start_ns - searched) / _NS)


def cache_hit(seen: Traffic) -> float | None:
    """1 when Trimtab's own cache answered, of requests that it may answer."""
    found = seen.root.attributes.get("cache")
    return None if found is None or seen.root.status != "ok" else float(found != "miss")


def certainty(seen: Traffic) -> float | None:
    """The mean log-probability of the likeliest token at each place of the answer, where the vendor gives them."""
    found = seen.root.attributes.get("logprob")
    return float(found) if seen.ok and isinstance(found, int | float) else None


def budget_left(seen: Traffic) -> float | None:
    """What is left of the tightest budget, against a quarter of what even spending would have left by now; at most 1.

    A budget is spent unevenly over a day, so its level alone says little of the day's evening; far behind an even pace
    it will not last.
    """
    found = seen.root.attributes.get("budget")
    if not isinstance(found, Mapping):
        return None
    left, time = found.get("left"), found.get("time")
    if not isinstance(left, int | float) or not isinstance(time, int | float):
        return None
    even = _OF_EVEN * time
    return 1.0 if left >= even else max(0.0, left / even)


def calls_of(root: Span) -> Sequence[Any]:
    """The calls of tools that the model proposed."""
    calls = root.attributes.get("tool_calls")
    return calls[:MOST_SPANS] if isinstance(calls, list | tuple) else ()


def _answering(spans: Sequence[Span]) -> Span | None:
    """The last call of a model."""
    return next((span for span in reversed(spans[:MOST_SPANS]) if span.kind == "llm"), None)


def _offered(root: Span) -> dict[str, Any]:
    """The tools that a request offers, by name, with the schema of their arguments."""
    ask = root.attributes.get("ask")
    params = ask.get("params") if isinstance(ask, Mapping) else None
    tools = params.get("tools") if isinstance(params, Mapping) else None
    found = {}
    for tool in tools[:MOST_SPANS] if isinstance(tools, list | tuple) else ():
        inner = _function(tool)
        if isinstance(name := inner.get("name"), str):
            found[name] = inner.get("parameters", inner.get("input_schema"))
    return found


def _function(one: Any) -> Mapping[str, Any]:
    """What a tool or a call says of its function, nested or not; nothing where it cannot be read."""
    inner = one.get("function", one) if isinstance(one, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _named(call: Any) -> str:
    return str(_function(call).get("name", ""))


def _fits(call: Any, schema: Any) -> bool:
    """Whether the arguments are a JSON object; and one that the schema allows, where there is one that can be read."""
    arguments = _function(call).get("arguments")
    if not isinstance(arguments, Mapping):
        try:
            arguments = json.loads(arguments or "{}")
        except (TypeError, ValueError, RecursionError):
            return False
    if not isinstance(arguments, dict):
        return isinstance(arguments, Mapping)
    if not isinstance(schema, Mapping) or not schema or len(str(schema)) + len(str(arguments)) > _MOST_TEXT:
        return True
    try:
        check_schema(schema, "tools")
    except BadInput:
        return True  # nobody can say what it allows
    return not broken_rule(schema, arguments)


CALLS = (
    Measure(
        name="first_try", layer=Layer.MODEL, title="First try", unit="share of answers", of=first_try, dear=SOME,
        tells=0.8, help="No call of a model failed before the answer came.",
    ),
    Measure(
        name="token_size", layer=Layer.MODEL, title="Token size", unit="characters a token", of=token_size,
        worse="either", tolerance=0.15, dear=SOME, tells=0.6, help="The vendor counts tokens as usual.",
    ),
    Measure(
        name="tool_arguments", layer=Layer.PROMPT, title="Tool arguments", unit="share of answers", of=tool_arguments,
        harm=True, tells=0.5, help="Tools are called with JSON objects that their schema allows.",
    ),
    Measure(
        name="known_tools", layer=Layer.PROMPT, title="Known tools", unit="share of answers", of=known_tools,
        harm=True, dear=SOME, tells=0.5, help="The model calls no tool that it was not offered.",
    ),
    Measure(
        name="prompt_parts", layer=Layer.PROMPT, title="Prompt parts", unit="messages", of=prompt_parts, worse="down",
        dear=SOME, tells=0.9, help="The model gets as many instructions and examples as usual.",
    ),
    Measure(
        name="overhead", layer=Layer.OPERATIONS, title="Overhead", unit="seconds", of=overhead, worse="up",
        tolerance=0.5, least=0.05, dear=SOME, tells=0.6, help="Queue and guard take no longer than usual.",
    ),
    Measure(
        name="cache_hit", layer=Layer.OPERATIONS, title="Cache hits", unit="share of requests", of=cache_hit,
        dear=SOME, tells=0.8, help="Trimtab's cache answers as often as usual.",
    ),
    Measure(
        name="stayed", layer=None, title="Stayed", unit="share of requests", of=stayed, harm=True, dear=SOME,
        help="Whoever asked waited for the whole answer.",
    ),
    Measure(
        name="certainty", layer=Layer.MODEL, title="Certainty", unit="log-probability", of=certainty, worse="down",
        tolerance=0.3, least=0.05, dear=SOME, rare=True, tells=0.9,
        help="The model is as sure of the tokens of its answer as usual.",
    ),
    Measure(
        name=BUDGET_LEFT, layer=Layer.OPERATIONS, title="Budget left", unit="part of an even pace", of=budget_left,
        harm=True, dear=SOME, rare=True, tells=1.0, help="No budget runs out long before its day or month does.",
    ),
)  # fmt: skip
