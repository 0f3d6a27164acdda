"""Trimtab's action screening as the worst agent meets it: with a policy of its suite, the defaults, or a plan."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from trimtab.guard import DEFAULT_POLICY, compile_policy
from trimtab.guard.actions import (
    DEFAULT_RULES,
    ActionRules,
    History,
    Result,
    ToolCall,
    screen,
    tools_of,
    without_dictation,
)

POLICIES = Path(__file__).parent / "policies"
SHIPPED = "shipped"


@cache
def rules_of(suite: str) -> ActionRules:
    """The rules of the suite's policy, or of the one that Trimtab ships."""
    if suite == SHIPPED:
        return compile_policy(DEFAULT_POLICY).actions or DEFAULT_RULES
    content = YAML(typ="safe").load((POLICIES / f"{suite}.yaml").read_text())
    return compile_policy(content).actions or DEFAULT_RULES


class Trimtab:
    """``kind`` is ``policy`` (the suite's own), ``shipped`` (what Trimtab ships), ``default`` (the rules of an empty
    stage) or ``plan``: these rules, and the tools of the task are agreed beforehand, by name and number and without
    arguments. ``times`` collects seconds of processor time, one a decision."""

    def __init__(self, *, kind: str, times: list[float]) -> None:
        self._kind, self._times = kind, times

    def start(self, suite: str, prompt: str, tools: Sequence[Mapping[str, Any]], plan: Sequence[str]) -> None:
        names = {"policy": suite, "shipped": SHIPPED}
        self._rules = rules_of(names[self._kind]) if self._kind in names else DEFAULT_RULES
        self._prompt = prompt
        self._tools = tools_of(tools)
        self._plan = tuple(plan) if self._kind == "plan" else None

    def may(self, tool: str, arguments: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> bool:
        past = History(
            said=(self._prompt,),
            results=tuple(Result(tool=step["tool"], text=step["result"]) for step in history),
            made=tuple(ToolCall(tool=step["tool"], arguments=step["arguments"]) for step in history),
            tools=self._tools,
            plan=self._plan,
        )
        began = time.thread_time()
        verdict = screen(ToolCall(tool=tool, arguments=arguments), past, self._rules)
        self._times.append(time.thread_time() - began)
        return verdict.action in ("allow", "flag")

    def answer(self, text: str, history: Sequence[Mapping[str, Any]]) -> str:
        return without_dictation(text, [step["result"] for step in history], (self._prompt,))
