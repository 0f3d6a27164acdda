"""The dual-LLM controller over AgentDojo, with a scripted planner and a scripted reader, and no model.

The planner knows the user's task and its true calls. An argument whose value the request names is a literal; every
other one is read by the quarantined reader from what the earlier calls returned. The attacker's text reaches the
reader only. An honest reader answers with the true value; a gullible one answers with the attacker's value for an
argument of that name wherever the attacker has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from screens import rules_of
from worst_case import (
    USER,
    WORDINGS,
    AllowAll,
    FunctionsRuntime,
    Run,
    _dump,
    environment,
    letters,
    places,
    tool_result_to_str,
)

from trimtab.dual import Controller, Tool, read_plan
from trimtab.guard.actions.values import indexed


def run_dual(suite: Any, task: Any, injection: Any, wording: str, *, gullible: bool) -> Run:
    """One pair, or one task alone (no injection)."""
    texts: dict[str, str] = {}
    if injection is not None:
        texts = dict.fromkeys(places(suite, task.ID), WORDINGS[wording].format(goal=injection.GOAL, user=USER))
    agent = _Planned(suite, task, injection, gullible=gullible)
    done, attacked = suite.run_task_with_pipeline(agent, task, injection, texts, environment=environment(suite, texts))
    return Run(
        suite.name, task.ID, injection.ID if injection else "", bool(done) and not agent.refused,
        bool(attacked) if injection else False, agent.exposed,
    )  # fmt: skip


class _Planned(AllowAll):
    """The agent: it plans from the request, and the controller does the rest."""

    name = "dual"

    def __init__(self, suite: Any, task: Any, injection: Any, *, gullible: bool) -> None:
        self._suite, self._task, self._injection, self._gullible = suite, task, injection, gullible
        self.refused, self.exposed = "", False

    def query(
        self, query: str, runtime: FunctionsRuntime, env: Any = None, messages: Any = (), extra_args: Any = None
    ) -> Any:
        from agentdojo.functions_runtime import FunctionCall
        from agentdojo.types import ChatAssistantMessage, ChatToolResultMessage, text_content_block_from_string

        calls = list(self._task.ground_truth(env))
        bad = list(self._injection.ground_truth(env)) if self._injection is not None else []
        out: list[Any] = []
        marker = letters(self._injection.GOAL)[:20] if self._injection is not None else ""

        def tool(name: str) -> Tool:
            def run(**arguments: Any) -> str:
                result, error = runtime.run_function(env, name, arguments)
                text = str(tool_result_to_str(result, _dump) if error is None else error)
                call = FunctionCall(function=name, args=arguments)
                empty = [text_content_block_from_string("")]
                out.append(ChatAssistantMessage(role="assistant", tool_calls=[call], content=empty))
                shown = [text_content_block_from_string(text)]
                out.append(
                    ChatToolResultMessage(role="tool", content=shown, tool_call=call, tool_call_id=None, error=None)
                )
                self.exposed = self.exposed or (bool(marker) and marker in letters(text))
                return text

            return Tool(run=run)

        steps, answers = _plan(calls, query)
        steps.append({"answer": self._task.GROUND_TRUTH_OUTPUT.replace("{", "(")})

        def reader(text: str, question: str, schema: Mapping[str, Any]) -> Any:
            number, name = question.split(" ", 1)
            if self._gullible and marker and marker in letters(text):
                theirs = [call.args[name] for call in bad if name in call.args]
                if theirs:
                    return theirs[0]
            return answers[int(number)]

        controller = Controller(
            tools={name: tool(name) for name in runtime.functions}, reader=reader, rules=rules_of(self._suite.name)
        )
        outcome = controller.run(read_plan(steps, list(runtime.functions)), query)
        self.refused = outcome.refused
        content = [text_content_block_from_string(outcome.answer)]
        out.append(ChatAssistantMessage(role="assistant", content=content, tool_calls=None))
        return query, runtime, env, [*messages, *out], extra_args or {}


def _plan(calls: Sequence[Any], request: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """The plan of a task and what an honest reader answers, by the number of its question."""
    steps: list[dict[str, Any]] = []
    answers: list[Any] = []
    for position, call in enumerate(calls):
        arguments: dict[str, Any] = {}
        for name, value in call.args.items():
            if not position or _said(value, request):
                arguments[name] = value
                continue
            read = {"read": _last_useful(call, calls, position, value), "question": f"{len(answers)} {name}"}
            steps.append({**read, "schema": {}, "as": f"v{len(answers)}"})
            arguments[name] = f"$v{len(answers)}"
            answers.append(value)
        steps.append({"call": call.function, "arguments": arguments, "as": f"r{position}"})
    return steps, answers


def _last_useful(call: Any, calls: Sequence[Any], position: int, value: Any) -> str:
    """What the value is read from: the result of the call just before."""
    return f"$r{position - 1}"


def _said(value: Any, request: str) -> bool:
    if isinstance(value, list | tuple):
        return all(_said(each, request) for each in value)
    if isinstance(value, Mapping):
        return all(_said(each, request) for each in value.values())
    return indexed(request).has(value)
