"""How alike answers are by what they mean: the cosine of their embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .answers import MAX_ANSWERS, MAX_CHARACTERS, Alike, alike_words, contradiction
from .scorers.similarity import Embed, cosine

#: Answers whose embeddings are at least this near say the same, unless a reader says otherwise. Embeddings of two
#: answers to one question lie near each other anyway, so it is higher than for words.
SAME_MEANING = 0.85
#: Texts that are embedded for one report, in one request, and characters of each.
MAX_TEXTS, _BATCH, _SHOWN = 2_000, 64, 8_000
#: Says that answers are compared by their words whatever the configuration names.
WORDS = "words"


@dataclass(frozen=True, slots=True)
class Meanings:
    """How answers are compared: ``by`` says it in words, ``same`` is how alike two that say the same are at least."""

    by: str
    alike: Alike
    same: float
    left_out: int = 0


async def meanings(
    embed: Embed, model: str, texts: Mapping[tuple[str, int], str], *, same: float = SAME_MEANING
) -> Meanings:
    """Embed the answers of cases that did not always answer in the same words, at most MAX_TEXTS of them.

    Answers with other numbers, or where one alone negates, differ much whatever their embeddings say, which are known
    to be blind to both. ``left_out`` counts answers beyond the bound; they are compared by words. Raises what
    ``embed`` raises.
    """
    wanted = _divergent(texts)
    kept = wanted[:MAX_TEXTS]
    vectors: dict[str, list[float]] = {}
    for start in range(0, len(kept), _BATCH):
        part = kept[start : start + _BATCH]
        found = await embed([text[:_SHOWN] or " " for text in part])
        vectors.update(zip(part, found, strict=True))

    def alike(a: str, b: str) -> float:
        first, second = vectors.get(a), vectors.get(b)
        if first is None or second is None:
            return alike_words(a, b)
        return 1.0 if a == b else max(0.0, cosine(first, second)) * contradiction(a, b)

    return Meanings(f"embeddings of {model}", alike, same, len(wanted) - len(kept))


def _divergent(texts: Mapping[tuple[str, int], str]) -> list[str]:
    """The different answers of cases that have more than one, as they are compared."""
    by_case: dict[str, dict[int, str]] = {}
    for (case, repeat), text in texts.items():
        by_case.setdefault(case, {})[repeat] = text[:MAX_CHARACTERS]
    found: dict[str, None] = {}
    for answers in by_case.values():
        shown = dict.fromkeys(answers[repeat] for repeat in sorted(answers)[:MAX_ANSWERS])
        if len(shown) > 1:
            found.update(shown)
    return list(found)
