"""Scorers of what an agent did: the tool calls it asks for, and the path that it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput
from trimtab.evals.dataset import Case
from trimtab.evals.judge_items import first_wrong, step_text, steps_of
from trimtab.evals.output import Output, read_tool_call
from trimtab.evals.scorer import Function, Given, Verdict, short_digest

MATCHES = ("exact", "in_order", "any_order", "subset")


def tool_calls(name: str, *, arguments: str = "exact", ignore: Sequence[str] = ()) -> Function:
    """How well the tool calls are those of ``expects.tool_calls``: twice the matches over all calls on both sides.

    ``arguments`` says how they are compared: ``exact``, ``subset`` (the expected ones must be there, others may), or
    ``none`` (names only). ``ignore`` names arguments that do not count. An empty list expects no call at all.
    """
    if arguments not in ("exact", "subset", "none"):
        raise BadInput(f"{arguments!r} is no way to compare.", field="arguments", mend="Use exact, subset or none.")
    left_out = frozenset(ignore)

    def same(wanted: tuple[str, Any], called: tuple[str, Any]) -> bool:
        if wanted[0] != called[0]:
            return False
        return arguments == "none" or _fits(wanted[1], called[1], left_out, subset=arguments == "subset")

    def rule(case: Case, output: Output) -> Given:
        if "tool_calls" not in case.expects:
            return None
        wanted = [read_tool_call(call) for call in _objects(case.expects["tool_calls"])]
        left = list(output.tools)
        missing = []
        for call in wanted:
            found = next((n for n, made in enumerate(left) if same(call, made)), None)
            if found is None:
                missing.append(call)
            else:
                left.pop(found)
        total = len(wanted) + len(output.tools)
        value = 1.0 if not total else 2 * (len(wanted) - len(missing)) / total
        said = [f"not called: {_shown(call)}" for call in missing] + [f"not expected: {_shown(call)}" for call in left]
        return Verdict(value, "; ".join(said))

    digest = short_digest({"kind": "tool_calls", "arguments": arguments, "ignore": sorted(left_out)})
    return Function(name, rule, digest)


def trajectory(name: str, *, match: str = "in_order") -> Function:
    """1 when the agent went the path of ``expects.trajectory``: the names of its steps, else of its tool calls.

    ``match``: ``exact`` (these and no others, in this order), ``in_order`` (others may come between), ``any_order``
    (all of them, others may be there) or ``subset`` (nothing but them). The reason names the first deviation.
    """
    if match not in MATCHES:
        raise BadInput(f"{match!r} is no way to match.", field="match", mend=f"Use one of {', '.join(MATCHES)}.")

    def rule(case: Case, output: Output) -> Given:
        wanted = case.expects.get("trajectory")
        if not isinstance(wanted, list | tuple):
            return None
        wrong = _deviation([str(step) for step in wanted], path_of(output), match)
        return Verdict(float(not wrong), wrong)

    return Function(name, rule, short_digest({"kind": "trajectory", "match": match}))


def steps(name: str) -> Function:
    """1 when the steps are those of ``expects.steps``, else 0 with the first wrong one: without a model."""

    def rule(case: Case, output: Output) -> Given:
        wanted = case.expects.get("steps")
        if not isinstance(wanted, list | tuple):
            return None
        made, expected = steps_of(output), [step_text(step) for step in wanted]
        for n, text in enumerate(expected, 1):
            if n > len(made):
                return first_wrong(n, len(made), f"it is missing: {text[:200]}")
            if " ".join(made[n - 1].split()) != " ".join(text.split()):
                return first_wrong(n, len(made), f"expected {text[:200]!r}")
        extra = len(made) > len(expected)
        return first_wrong(len(expected) + 1 if extra else 0, len(made), "nothing more was expected" if extra else "")

    return Function(name, rule, "steps-1")


def path_of(output: Output) -> list[str]:
    """The names of the steps that were recorded, else of the tool calls."""
    named = [str(step["name"]) for step in output.steps if isinstance(step, Mapping) and step.get("name")]
    return named or [name for name, _ in output.tools]


def _deviation(wanted: list[str], path: list[str], match: str) -> str:
    if match == "subset":
        foreign = next((step for step in path if step not in wanted), None)
        return "" if foreign is None else f"{foreign} was not expected"
    if match == "any_order":
        left = list(path)
        for step in wanted:
            if step not in left:
                return f"{step} is missing"
            left.remove(step)
        return ""
    if match == "exact":
        for n, (want, made) in enumerate(zip(wanted, path, strict=False), 1):
            if want != made:
                return f"step {n} is {made}, expected {want}"
        if len(wanted) == len(path):
            return ""
        return f"{wanted[len(path)]} is missing" if len(wanted) > len(path) else f"{path[len(wanted)]} was not expected"
    at = 0
    for step in wanted:
        if step not in path[at:]:
            return f"{step} is missing" if step not in path else f"{step} does not come in its place"
        at = path.index(step, at) + 1
    return ""


def _fits(wanted: Any, called: Any, ignore: frozenset[str], *, subset: bool) -> bool:
    if not isinstance(wanted, Mapping) or not isinstance(called, Mapping):
        return bool(wanted == called)
    keys = {key for key in wanted if key not in ignore}
    if not subset and keys != {key for key in called if key not in ignore}:
        return False
    return all(key in called and _equal(wanted[key], called[key]) for key in keys)


def _equal(wanted: Any, called: Any) -> bool:
    # True is 1 in Python and not in JSON.
    if isinstance(wanted, bool) or isinstance(called, bool):
        return wanted is called
    return bool(wanted == called)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
        mend = 'Write [{"name": "search", "arguments": {"q": "..."}}].'
        raise BadInput("must be a list of objects.", field="expects.tool_calls", mend=mend)
    return list(value)


def _shown(call: tuple[str, Any]) -> str:
    return f"{call[0]}({str(call[1])[:120]})"
