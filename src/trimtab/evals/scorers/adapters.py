"""Metrics of other libraries as scorers: DeepEval, Ragas and autoevals, by the shape of their calls.

Nothing of them is imported: give an instance of their metric. What they need beside (a model, a key) is theirs.

* DeepEval: ``await metric.a_measure(test_case)`` or ``metric.measure(test_case)``; then ``metric.score`` and
  ``metric.reason``. Give ``case_type=deepeval.test_case.LLMTestCase``.
* Ragas: ``await metric.single_turn_ascore(sample)``, which answers a number; give ``case_type=ragas.SingleTurnSample``.
  Its newer metrics, ``await metric.ascore(user_input=..., response=...)``, answer an object with ``value``.
* autoevals: ``await evaluator.eval_async(output=..., expected=..., input=...)`` or ``evaluator(output, ...)``, which
  answers an object with ``score`` and ``metadata``.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from trimtab.core import BadInput
from trimtab.evals.dataset import Case
from trimtab.evals.output import Output
from trimtab.evals.scorer import Function, Given, Verdict, short_digest


def adapted(metric: Any, *, name: str = "", case_type: Callable[..., Any] = SimpleNamespace) -> Function:
    """A metric of DeepEval, Ragas or autoevals as a Scorer. Raises BadInput for what has none of their shapes.

    Its ``judge`` names class, module and model: it cannot know what else decides the metric. A metric that answers
    NaN or None gives an error that is counted, never a number.
    """
    named = name or _name(metric)
    measure = _shape(metric, case_type)
    kind = type(metric) if not inspect.isclass(metric) else metric
    digest = short_digest({"metric": f"{kind.__module__}.{kind.__qualname__}", "model": _model(metric), "name": named})

    async def rule(case: Case, output: Output) -> Given:
        value, reason = await measure(case, output)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return Verdict(None, error=reason or "the metric gave no value", cost_usd=None)
        return Verdict(float(value), reason, cost_usd=None)

    return Function(named, rule, digest, digest)


def _shape(metric: Any, case_type: Callable[..., Any]) -> Callable[[Case, Output], Any]:
    if hasattr(metric, "a_measure") or hasattr(metric, "measure"):
        return lambda case, output: _deepeval(metric, case_type(**_test_case(case, output)))
    if hasattr(metric, "single_turn_ascore") or hasattr(metric, "ascore"):
        return lambda case, output: _ragas(metric, case_type, _sample(case, output))
    if hasattr(metric, "eval_async") or callable(metric):
        return lambda case, output: _autoevals(metric, case, output)
    mend = "Give an instance of a metric of DeepEval, Ragas or autoevals, or write a function (case, output)."
    raise BadInput(f"{type(metric).__name__} is no metric that is known.", field="metric", mend=mend)


async def _deepeval(metric: Any, test_case: Any) -> tuple[float | None, str]:
    if hasattr(metric, "a_measure"):
        given = await metric.a_measure(test_case)
    else:
        given = await asyncio.to_thread(metric.measure, test_case)
    score = getattr(metric, "score", None)
    return (given if score is None else score), str(getattr(metric, "reason", None) or "")


async def _ragas(metric: Any, case_type: Callable[..., Any], sample: Mapping[str, Any]) -> tuple[float | None, str]:
    if hasattr(metric, "single_turn_ascore"):
        return _value_of(await metric.single_turn_ascore(case_type(**sample)))
    wanted = inspect.signature(metric.ascore).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    given = {key: value for key, value in sample.items() if open_ended or key in wanted}
    return _value_of(await metric.ascore(**given))


async def _autoevals(metric: Any, case: Case, output: Output) -> tuple[float | None, str]:
    fields: dict[str, Any] = {"output": output.text, "expected": case.expected, "input": case.input}
    if output.passages:
        fields["context"] = _contexts(output)
    if hasattr(metric, "eval_async"):
        return _value_of(await metric.eval_async(**fields))
    found = await asyncio.to_thread(metric, **fields)
    return _value_of(await found if inspect.isawaitable(found) else found)


def _value_of(result: Any) -> tuple[float | None, str]:
    """A number, or an object with ``score`` or ``value`` and a reason somewhere."""
    if result is None or isinstance(result, int | float):
        return result, ""
    value = getattr(result, "score", None) if hasattr(result, "score") else getattr(result, "value", None)
    metadata = getattr(result, "metadata", None)
    said = metadata.get("rationale") or metadata.get("reason") if isinstance(metadata, Mapping) else ""
    reason = getattr(result, "reason", "") or said or getattr(result, "error", "") or ""
    return value, str(reason)


def _test_case(case: Case, output: Output) -> dict[str, Any]:
    texts = _contexts(output)
    return {
        "input": case.input, "actual_output": output.text, "expected_output": case.expected or None,
        "context": texts or None, "retrieval_context": texts or None,
    }  # fmt: skip


def _sample(case: Case, output: Output) -> dict[str, Any]:
    return {
        "user_input": case.input, "response": output.text, "reference": case.expected or None,
        "retrieved_contexts": _contexts(output) or None,
    }  # fmt: skip


def _contexts(output: Output) -> list[str]:
    return [str(passage.get("text", "")) for passage in output.passages]


def _name(metric: Any) -> str:
    for attribute in ("name", "__name__"):
        found = getattr(metric, attribute, None)
        if isinstance(found, str) and found:
            return found
    return type(metric).__name__


def _model(metric: Any) -> str:
    for attribute in ("evaluation_model", "model", "llm"):
        found = getattr(metric, attribute, None)
        if found is not None:
            return found if isinstance(found, str) else type(found).__name__
    return ""
