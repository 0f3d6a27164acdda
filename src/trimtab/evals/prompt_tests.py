"""Testing a prompt: its cases are asked as traffic would ask them, and every answer is held against its assertions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.core import BadInput, Version
from trimtab.prompts import Assertion, PromptCase, assertions_of, cases_address, cases_of, validate
from trimtab.registry import PRODUCTION, Registry

from .assertions import held
from .dataset import Case
from .dataset import cases_of as dataset_cases
from .output import Output
from .route_prices import route_prices
from .run import Result, run
from .run_cost import asked_cost, total
from .run_plan import Settings
from .run_target import Ask, Asked
from .scorer import Function, Given, Verdict

#: Cases of one test, and those asked at once. The gateway tries again by itself.
MAX_CASES = 200
_SETTINGS = Settings(concurrency=8, attempts=1)


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
        prices = route_prices(self._registry)
        cost = total(asked_cost(version.content, model, _case(case), self._part, prices) for case in cases)
        return {
            "prompt": version.pin,
            "model": model,
            "cases": len(cases),
            "input_tokens": cost.input_tokens,
            "output_tokens": cost.output_tokens,
            "cost_usd": cost.cost_usd,
        }

    async def run(self, plan: Plan) -> dict[str, Any]:
        """Ask the cases. Raises BadInput or NotFound when there is no such version, no case or no model."""
        version, cases, model = await self._ready(plan)
        promised = _promise(version.pin, assertions_of(version.content))
        found = await run(
            [_case(case) for case in cases],
            Asked(ask=self._ask, model=model, prompt=version.pin),
            [promised],
            settings=_SETTINGS,
            own={case.id: [_promise(version.pin, case.assertions)] for case in cases if case.assertions},
        )
        results = [_verdict(result) for result in found]
        costs = [result.output.cost_usd for result in found if result.output is not None]
        return {
            "prompt": version.pin,
            "model": model,
            "passed": sum(result["ok"] for result in results),
            "failed": sum(not result["ok"] for result in results),
            "cost_usd": None if None in costs else sum(cost for cost in costs if cost is not None),
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

    def _part(self, address: str) -> Mapping[str, Any]:
        return self._registry.resolve(address, kind="prompts").version.content


def _case(case: PromptCase) -> Case:
    return Case(id=case.id, input=case.input, variables=case.variables)


def _promise(pin: str, asserted: Sequence[Assertion]) -> Function:
    """The assertions as one scorer, a verdict each under its own name."""

    def rule(case: Case, output: Output) -> Given:
        kept = held([(pin, assertion) for assertion in asserted], output)
        return [Verdict(float(k.ok), k.reason, name=k.name) for k in kept]

    return Function("assertions", rule)


def _verdict(result: Result) -> dict[str, Any]:
    return {
        "case": result.case.id,
        "input": result.case.input,
        "answer": result.output.text if result.output is not None else "",
        "ok": not result.error and all(verdict.value == 1.0 for verdict in result.verdicts),
        "error": result.error,
        "assertions": [{"name": v.name, "ok": v.value == 1.0, "reason": v.reason} for v in result.verdicts],
        "trace_id": result.trace_id,
        "cost_usd": result.output.cost_usd if result.output is not None else None,
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
