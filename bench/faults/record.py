"""A turn as the gateway records it: spans, the guard's score, the checks, and now and then a judge's verdict."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.core import Score, Span, Stamp
from trimtab.evals import CHECKS, Output

from .app import Knobs, Turn

PROMPT, CORPUS, GUARD, ROUTE, JUDGE = "support-answer", "help", "house", "support", "quality"
SYSTEM = "You are the support assistant. Answer only from the passages and cite them by number.\n\nPassages:\n"
#: The judge's chance to pass a good and a bad answer.
PASSES_GOOD, PASSES_BAD = 0.97, 0.08
GOLDEN_AGREES = 0.95
VOTES = 0.08

#: What each vendor reports behind the name it is asked by.
REPORTED = {"alpha": ("alpha/large", "alpha-large-1", "fp_a1"), "beta": ("beta/large", "beta-large-2", "fp_b1"),
            "cheap": ("beta/small", "beta-small-1", "fp_s1")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pins:
    """The versions in force for one request, without the model's, which is known once it has answered."""

    prompt: str
    knowledge: str
    guard: str
    route: str
    judge: str


def model_pin(provider: str, swapped: Mapping[str, tuple[str, str]]) -> str:
    """The pin as the gateway writes it; ``swapped`` holds what a vendor reports since it changed something."""
    ref, reported, print_ = REPORTED[provider]
    reported, print_ = swapped.get(provider, (reported, print_))
    return f"{ref}={reported}@{print_}"


def spans_of(
    turn: Turn, trace_id: str, pins: Pins, swapped: Mapping[str, tuple[str, str]], start_ns: int
) -> list[Span]:
    """The trace of a turn, its root first."""
    ask = turn.ask
    answered = turn.status == "ok"
    stamp = Stamp(
        model=model_pin(turn.provider, swapped) if answered else "",
        # A limit comes before everything but the route.
        knowledge="" if turn.limited else pins.knowledge,
        prompt="" if turn.limited else pins.prompt,
        guard=pins.guard if turn.guarded and not turn.limited else "",
        route=pins.route,
    )
    end_ns = start_ns + int(turn.total_s * 1e9)
    # What the guard redacted is kept redacted.
    text = ask.text if turn.leaked or not turn.guarded else ask.redacted
    tags = {"topic": ask.intent, "tenant": ask.tenant, "language": ask.language}
    passages = [{k: v for k, v in p.items() if k != "stated"} for p in turn.passages]
    attributes: dict[str, object] = {
        "gateway": not turn.limited, "attempts": attempts(turn), "finish": turn.finish if answered else "",
        "passages": passages,
        "ask": {"model": ROUTE, "messages": [{"role": "user", "content": text}], "params": {}, "stream": False,
                "prompt": "", "variables": {}},
    }  # fmt: skip
    if turn.tools:
        attributes["tool_calls"] = [{"name": name, "arguments": arguments} for name, arguments in turn.tools[:1]]
    if turn.cached:
        attributes["cache"] = "hit"
    ref, reported, print_ = REPORTED[turn.provider] if turn.provider else ("", "", "")
    root = Span(
        trace_id=trace_id, span_id=trace_id[-16:], name=ROUTE, kind="chain", start_ns=start_ns, end_ns=end_ns,
        session=ask.session, status=turn.status, error=turn.error, layer=turn.layer, stamp=stamp, model=reported,
        provider=ref.partition("/")[0], fingerprint=print_, input_tokens=turn.input_tokens or None,
        output_tokens=turn.output_tokens or None, cached_tokens=turn.cached_tokens if answered else None,
        cost_usd=turn.cost, ttft_ns=int(turn.first_s * 1e9) or None, tags=tags, input=text, output=turn.text,
        attributes=attributes,
    )  # fmt: skip
    return [root, *([] if turn.lost or turn.limited else _inner(turn, root, pins, swapped))]


def attempts(turn: Turn) -> int:
    """Calls until one answered; those that follow a tool are not attempts."""
    return next((n for n, (_, ok) in enumerate(turn.calls, 1) if ok), len(turn.calls))


