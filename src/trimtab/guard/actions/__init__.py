"""Screening of tool calls before they run: who may call what, where each argument came from, and what was agreed."""

from .calls import History, Result, Tool, ToolCall, arguments_of, call_of, history_of, tools_of
from .provenance import Origin, origin_of
from .rules import DEFAULT_RULES, ActionRules, ArgumentRule, ToolRule, read_rules
from .screen import screen
from .thoughts import quoted_orders, without_dictation
from .wording import effect_of

__all__ = [
    "DEFAULT_RULES",
    "ActionRules",
    "ArgumentRule",
    "History",
    "Origin",
    "Result",
    "Tool",
    "ToolCall",
    "ToolRule",
    "arguments_of",
    "call_of",
    "effect_of",
    "history_of",
    "origin_of",
    "quoted_orders",
    "read_rules",
    "screen",
    "tools_of",
    "without_dictation",
]
