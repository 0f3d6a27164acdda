"""A tool call over HTTP: ``POST /api/guard/scan`` with ``stage`` action, a ``tool_call`` and what came before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import BadInput

from .actions import DEFAULT_RULES, History, call_of, history_of, screen, tools_of
from .policy import Policy
from .verdicts import Verdict

#: What ``context`` may hold for a tool call, beside what the text scanners use.
KEYS = ("messages", "tools", "plan", "route", "user", "documents", "pins")


def judged(policy: Policy, body: Mapping[str, Any]) -> Verdict | None:
    """The verdict on the call by the policy's rules for tools, or by the defaults where it has none.

    None where no call is judged: another stage, or neither rules nor anything that came before. Raises BadInput.
    """
    if body.get("stage") != "action" or body.get("tool_call") is None:
        return None
    context = body.get("context") or {}
    if policy.actions is None and context.get("messages") is None:
        return None
    call, history = call_of(body["tool_call"]), history_in(context)
    if policy.actions is not None:
        return policy.judge_call(call, history)
    return screen(call, history, DEFAULT_RULES)


def history_in(context: Mapping[str, Any]) -> History:
    """What came before a call, as a client sends it. Raises BadInput."""
    messages, tools = _list(context, "messages", dict), _list(context, "tools", dict)
    plan, pins = context.get("plan"), context.get("pins") or {}
    if not isinstance(pins, dict) or not all(isinstance(each, str) for each in pins.values()):
        raise BadInput("must be {tool: digest}", field="context.pins")
    for key in ("route", "user"):
        if not isinstance(context.get(key, ""), str):
            raise BadInput("must be text", field=f"context.{key}")
    return history_of(
        messages,
        tools=tools_of(tools),
        plan=None if plan is None else tuple(_list(context, "plan", str)),
        route=context.get("route", ""),
        user=context.get("user", ""),
        documents=tuple(_list(context, "documents", str)),
        pins=pins,
    )


def _list(context: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    value = context.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, kind) for each in value):
        word = "texts" if kind is str else "objects"
        raise BadInput(f"must be a list of {word}", field=f"context.{key}", mend="Send [...].")
    return value
