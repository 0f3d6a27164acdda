"""Dual-LLM: one model plans without reading, one reads without acting, and a controller that is no model decides.

    import trimtab

    outcome = trimtab.dual.run("Pay the bill in bill.txt", tools=tools, planner=ask_big, reader=ask_small)

``docs/dual-llm.md`` tells the plan and the capabilities, ``docs/actions.md`` the rules.
"""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.guard.actions import DEFAULT_RULES, ActionRules, ToolCall, read_rules

from .controller import Approve, Controller, Outcome, Reader, Refused, Step, Tool
from .models import Ask, Unreadable, make_plan, reader_of
from .plan import Plan, read_plan
from .values import Value

__all__ = [
    "ActionRules",
    "Approve",
    "Ask",
    "Controller",
    "Outcome",
    "Plan",
    "Reader",
    "Refused",
    "Step",
    "Tool",
    "ToolCall",
    "Unreadable",
    "Value",
    "make_plan",
    "read_plan",
    "read_rules",
    "reader_of",
    "run",
]


def run(
    request: str,
    *,
    tools: Mapping[str, Tool],
    planner: Ask,
    reader: Ask,
    rules: ActionRules = DEFAULT_RULES,
    approve: Approve | None = None,
) -> Outcome:
    """Serve one request: the planner plans, the controller runs the plan, the reader reads what tools return.

    Raises Unreadable where a model does not answer as it must.
    """
    plan = make_plan(planner, request, tools)
    return Controller(tools=tools, reader=reader_of(reader), rules=rules, approve=approve).run(plan, request)
