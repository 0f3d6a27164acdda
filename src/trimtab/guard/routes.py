"""``POST /api/guard/scan``: ask a policy about a text without calling a model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from trimtab.core import BadInput, Later, body_as, only, text_in

from .action_scan import KEYS, judged
from .catalogue import SCANNERS
from .default import DEFAULT_ADDRESS
from .policy import compile_policy
from .provenance import SOURCES
from .scanner import STAGES, WHOLE
from .text import Context, Turn
from .verdicts import ACTIONS, Verdict

if TYPE_CHECKING:
    from starlette import responses, routing
    from starlette.requests import Request
else:
    responses, routing = Later("starlette.responses"), Later("starlette.routing")

#: Finds the content of the policy at an address. Raises NotFound.
ResolvePolicy = Callable[[str], Mapping[str, Any]]

_KEYS = ("policy", "stage", "messages", "text", "source", "tool_call", "context")
_CONTEXT_KEYS = ("system", "passages", "canaries", "asked", "turns", "tier", *KEYS)
_TIERS = ("low", "medium", "high")


class Item(NamedTuple):
    """One text to scan, and what its scanners may know."""

    text: str
    context: Context


def routes(resolve_policy: ResolvePolicy) -> list[routing.Route]:
    """The room's HTTP routes."""

    async def scan(request: Request) -> responses.Response:
        body = read_body(await request.body())
        policy = compile_policy(resolve_policy(body.get("policy") or DEFAULT_ADDRESS))
        items = items_in(body)
        stage, tier = body.get("stage", "input"), (body.get("context") or {}).get("tier", policy.risk.default)
        began = time.perf_counter()
        verdicts = [await policy.examine(stage, item.text, context=item.context, tier=tier) for item in items]
        shown = [policy.shown(each, item.context) for each, item in zip(verdicts, items, strict=True)]
        call = await asyncio.to_thread(judged, policy, body)
        verdicts += [call] if call is not None else []
        taken = (time.perf_counter() - began) * 1000
        marked = [one != each.text for one, each in zip(shown, verdicts, strict=False)]
        told = {**report(verdicts, taken), **({"shown": shown} if any(marked) else {})}
        # A hostile text has thousands of findings: msgspec writes them in a tenth of the time.
        return responses.Response(msgspec.json.encode(told), media_type="application/json")

    async def scanners(request: Request) -> responses.JSONResponse:
        return responses.JSONResponse({"scanners": cards()})

    return [
        routing.Route("/api/guard/scan", scan, methods=["POST"]),
        routing.Route("/api/guard/scanners", scanners, methods=["GET"]),
    ]


def cards() -> list[dict[str, Any]]:
    """What each scanner is, for people and for programs that write policies."""
    return [
        {
            "name": scanner.name,
            "stages": list(scanner.stages),
            "description": scanner.description,
            "threshold": scanner.threshold,
            "streams": scanner.longest != WHOLE,
            "cost": scanner.cost,
            "sources": list(scanner.sources),
            "options": dict(scanner.options or {}),
        }
        for scanner in SCANNERS.values()
    ]


def read_body(raw: bytes) -> Mapping[str, Any]:
    """The request's body, its fields checked. Raises BadInput."""
    body = only(body_as(raw, dict, mend='Send {"text": "..."}.'), _KEYS)
    if not isinstance(body.get("policy", ""), str | None):
        raise BadInput("must be text", field="policy", mend="Write for example guards:/default@production.")
    _one_of(body, "stage", STAGES)
    _one_of(body, "source", SOURCES)
    return body


