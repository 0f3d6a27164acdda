"""Judges that look at parts: which claims are supported, which passages are of use, which step is the first wrong one.

Each asks one question with one structured reply, and the score is computed from the parts: not the judge does the sum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trimtab.core import Model, Version

from .dataset import Case
from .judge import (
    DATA_RULE,
    VerdictUnreadable,
    cost_of,
    framed_parts,
    judge_call,
    judge_digest,
    line,
    paying,
    read_object,
    reply_of,
)
from .output import Output
from .scorer import Verdict

#: Parts of one answer that are looked at.
MAX_ITEMS = 200
_STEP = re.compile(r"(?m)^\s*(?:step\s*)?\d+[.):]\s+", re.IGNORECASE)

#: The data that a judge is shown; None where the question does not apply to the case.
Shown = Callable[[Case, Output], Mapping[str, str] | None]


@dataclass(frozen=True)
class Items:
    """A Scorer that asks a judge for a yes or no on each part: claims, passages.

    ``kind`` says what is asked: ``groundedness``, ``context_recall`` or ``context_precision``. ``version`` names the
    model and may say more in its rubric.
    """

    version: Version
    model: Model
    kind: str
    name: str

    @cached_property
    def judge(self) -> str:
        """The digest of everything that decides its verdicts."""
        return judge_digest({**self.version.content, "asks": ASKS[self.kind][0]}, self.kind)

    @property
    def digest(self) -> str:
        return self.judge

    async def __call__(self, case: Case, output: Output) -> list[Verdict]:
        """One verdict, or none where it does not apply; ``detail`` has the parts. Raises what a judge raises."""
        asks, shown, reduce = ASKS[self.kind]
        data = shown(case, output)
        if data is None:
            return []
        rubric = str(self.version.content.get("rubric", "")).strip()
        system = f"{rubric}\n\n{asks}\n" if rubric else f"{asks}\n"
        system += (
            'Reply with one JSON object and nothing else: {"items": [{"text": "...", "ok": true or false}], '
            f'"reason": "one short sentence"}}.\n{DATA_RULE}'
        )
        messages = ({"role": "system", "content": system}, {"role": "user", "content": framed_parts(data)})
        call = judge_call(self.version.content, messages)
        reply = await reply_of(self.model, call, self.version.pin)
        with paying(call, reply):
            items = read_items(reply.text)
        wrong = [text for text, ok in items if not ok]
        reason = f"{len(items) - len(wrong)} of {len(items)}" + (f"; not: {wrong[0][:200]}" if wrong else "")
        detail = {"items": [{"text": text[:500], "ok": ok} for text, ok in items], "model": reply.model}
        value = reduce([ok for _, ok in items])
        return [Verdict(value, reason, cost_usd=cost_of(call, reply), detail=detail)]


def read_items(text: str) -> list[tuple[str, bool]]:
    """The parts and whether each is right. Raises VerdictUnreadable, also when there is none."""
    items = read_object(text).get("items")
    if not isinstance(items, list) or not items:
        raise VerdictUnreadable("the judge's reply lists no items.", retryable=False)
    found = []
    for item in items[:MAX_ITEMS]:
        if not isinstance(item, dict) or not isinstance(item.get("ok"), bool):
            raise VerdictUnreadable("the judge's reply has an item without ok.", retryable=False)
        found.append((line(str(item.get("text", ""))), item["ok"]))
    return found


def share(oks: Sequence[bool]) -> float:
    """The share of parts that are right."""
    return sum(oks) / len(oks)


def average_precision(oks: Sequence[bool]) -> float:
    """The mean of precision@k over the ranks k of useful passages; 0 when none is."""
    hits = [sum(oks[: n + 1]) / (n + 1) for n, ok in enumerate(oks) if ok]
    return sum(hits) / len(hits) if hits else 0.0


def _passages(output: Output) -> str:
    return "\n\n".join(
        f"[{p.get('number', n)}] {line(str(p.get('title', '')))}\n{p.get('text', '')}"
        for n, p in enumerate(output.passages, 1)
    )


def _answer_and_passages(case: Case, output: Output) -> Mapping[str, str] | None:
    if not output.answered or not output.passages:
        return None
    return {"PASSAGES": _passages(output), "ANSWER": output.text}


def _reference_and_passages(case: Case, output: Output) -> Mapping[str, str] | None:
    if not case.expected or not (output.passages or output.asked_corpus):
        return None
    return {"QUESTION": output.question or case.input, "PASSAGES": _passages(output), "REFERENCE": case.expected}


ASKS: Mapping[str, tuple[str, Shown, Callable[[Sequence[bool]], float]]] = {
    "groundedness": (
        "List every claim that the ANSWER makes. A claim is ok when the PASSAGES support it; what you know yourself "
        "does not count.",
        _answer_and_passages,
        share,
    ),
    "context_recall": (
        "List every claim that the REFERENCE makes. A claim is ok when the PASSAGES support it.",
        _reference_and_passages,
        share,
    ),
    "context_precision": (
        "List every passage of the PASSAGES by its number, in their order. A passage is ok when it is of use for "
        "answering the QUESTION as the REFERENCE does.",
        _reference_and_passages,
        average_precision,
    ),
}


@dataclass(frozen=True)
class Steps:
    """Process scoring: a judge names the first wrong step, or none. 1 when all steps are right, else 0.

    ``detail`` has ``first_wrong`` (counted from 1; 0 for none) and ``steps``, how many there are.
    """

    version: Version
    model: Model
    name: str = "steps"

    @cached_property
    def judge(self) -> str:
        """The digest of everything that decides its verdicts."""
        return judge_digest(self.version.content, "steps")

    @property
    def digest(self) -> str:
        return self.judge

    async def __call__(self, case: Case, output: Output) -> list[Verdict]:
        """One verdict, or none for an output without steps. Raises what a judge raises."""
        steps = steps_of(output)
        if not steps:
            return []
        rubric = str(self.version.content.get("rubric", "")).strip()
        system = (
            f"{rubric}\n\n"
            "The STEPS lead to an answer to the QUESTION. Find the first step that is wrong: one that contains a "
            "mistake itself, not one that only follows from an earlier mistake. Reply with one JSON object and nothing "
            'else: {"first_wrong_step": its number, or 0 when every step is right, "reason": "one short sentence"}.\n'
            + DATA_RULE
        )
        listed = "\n\n".join(f"{n}. {text}" for n, text in enumerate(steps, 1))
        data = {"QUESTION": output.question or case.input, "STEPS": listed}
        if case.expected:
            data["REFERENCE"] = case.expected
        messages = ({"role": "system", "content": system.strip()}, {"role": "user", "content": framed_parts(data)})
        call = judge_call(self.version.content, messages)
        reply = await reply_of(self.model, call, self.version.pin)
        with paying(call, reply):
            first, reason = read_first_wrong(reply.text, len(steps))
        return [first_wrong(first, len(steps), reason, cost=cost_of(call, reply))]


def first_wrong(first: int, count: int, reason: str, *, cost: float | None = 0.0) -> Verdict:
    """The verdict on steps whose first wrong one is ``first`` (0: none)."""
    why = f"step {first} is the first wrong one: {reason}" if first else reason
    return Verdict(float(first == 0), why, cost_usd=cost, detail={"first_wrong": first, "steps": count})


def read_first_wrong(text: str, count: int) -> tuple[int, str]:
    """The number of the first wrong step and the reason. Raises VerdictUnreadable for a step that is not there."""
    value = read_object(text)
    first = value.get("first_wrong_step")
    if not isinstance(first, int) or isinstance(first, bool) or not 0 <= first <= count:
        raise VerdictUnreadable(f"the judge's reply names none of the {count} steps.", retryable=False)
    return first, line(str(value.get("reason", "")))[:500]


def steps_of(output: Output) -> list[str]:
    """The steps that were recorded, as texts; else the numbered lines or the paragraphs of the answer."""
    if output.steps:
        return [step_text(step) for step in output.steps[:MAX_ITEMS]]
    text = output.text.strip()
    parts = _STEP.split(text) if len(_STEP.findall(text)) > 1 else re.split(r"\n\s*\n", text)
    return [part.strip() for part in parts if part.strip()][:MAX_ITEMS]


def step_text(step: Any) -> str:
    """A step as text: its own, or its name, input and output."""
    if not isinstance(step, Mapping):
        return str(step)
    return " ".join(str(step[key]) for key in ("name", "text", "input", "output") if step.get(key))
