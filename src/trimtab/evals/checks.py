"""The deterministic checks: free, exact, run on every answer.

None of them is a hallucination detector. They catch what can be told for certain (an answer cut off, a citation that
is missing, passages that are old) and, with ``grounded``, whether the words of an answer come from what it cites.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .dataset import Case
from .output import Output
from .wording import cited, content_words, declines, passage_words

#: A passage counts as fresh up to this many days after its last update, unless it carries its own ``max_age_days``.
MAX_AGE_DAYS = 180.0
#: An answer counts as grounded when at least this share of its content words occurs in what it cites. An answer in
#: other words than its source stays above it, one with an invented sentence falls below.
GROUNDED_FLOOR = 0.7

_DAY_NS = 86_400 * 1_000_000_000
_WHOLE = ("stop", "tool_calls", "function_call")


@dataclass(frozen=True, slots=True)
class Check:
    """A Scorer from a pure function of the output."""

    name: str
    rule: Callable[[Output], float | None]
    judge: str = ""

    @property
    def digest(self) -> str:
        return f"check:{self.name}"

    async def __call__(self, case: Case, output: Output) -> float | None:
        return self.rule(output)


def answered(output: Output) -> float | None:
    """1 when the model answered, 0 when it failed; nothing when the request ended elsewhere (guard, limits, client)."""
    if output.status == "ok":
        return 1.0
    return 0.0 if output.models_fault else None


def complete(output: Output) -> float | None:
    """1 when the model ended the answer itself, 0 when it was cut off (length, filter, no ending at all)."""
    return float(output.finish in _WHOLE) if output.status == "ok" else None


def retrieved(output: Output) -> float | None:
    """1 when retrieval found passages, 0 when it found none; nothing when no corpus was asked."""
    if output.passages:
        return 1.0
    return 0.0 if output.asked_corpus and (output.status == "ok" or output.models_fault) else None


def fresh(output: Output) -> float | None:
    """1 when every cited passage (the top one, if none is cited) was updated recently enough before the answer."""
    if output.status != "ok":
        return None
    used = used_passages(output) or output.passages[:1]
    dated = [p for p in used if isinstance(p.get("updated_ns"), int) and p["updated_ns"] > 0]
    if not dated:
        return None
    return float(all(_age_days(p, output.time_ns) <= _limit_days(p) for p in dated))


def cites(output: Output) -> float | None:
    """1 when the answer cites a passage it was given; nothing without passages or when it says it does not know."""
    if not _from_passages(output):
        return None
    return float(bool(used_passages(output)))


def grounded(output: Output) -> float | None:
    """1 when GROUNDED_FLOOR of the answer's content words occur in the passages it cites (in any, if it cites none)."""
    if not _from_passages(output):
        return None
    words = content_words(output.text)
    if not words:
        return None
    held: set[str] = set()
    for passage in used_passages(output) or output.passages:
        held |= passage_words(passage)
    return float(len(words & held) >= GROUNDED_FLOOR * len(words))


def first_choice(output: Output) -> float | None:
    """1 when the first model asked gave the answer, 0 when another attempt was needed."""
    if output.attempts < 1 or not (output.status == "ok" or output.models_fault):
        return None
    return float(output.status == "ok" and output.attempts == 1)


#: Every deterministic check by its score's name.
CHECKS: Mapping[str, Check] = {
    rule.__name__: Check(rule.__name__, rule)
    for rule in (answered, complete, retrieved, fresh, cites, grounded, first_choice)
}


def used_passages(output: Output) -> list[Mapping[str, Any]]:
    """The given passages that the answer cites."""
    numbers = cited(output.text)
    return [p for p in output.passages if p.get("number") in numbers]


def _from_passages(output: Output) -> bool:
    return output.answered and bool(output.passages) and not declines(output.text)


def _age_days(passage: Mapping[str, Any], now_ns: int) -> float:
    return float(now_ns - int(passage["updated_ns"])) / _DAY_NS


def _limit_days(passage: Mapping[str, Any]) -> float:
    limit = passage.get("max_age_days")
    return float(limit) if isinstance(limit, int | float) and limit > 0 else MAX_AGE_DAYS