def items_in(body: Mapping[str, Any]) -> list[Item]:
    """The texts to scan: the text itself, or each message's text, or the tool call. Raises BadInput."""
    given = [key for key in ("text", "messages", "tool_call") if body.get(key) is not None]
    if len(given) != 1:
        raise BadInput(
            "exactly one of text, messages and tool_call is needed",
            field=", ".join(given) or "text",
            mend="Give one of them.",
        )
    value = body[given[0]]
    context = context_of(body)
    if given[0] == "text":
        if not isinstance(value, str):
            raise BadInput("must be text", field="text", mend="Send a string.")
        return [Item(value, context)]
    if given[0] == "tool_call":
        if not isinstance(value, dict):
            raise BadInput("must be an object", field="tool_call", mend="Send the tool call as the model made it.")
        return [Item(json.dumps(value, ensure_ascii=False), context)]
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise BadInput("must be a list of messages", field="messages", mend='Send [{"role", "content"}].')
    texts = [text_in(message.get("content")) for message in value]
    turns = [Turn(str(message.get("role", "user")), text) for message, text in zip(value, texts, strict=True)]
    last = len(texts) - 1
    return [
        Item(text, replace(context, turns=(*context.turns, *turns[:n]), newest=n == last))
        for n, text in enumerate(texts)
    ]


def context_of(body: Mapping[str, Any]) -> Context:
    """What the scanners may know beside the text. Raises BadInput."""
    given = body.get("context")
    context = {} if given is None else given
    if not isinstance(context, dict):
        raise BadInput("must be an object", field="context", mend=f"Its fields are {', '.join(_CONTEXT_KEYS)}.")
    for key in context:
        if key not in _CONTEXT_KEYS:
            raise BadInput(
                "is not a known field", field=f"context.{key}", mend=f"The fields are {', '.join(_CONTEXT_KEYS)}."
            )
    for key in ("system", "asked"):
        if not isinstance(context.get(key, ""), str):
            raise BadInput("must be text", field=f"context.{key}", mend="Send a string.")
    for key in ("passages", "canaries"):
        if not isinstance(context.get(key, []), list) or not all(
            isinstance(each, str) for each in context.get(key, [])
        ):
            raise BadInput("must be a list of texts", field=f"context.{key}", mend="Send [text, ...].")
    turns = context.get("turns", [])
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise BadInput("must be a list of messages", field="context.turns", mend='Send [{"role", "content"}].')
    if context.get("tier", "low") not in _TIERS:
        raise BadInput("is not known", field="context.tier", mend=f"Use one of {', '.join(_TIERS)}.")
    return Context(
        source=body.get("source", "assistant" if body.get("stage") == "output" else "user"),
        turns=tuple(Turn(str(turn.get("role", "user")), text_in(turn.get("content"))) for turn in turns),
        system=context.get("system", ""),
        passages=tuple(context.get("passages", ())),
        canaries=tuple(context.get("canaries", ())),
        asked=context.get("asked", ""),
    )


def report(verdicts: Sequence[Verdict], taken_ms: float) -> dict[str, Any]:
    """The reply: the hardest verdict, every finding with the position of its message, and the redacted texts."""
    findings = [
        {
            "message": position,
            "rule": finding.rule,
            "scanner": finding.scanner or "patterns",
            "kind": finding.kind or finding.rule,
            "action": finding.action,
            "reason": finding.reason,
            "start": finding.start,
            "end": finding.end,
            "score": round(finding.score, 4),
            "decoded": list(finding.how),
            "note": finding.note,
            **({"mark": finding.mark} if finding.mark else {}),
        }
        for position, verdict in enumerate(verdicts)
        for finding in verdict.findings
    ]
    failures = [
        {"message": position, **asdict(failure)}
        for position, verdict in enumerate(verdicts)
        for failure in verdict.failures
    ]
    verdict = max((each.action for each in verdicts), key=ACTIONS.index, default="allow")
    texts = [each.text for each in verdicts] if verdict in ("redact", "escalate") else []
    return {
        "verdict": verdict,
        "findings": findings,
        "failures": failures,
        "message": next((each.message for each in verdicts if each.message), ""),
        "redacted": texts,
        "ms": round(taken_ms, 3),
    }


def _one_of(body: Mapping[str, Any], key: str, known: tuple[str, ...]) -> None:
    if body.get(key, known[0]) not in known:
        raise BadInput(f"{body[key]!r} is not known", field=key, mend=f"Use one of {', '.join(known)}.")
