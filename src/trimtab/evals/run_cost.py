"""What a run will cost, before it is started: rules of thumb over the plan, and never an invented price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.core import Call, Usage, Version
from trimtab.prompts import Template, params_of
from trimtab.providers import estimate_tokens
from trimtab.traces import price

from .dataset import Case
from .judge import Judge
from .judge_items import Items, Steps
from .judge_jury import Jury
from .judge_pair import Pair
from .route_prices import PriceOf
from .run_plan import Settings
from .run_target import Asked, Target
from .scorer import Scorer, Thresholded
from .scorers import Preference

#: What an answer is taken to need when the prompt sets no limit, a passage that is found, and a verdict; in tokens.
ANSWER_TOKENS, PASSAGE_TOKENS, VERDICT_TOKENS = 400, 250, 80
#: What a judge is told beside its own content.
_FRAME_TOKENS = 200

Part = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Calls, tokens and US dollars; ``cost_usd`` is None where a price is not known."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: Cost) -> Cost:
        unknown = self.cost_usd is None or other.cost_usd is None
        return Cost(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=None if unknown else (self.cost_usd or 0.0) + (other.cost_usd or 0.0),
        )

    def times(self, factor: int) -> Cost:
        """That often."""
        cost = None if self.cost_usd is None else self.cost_usd * factor
        return Cost(
            calls=self.calls * factor, input_tokens=self.input_tokens * factor,
            output_tokens=self.output_tokens * factor, cost_usd=cost,
        )  # fmt: skip


def cost_of_run(
    cases: Sequence[Case], target: Target, prompt: Version | None, scorers: Sequence[Scorer], settings: Settings,
    price_of: PriceOf = price,
) -> dict[str, Cost]:  # fmt: skip
    """The cost of the answers and of the verdicts of a run."""
    answers = verdicts = Cost()
    if isinstance(target, Asked):
        content = prompt.content if prompt is not None else target.content
        answers = total(asked_cost(content, target.model, case, target.part, price_of) for case in cases)
        length = answer_tokens(content)
    else:
        length = ANSWER_TOKENS
    for scorer in scorers:
        for version, often in judges_of(scorer):
            each = (judged_cost(version, case, length, price_of).times(often) for case in cases)
            verdicts += total(each).times(settings.judgements)
    return {"answers": answers.times(settings.repeats), "verdicts": verdicts.times(settings.repeats)}


def total(costs: Iterable[Cost]) -> Cost:
    """The sum."""
    found = Cost()
    for cost in costs:
        found += cost
    return found


def asked_cost(
    content: Mapping[str, Any], model: str, case: Case, part: Part | None, price_of: PriceOf = price
) -> Cost:
    """One answer of a model to a case, with this prompt."""
    passages = int(content.get("passages", 4)) if content.get("corpus") else 0
    messages: list[Mapping[str, Any]] = [{"role": "user", "content": case.input}] if case.input else []
    if content:
        template = Template(content)
        filled = {**case.variables, "passages": ""}
        if "input" in template.variables:
            filled.setdefault("input", case.input)
        messages = template.fill(filled, messages, part)
    call = Call(model=model, messages=tuple(messages), params=params_of(content))
    tokens = estimate_tokens(call) + PASSAGE_TOKENS * passages
    return _priced(model, tokens, answer_tokens(content), price_of)


def judged_cost(version: Version, case: Case, length: int, price_of: PriceOf = price) -> Cost:
    """One verdict of a judge on an answer of ``length`` tokens."""
    passages = sum(len(str(passage.get("text", ""))) for passage in case.passages) // 4
    said = len(msgspec.json.encode(version.content, enc_hook=str)) + len(case.input) + len(case.expected)
    return _priced(version.content["model"], said // 4 + passages + length + _FRAME_TOKENS, VERDICT_TOKENS, price_of)


def judges_of(scorer: Scorer) -> list[tuple[Version, int]]:
    """The judges that a scorer asks, and how often each."""
    if isinstance(scorer, Thresholded):
        return judges_of(scorer.scorer)
    if isinstance(scorer, Preference):
        return [(scorer.pair.version, 2)]
    if isinstance(scorer, Jury):
        return [(judge.version, 1) for judge in scorer.judges]
    return [(scorer.version, 1)] if isinstance(scorer, Judge | Items | Steps | Pair) else []


def answer_tokens(content: Mapping[str, Any]) -> int:
    """How long an answer may be: the prompt's own limit, else a usual length."""
    params = content.get("params") or {}
    limits = [params.get(name) for name in ("max_completion_tokens", "max_tokens")]
    return next((n for n in limits if isinstance(n, int) and n > 0), ANSWER_TOKENS)


def _priced(model: str, tokens: int, answer: int, price_of: PriceOf) -> Cost:
    cost = price_of(model, Usage(input_tokens=tokens, output_tokens=answer))
    return Cost(calls=1, input_tokens=tokens, output_tokens=answer, cost_usd=cost)
