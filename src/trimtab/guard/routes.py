"""``POST /api/guard/scan``: ask a policy about a text without calling a model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from trimtab.core import BadInput

from .policy import STAGES, Verdict, compile_policy, hardest

#: Finds the content of the policy at an address. Raises NotFound.
ResolvePolicy = Callable[[str], Mapping[str, Any]]
#: Where the policy is when the request names none.
DEFAULT_ADDRESS = "guards:/default@production"

SOURCES = ("user", "document", "tool")
_KEYS = ("policy", "stage", "messages", "text", "source", "tool_call", "context")


def routes(resolve_policy: ResolvePolicy) -> list[Route]:
    """The room's HTTP routes."""

    async def scan(request: Request) -> JSONResponse:
        body = read_body(await request.body())
        policy = compile_policy(resolve_policy(body.get("policy") or DEFAULT_ADDRESS))
        began = time.perf_counter()
        verdicts = [policy.scan(body.get("stage", "input"), text) for text in texts_in(body)]
        taken_ms = (time.perf_counter() - began) * 1000
        return JSONResponse(report(verdicts, taken_ms))

    return [Route("/api/guard/scan", scan, methods=["POST"])]


def read_body(raw: bytes) -> Mapping[str, Any]:
    """The request's body, its fields checked. Raises BadInput."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}", mend='Send {"text": "..."}.') from None
    if not isinstance(body, dict):
        raise BadInput("the body is not an object", mend='Send {"text": "..."}.')
    for key in body:
        if key not in _KEYS:
            raise BadInput("is not a known field", field=key, mend=f"The fields are {', '.join(_KEYS)}.")
    if not isinstance(body.get("policy", ""), str | None):
        raise BadInput("must be text", field="policy", mend="Write for example guards:/default@production.")
    _one_of(body, "stage", STAGES)
    _one_of(body, "source", SOURCES)
    return body


def texts_in(body: Mapping[str, Any]) -> list[str]:
    """The texts to scan: the text itself, or each message's text, or the tool call. Raises BadInput."""
    given = [key for key in ("text", "messages", "tool_call") if body.get(key) is not None]
    if len(given) != 1:
        raise BadInput(
            "exactly one of text, messages and tool_call is needed",
            field=", ".join(given) or "text",
            mend="Give one of them.",
        )
    value = body[given[0]]
    if given[0] == "text":
        if not isinstance(value, str):
            raise BadInput("must be text", field="text", mend="Send a string.")
        return [value]
    if given[0] == "tool_call":
        if not isinstance(value, dict):
            raise BadInput("must be an object", field="tool_call", mend="Send the tool call as the model made it.")
        return [json.dumps(value, ensure_ascii=False)]
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise BadInput("must be a list of messages", field="messages", mend='Send [{"role", "content"}].')
    return [_text_of(message) for message in value]


def report(verdicts: list[Verdict], taken_ms: float) -> dict[str, Any]:
    """The reply: the hardest verdict, every finding with the position of its message, and the redacted texts."""
    findings = [
        {
            "message": position,
            "rule": finding.rule,
            "action": finding.action,
            "reason": finding.reason,
            "start": finding.start,
            "end": finding.end,
        }
        for position, verdict in enumerate(verdicts)
        for finding in verdict.findings
    ]
    verdict = hardest([finding for each in verdicts for finding in each.findings])
    texts = [each.text for each in verdicts] if verdict == "redact" else []
    return {
        "verdict": verdict,
        "findings": findings,
        "message": next((each.message for each in verdicts if each.message), ""),
        "redacted": texts,
        "ms": round(taken_ms, 3),
    }


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _one_of(body: Mapping[str, Any], key: str, known: tuple[str, ...]) -> None:
    if body.get(key, known[0]) not in known:
        raise BadInput(f"{body[key]!r} is not known", field=key, mend=f"Use one of {', '.join(known)}.")