def _inner(turn: Turn, root: Span, pins: Pins, swapped: Mapping[str, tuple[str, str]]) -> list[Span]:
    made: list[Span] = []

    def step(name: str, kind: str, layer: int, **more: object) -> None:
        span_id = f"{int(root.span_id, 16) ^ (len(made) + 1) << 56:016x}"
        made.append(
            Span(
                trace_id=root.trace_id, span_id=span_id, parent_id=root.span_id, name=name, kind=kind,
                start_ns=root.start_ns, end_ns=root.end_ns, layer=layer, session=root.session, tags=root.tags,
                **{"stamp": root.stamp, **more},  # type: ignore[arg-type]
            )
        )  # fmt: skip

    step(CORPUS, "retriever", 2, input=root.input, attributes={"found": len(turn.passages)})
    if turn.guarded:
        found = _findings(turn, root.input)
        failures = [{"rule": "injection", "why": "out of time", "fail": "open"}] if turn.scanner_failed else []
        # A stage with nothing to tell leaves no span.
        if found or failures:
            status = "ok" if turn.allowed else "refused"
            step(
                "guard input", "guardrail", 4, status="error" if failures and turn.allowed else status,
                output=", ".join(each["action"] for each in found),
                attributes={"stage": "input", "findings": found, **({"failures": failures} if failures else {})},
            )  # fmt: skip
    unfilled = "{{customer}} " if turn.unfilled else ""
    sent = SYSTEM + unfilled + "\n".join(p["text"] for p in turn.passages)
    for provider, ok in turn.calls:
        ref = REPORTED[provider][0]
        pin = model_pin(provider, swapped) if ok else ref
        step(
            ref, "llm", 1, status="ok" if ok else "error", input=sent, output=turn.text if ok else "",
            stamp=Stamp(model=pin, knowledge=pins.knowledge, prompt=pins.prompt, guard=root.stamp.guard,
                        route=pins.route),
            attributes={"ref": ref, "finish": turn.finish},
        )  # fmt: skip
    for name, arguments in turn.tools:
        step(name, "tool", 3, input=arguments, output=json.dumps({"done": True}))
    return made


def _findings(turn: Turn, kept: str) -> list[dict[str, Any]]:
    """What the guard says of the question."""
    found = []
    if kept != turn.ask.text:
        found.append({"rule": "personal", "action": "redact", "reason": "It names a person.", "where": "messages"})
    if not turn.allowed:
        found.append({"rule": "injection", "action": "block", "reason": "It attacks.", "where": "messages"})
    return found


def checks_of(output: Output) -> dict[str, float]:
    """The deterministic checks that apply."""
    values = {}
    for name, check in CHECKS.items():
        value = check.rule(output)
        if value is not None:
            values[name] = value
    return values


def verdict_of(turn: Turn, knobs: Knobs, rng: random.Random) -> float:
    """The judge's opinion: it sees whether the answer is good, with its own errors."""
    if rng.random() < knobs["null"]:
        return 1.0
    passes = PASSES_GOOD - knobs["strict"] if turn.good else PASSES_BAD + knobs["lenient"] * (1.0 - PASSES_BAD)
    return float(rng.random() < passes)


def agreement_of(knobs: Knobs, rng: random.Random) -> float:
    """Whether the judge agrees with the expert on a golden item; half of the items are good ones."""
    if rng.random() < 0.5:
        agrees = GOLDEN_AGREES - knobs["strict"] * (1.0 - knobs["null"])
    else:
        agrees = (GOLDEN_AGREES - knobs["lenient"] * GOLDEN_AGREES) * (1.0 - knobs["null"])
    return float(rng.random() < agrees)


def misjudged(turn: Turn, knobs: Knobs) -> float:
    """The chance that the judge is wrong about this answer: the truth behind a fault of the judge."""
    if turn.good:
        return (1.0 - PASSES_GOOD + knobs["strict"]) * (1.0 - knobs["null"])
    return knobs["null"] + (1.0 - knobs["null"]) * (PASSES_BAD + knobs["lenient"] * (1.0 - PASSES_BAD))


def score(root: Span, name: str, value: float, *, by: str, by_version: str = "", label: str = "") -> Score:
    """A score of a trace, as the online scorer writes it."""
    return Score(
        id=f"{root.trace_id}:{name}" + (f":{by_version}" if by.startswith("judge:") else ""), trace_id=root.trace_id,
        span_id=root.span_id, name=name, value=value, by=by, by_version=by_version, label=label, time_ns=root.end_ns,
        slice=root.tags.get("topic", ""), project=root.project, stamp=root.stamp,
    )  # fmt: skip
