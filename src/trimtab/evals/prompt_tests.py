"""Testing a prompt: its cases are asked as traffic would ask them, and every answer is held against its assertions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from trimtab.core import BadInput, Call, Usage, Version
from trimtab.prompts import (
    Assertion,
    PromptCase,
    Template,
    assertions_of,
    cases_address,
    cases_of,
    params_of,
    validate,
)
from trimtab.providers import estimate_tokens
from trimtab.registry import PRODUCTION, Registry
from trimtab.traces import price

from .assertions import held
from .dataset import cases_of as dataset_cases
from .output import Output

#: Cases of one test, and those asked at once.
MAX_CASES = 200
CONCURRENCY = 8
#: What an answer is taken to need when the prompt sets no limit, and a passage that is found; in tokens.
ANSWER_TOKENS, PASSAGE_TOKENS = 400, 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One answer to one case, and what it cost (None: no price is known)."""

    output: Output
    trace_id: str
    error: str = ""
    cost_usd: float | None = None


class Ask(Protocol):
    """Asks a model with one version of a prompt; an error of the request is in the answer, not raised."""

    async def __call__(self, *, model: str, prompt: str, question: str, variables: Mapping[str, Any]) -> Trial: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a test is to do. ``cases`` is a dataset's address, "" for those attached to the prompt; ``model`` "" for
    the one that the prompt suggests; ``number`` 0 for the live version."""

    name: str
    number: int = 0
    cases: str = ""
    model: str = ""
    limit: int = 50
    offset: int = 0


class PromptTests:
    """Runs tests. Nothing here is kept: every answer is recorded as a trace of Trimtab's own project."""

    def __init__(self, registry: Registry, ask: Ask) -> None:
        self._registry = registry
        self._ask = ask

    async def estimate(self, plan: Plan) -> dict[str, Any]:
        """How many cases there are and about what they cost, without asking anything."""
        version, cases, model = await self._ready(plan)
        tokens = [self._tokens(version, case, model) for case in cases]
        answer = _answer_tokens(version)
        costs = [price(model, Usage(input_tokens=n, output_tokens=answer)) for n in tokens]
        known = [cost for cost in costs if cost is not None]
        return {
            "prompt": version.pin,
            "model": model,
            "cases": len(cases),
            "input_tokens": sum(tokens),
            "output_tokens": answer * len(cases),
            # A route has no price of its own: it depends on which of its models answers.
            "cost_usd": sum(known) if len(known) == len(costs) else None,
        }

    async def run(self, plan: Plan) -> dict[str, Any]:
        """Ask the cases. Raises BadInput or NotFound when there is no such version, no case or no model."""
        version, cases, model = await self._ready(plan)
        asserted = assertions_of(version.content)
        turns = asyncio.Semaphore(CONCURRENCY)

        async def one(case: PromptCase) -> dict[str, Any]:
            async with turns:
                trial = await self._ask(model=model, prompt=version.pin, question=case.input, variables=case.variables)
            return _verdict(case, trial, version.pin, (*asserted, *case.assertions))

        results = await asyncio.gather(*(one(case) for case in cases))
        costs = [result["cost_usd"] for result in results]
        return {
            "prompt": version.pin,
            "model": model,
            "passed": sum(result["ok"] for result in results),
            "failed": sum(not result["ok"] for result in results),
            "cost_usd": None if None in costs else sum(costs),
            "results": results,
        }

    async def _ready(self, plan: Plan) -> tuple[Version, Sequence[PromptCase], str]:
        if not 1 <= plan.limit <= MAX_CASES or plan.offset < 0:
            raise BadInput(f"The limit {plan.limit} is out of range.", field="limit", mend=f"Give 1 to {MAX_CASES}.")
        number = plan.number or self._live(plan.name)
        await self._registry.ready(f"{plan.name}/{number}", kind="prompts")
        version = self._registry.version("prompts", plan.name, number)
        validate(version.content)
        model = plan.model or version.content.get("model", "")
        if not model:
            mend = "Name one, or let the prompt suggest one in its field model."
            raise BadInput(f"{version.address} suggests no model.", field="model", mend=mend)
        cases = await self._cases(version, plan)
        if not cases:
            mend = "Attach some in its field cases, or name a dataset."
            raise BadInput(f"{version.address} has no cases to ask.", field="cases", mend=mend)
        return version, cases, model

    def _live(self, name: str) -> int:
        """The live version, or the newest where none is live yet."""
        live = self._registry.labels("prompts", name).get(PRODUCTION)
        return live or self._registry.versions("prompts", name)[-1].number

    async def _cases(self, version: Version, plan: Plan) -> Sequence[PromptCase]:
        address = plan.cases or cases_address(version.content)
        found: Sequence[PromptCase]
        if address:
            await self._registry.ready(address, kind="datasets")
            content = self._registry.resolve(address, kind="datasets").version.content
            found = [
                PromptCase(input=case.input, id=case.id or f"case {n}", variables=case.variables)
                for n, case in enumerate(dataset_cases(content), 1)
            ]
        else:
            found = cases_of(version.content)
        return found[plan.offset : plan.offset + plan.limit]

    def _tokens(self, version: Version, case: PromptCase, model: str) -> int:
        content = version.content
        passages = int(content.get("passages", 4)) if content.get("corpus") else 0
        asked = [{"role": "user", "content": case.input}] if case.input else []
        messages = Template(content).fill({**case.variables, "passages": ""}, asked, self._part)
        call = Call(model=model, messages=tuple(messages), params=params_of(content))
        return estimate_tokens(call) + PASSAGE_TOKENS * passages

    def _part(self, address: str) -> Mapping[str, Any]:
        return self._registry.resolve(address, kind="prompts").version.content


def _answer_tokens(version: Version) -> int:
    params = version.content.get("params") or {}
    limits = [params.get(name) for name in ("max_completion_tokens", "max_tokens")]
    return next((n for n in limits if isinstance(n, int) and n > 0), ANSWER_TOKENS)


def _verdict(case: PromptCase, trial: Trial, pin: str, asserted: Sequence[Assertion]) -> dict[str, Any]:
    kept = held([(pin, assertion) for assertion in asserted], trial.output)
    return {
        "case": case.id,
        "input": case.input,
        "answer": trial.output.text,
        "ok": not trial.error and all(k.ok for k in kept),
        "error": trial.error,
        "assertions": [{"name": k.name, "ok": k.ok, "reason": k.reason} for k in kept],
        "trace_id": trial.trace_id,
        "cost_usd": trial.cost_usd,
    }


def plan_of(name: str, body: Mapping[str, Any]) -> Plan:
    """A plan from a request's body. Raises BadInput naming the field that does not fit."""
    plan = asdict(Plan(name=name))
    for key, value in body.items():
        if key == "estimate":
            continue
        if key not in plan or key == "name":
            mend = "A test takes number, cases, model, limit, offset and estimate."
            raise BadInput("is not a known field", field=key, mend=mend)
        if type(value) is not type(plan[key]):
            words = "text" if isinstance(plan[key], str) else "a whole number"
            raise BadInput(f"must be {words}", field=key, mend="Correct it.")
        plan[key] = value
    return Plan(**plan)
