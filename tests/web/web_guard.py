"""What the guard did in the web house: findings, a measurement, calls that wait, a dual-LLM run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trimtab.core import Score, Span, Stamp
from trimtab.guard import cases_from
from trimtab.guard.actions import ToolCall

if TYPE_CHECKING:
    from web_house import WebHouse

POLICY: dict[str, Any] = {
    "stages": {
        "input": [
            {
                "name": "codename",
                "patterns": ["(?i)project osprey"],
                "action": "block",
                "reason": "It names a product.",
            },
            {"scanner": "personal", "action": "redact", "options": {"kinds": ["iban"]}},
        ],
        "output": [{"scanner": "secrets", "action": "redact"}],
        "action": {"at_most": {"provenance": "flag"}},
    },
    "budget": {"false_positives": 0.01},
}
CASES = [
    *({"text": f"How do I return order {n}?", "label": "benign"} for n in range(99)),
    {"text": "What is Project Osprey, please?", "label": "benign"},
    {"text": "Tell me the secrets of project osprey", "label": "attack"},
    {"text": "Nothing to see", "label": "attack"},
]
PLAN = [
    {"call": "read_bill", "arguments": {"path": "bill.txt"}, "as": "bill"},
    {"read": "$bill", "question": "Which account?", "schema": {"type": "string"}, "as": "account"},
    {"if": "$account", "steps": [{"call": "send_money", "arguments": {"to": "$account", "amount": 10}, "as": "sent"}]},
    {"answer": "Paid {$account}."},
]


def finding(rule: str, action: str, **more: Any) -> dict[str, Any]:
    return {"rule": rule, "action": action, "reason": f"{rule} says so", "where": "messages[0]", "start": 0, "end": 4,
            **more}  # fmt: skip


async def did(
    house: WebHouse, asked: str, *found: dict[str, Any], stage: str = "input", pin: str = "support-guard/1"
) -> str:
    """One request with what the guard found in it."""
    house.asked += 1
    house.clock.ns += 1_000_000_000
    trace_id, stamp = f"{house.asked:032x}", Stamp(guard=pin, route="support/1")
    blocked = any(one["action"] == "block" for one in found)
    root = Span(
        trace_id=trace_id, span_id=f"{house.asked:015x}a", name="support", kind="chain", start_ns=house.clock.ns,
        end_ns=house.clock.ns + 10_000_000, status="refused" if blocked else "ok", stamp=stamp, input=asked,
    )  # fmt: skip
    rail = Span(
        trace_id=trace_id, span_id=f"{house.asked:015x}b", parent_id=root.span_id, name=f"guard {stage}", layer=4,
        kind="guardrail", start_ns=house.clock.ns, end_ns=house.clock.ns + 3_000_000, stamp=stamp,
        output=", ".join(dict.fromkeys(one["action"] for one in found)),
        attributes={"stage": stage, "findings": list(found)},
    )  # fmt: skip
    allowed = Score(
        id=f"{trace_id}:allowed", trace_id=trace_id, span_id=root.span_id, name="allowed", value=float(not blocked),
        by="guard:support-guard", by_version=pin, time_ns=house.clock.ns, stamp=stamp,
    )  # fmt: skip
    await house.spans.write([root, rail], [allowed])
    return trace_id


def dual_run(start_ns: int, trace_id: str) -> list[Span]:
    """A run whose payment is refused: the account came from the bill."""
    refused = "The call of send_money was refused: to comes from tool:read_bill."

    def span(at: int, parent: int, name: str, kind: str, status: str = "ok", **attributes: Any) -> Span:
        told = {f"dual.{key}": value if isinstance(value, str) else json.dumps(value)
                for key, value in attributes.items() if key not in ("input", "output")}  # fmt: skip
        return Span(
            trace_id=trace_id, span_id=f"{at:016x}", parent_id=f"{parent:016x}" if parent else "", name=name, kind=kind,
            start_ns=start_ns + at * 1000, end_ns=start_ns + at * 1000 + 500, status=status, attributes=told,
            input=str(attributes.get("input", "")), output=str(attributes.get("output", "")),
        )  # fmt: skip

    bill = {"sources": ["tool:read_bill", "user"], "readers": ["accounting@ours.example"]}
    return [
        span(1, 0, "dual.run", "chain", "error", plan=PLAN, refused=refused, input="Pay the bill in bill.txt"),
        span(2, 1, "read_bill", "tool", step="1", sources={"path": ["user"]}, verdict="allow", reasons=[], value=bill,
             **{"as": "bill"}),
        span(3, 1, "dual.read", "llm", step="2", sources={"text": ["tool:read_bill", "user"]}, value=bill,
             **{"as": "account"}),
        span(4, 1, "send_money", "tool", "error", step="3.1", verdict="escalate",
             sources={"to": ["tool:read_bill", "user"], "amount": ["user"]}, reasons=["to comes from tool:read_bill."]),
    ]  # fmt: skip


async def tell_guard(house: WebHouse, hostile: str) -> list[str]:
    """Things that the guard did, and the pages that show them. ``hostile`` is text that must stay text."""
    await house.registry.register("guards", "support-guard", POLICY, author="petra", note="six rules")
    await house.registry.move_label("guards", "support-guard", "production", 1, actor="petra", note="goes live")
    await house.guarding.measuring.run("guards:/support-guard/1", cases=cases_from(CASES), by="petra")
    for n in range(3):
        await did(house, f"What is project osprey {n}?", finding("codename", "block"))
    await did(
        house, "My IBAN is DE89 3704 …", finding("personal", "redact", scanner="personal", kind="iban", score=0.9)
    )
    await did(house, hostile, finding(hostile, "block", reason=hostile, scanner="injection", score=0.97, kind=hostile))
    await did(
        house, "Pay it", finding("send_money", "flag", scanner="actions", kind="provenance", score=1.0), stage="action"
    )  # fmt: skip
    queue = house.guarding.approvals
    for n, call in enumerate(
        (ToolCall(tool="send_money", arguments={"to": "DE89 3704 0044 0532 0130 00", "amount": 900, "items": [1, 2]}),
         ToolCall(tool="send_mail", arguments={"body": hostile}), ToolCall(tool="delete_file", arguments={}))
    ):  # fmt: skip
        asked = await queue.ask(
            call, conversation=f"c{n}", reasons=["to comes only from text from outside.", hostile][: n + 1],
            wait=900.0 + 60 * n, route="support", user="bot", policy="support-guard/1", trace_id=f"{house.asked:032x}",
        )  # fmt: skip
    await queue.decide(asked.id, approve=False, by="mara", note=hostile)
    dual = "d0" * 16
    await house.spans.write(dual_run(house.clock(), dual))
    return [
        "/guard", "/guard/support-guard", "/guard/support-guard?show=redact", "/guard/support-guard?show=flag",
        "/guard/default", "/guard/default?show=nothing", "/guard/approvals", "/guard/coverage", f"/traces/{dual}/flow",
        f"/traces/{dual}",
    ]  # fmt: skip
