"""Pairwise judging: which of two answers is better, asked blind and in both orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from trimtab.core import BadInput, Call, Model, Version

from .dataset import Case
from .judge import (
    DATA_RULE,
    SHOWN,
    VerdictUnreadable,
    cost_of,
    framed_parts,
    judge_call,
    judge_digest,
    line,
    paying,
    read_object,
    reply_of,
    validate_judge,
)
from .output import Output
from .scorer import Verdict

_PLACES = ("first", "second", "tie")


@dataclass(frozen=True)
class Pair:
    """A judge of kind ``judges`` that compares. It never learns where an answer is from, and sees both orders.

    A judge that prefers what stands in one place prefers another answer in the other order: then its verdict is a tie.
    """

    version: Version
    model: Model

    @property
    def name(self) -> str:
        return self.version.name

    @cached_property
    def judge(self) -> str:
        """The digest of everything that decides its verdicts."""
        return judge_digest(self.version.content, "pair")

    async def __call__(self, case: Case, a: Output, b: Output) -> Verdict:
        """1 when ``a`` is better, 0 when ``b`` is, 0.5 for a tie or when the two orders disagree.

        Raises what a judge raises; half a comparison is none.
        """
        if a.text == b.text:
            return Verdict(0.5, "both answers are the same", judge=self.judge, detail={"orders": [0.5, 0.5]})
        straight, why, paid, answered = await self._ask(case, a, b)
        try:
            swapped, other, more, _ = await self._ask(case, b, a)
        except VerdictUnreadable as error:
            error.cost_usd = None if paid is None or error.cost_usd is None else paid + error.cost_usd
            raise
        orders = [straight, 1.0 - swapped]
        agreed = orders[0] == orders[1]
        reason = why if agreed else f"the orders disagree: {why} / {other}"
        cost = None if paid is None or more is None else paid + more
        value = orders[0] if agreed else 0.5
        detail = {"orders": orders, "flipped": not agreed, **answered}
        return Verdict(value, reason, judge=self.judge, cost_usd=cost, detail=detail)

    async def _ask(
        self, case: Case, first: Output, second: Output
    ) -> tuple[float, str, float | None, Mapping[str, str]]:
        """The preference for the first, its reason, its cost, and which model answered."""
        call = self.ask(case, first, second)
        reply = await reply_of(self.model, call, self.version.pin)
        with paying(call, reply):
            value, reason = read_preference(reply.text)
        answered = {"model": reply.model, "fingerprint": reply.fingerprint}
        return value, reason, cost_of(call, reply), {name: said for name, said in answered.items() if said}

    def ask(self, case: Case, first: Output, second: Output) -> Call:
        """The call that asks which of two answers is better."""
        content: Mapping[str, Any] = self.version.content
        validate_judge(content)
        own = [{"name": f"case {n}", "text": text} for n, text in enumerate(case.criteria, 1)]
        criteria = [f"- {line(c['name'])}: {line(c['text'])}" for c in [*content.get("criteria", ()), *own]]
        parts = [content["rubric"].strip()]
        if criteria:
            parts.append("What counts:\n" + "\n".join(criteria))
        if case.expected:
            parts.append("The REFERENCE is an answer that an expert accepts; another one may be as good.")
        if examples := content.get("examples"):
            parts.append("Pairs that experts compared:\n\n" + "\n\n".join(map(_example, examples, count())))
        parts.append(
            "Say which of the two answers is better. Neither their order nor their length counts. Reply with one JSON "
            'object and nothing else: {"better": "first", "second" or "tie", "reason": "one short sentence"}.\n'
            + DATA_RULE
        )
        data = {"QUESTION": first.question or case.input}
        if case.expected:
            data["REFERENCE"] = case.expected
        data |= {"FIRST": first.text, "SECOND": second.text}
        messages = (
            {"role": "system", "content": "\n\n".join(parts)},
            {"role": "user", "content": framed_parts(data)},
        )
        return judge_call(content, messages)


def _example(example: Mapping[str, Any], position: int) -> str:
    """An expert's comparison. Every second pair stands the other way round, so that no place is taught."""
    if "other" not in example:
        mend = "Write examples with other and better: which of answer (a) and other (b) is better."
        raise BadInput("are single answers, for a judge that does not compare.", field="examples", mend=mend)
    answers, places = (example["answer"], example["other"]), {"a": "first", "b": "second"}
    if position % 2:
        answers, places = answers[::-1], {"a": "second", "b": "first"}
    first, second = (line(answer)[:SHOWN] for answer in answers)
    return (
        f"Question: {line(example['question'])[:SHOWN]}\nFirst: {first}\nSecond: {second}\n"
        f"Better: {places.get(example['better'], 'tie')}\nCritique: {line(example['critique'])[:SHOWN]}"
    )


def read_preference(text: str) -> tuple[float, str]:
    """1 for the first, 0 for the second, 0.5 for a tie, and the reason. Raises VerdictUnreadable."""
    value = read_object(text)
    better = value.get("better")
    if better not in _PLACES:
        raise VerdictUnreadable("the judge's reply does not say which is better.", retryable=False)
    reason = value.get("reason", "")
    return {"first": 1.0, "second": 0.0, "tie": 0.5}[better], line(reason)[:500] if isinstance(reason, str) else ""
