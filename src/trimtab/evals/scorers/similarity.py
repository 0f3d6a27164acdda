"""Similarity of meaning: the cosine between the embeddings of the answer and of what was expected."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from trimtab.evals.dataset import Case
from trimtab.evals.output import Output
from trimtab.evals.scorer import Function, Given, Verdict, short_digest

#: Texts to vectors.
Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]


def similarity(name: str, embed: Embed, model: str) -> Function:
    """The cosine, cut off below 0, of the answer and ``expected``; nothing without an expected answer.

    ``model`` names what embeds: it decides the value, so it is the score's judge. Raises what ``embed`` raises.
    """
    digest = short_digest({"kind": "similarity", "model": model})

    async def rule(case: Case, output: Output) -> Given:
        if not case.expected or not output.answered:
            return None
        first, second = await embed([output.text, case.expected])
        return Verdict(max(0.0, min(1.0, cosine(first, second))), cost_usd=None)

    return Function(name, rule, digest, digest)


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    """The cosine of the angle between two vectors; 0 when one of them has no length."""
    size = math.hypot(*first) * math.hypot(*second)
    return math.fsum(a * b for a, b in zip(first, second, strict=True)) / size if size else 0.0
