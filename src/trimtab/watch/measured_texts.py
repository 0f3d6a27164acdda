"""What is measured of texts and of what was found for them, beside what ``measures`` has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import Layer
from trimtab.guard.conversation import KIND as CONVERSATION
from trimtab.guard.indirect import KIND as INDIRECT
from trimtab.guard.injection import KIND as INJECTION
from trimtab.knowledge import disagree
from trimtab.prompts import language_of

from .measure import FEW, MOST_SPANS, SOME, Measure
from .traffic import Traffic

_DAY_NS = 86_400 * 10**9
#: Passages, and characters of each, that are compared with each other; characters of texts whose language is told.
_PASSAGES, _COMPARED, _TONGUE = 4, 600, 400
_ATTACKS = frozenset({INJECTION, INDIRECT, CONVERSATION})


def mean_score(seen: Traffic) -> float | None:
    """The mean retrieval score of all passages."""
    scores = scores_in(seen)
    return sum(scores) / len(scores) if scores else None


def score_gap(seen: Traffic) -> float | None:
    """How far the best passage stands above the next one, as a part of its own score."""
    scores = sorted(scores_in(seen), reverse=True)
    return (scores[0] - scores[1]) / scores[0] if len(scores) > 1 and scores[0] > 0.0 else None


def established(seen: Traffic) -> float | None:
    """0 when a passage is younger than a day: new documents take over."""
    dated = dates_in(seen)
    return float(max(dated) + _DAY_NS <= seen.root.end_ns) if dated else None


def agreeing(seen: Traffic) -> float | None:
    """0 when two of the passages say the same but for a number, a date or a negation."""
    if len(seen.passages) < 2:
        return None
    return float(not disagree([str(p.get("text", ""))[:_COMPARED] for p in seen.passages[:_PASSAGES]]))


def same_language(seen: Traffic) -> float | None:
    """0 when the answer is in another language than the question, of those that can be told."""
    if not seen.ok:
        return None
    asked, said = language_of(seen.root.input[:_TONGUE]), language_of(seen.root.output[:_TONGUE])
    return float(asked == said) if asked and said else None


def unflagged(seen: Traffic) -> float | None:
    """0 when a rule of the guard found something, whatever it did about it."""
    return float(not findings_in(seen)) if seen.root.stamp.guard and not seen.limited else None


def scanners_agree(seen: Traffic) -> float | None:
    """Of requests in which a scanner found something: 0 when no other one did."""
    found = {str(each.get("scanner") or each.get("rule")) for each in findings_in(seen)}
    return float(len(found) > 1) if found else None


def attack_score(seen: Traffic) -> float | None:
    """The highest score that a scanner gave the request as an attack; 0 where none found one."""
    if not seen.root.stamp.guard or seen.limited:
        return None
    scores = [each.get("score") for each in findings_in(seen) if each.get("kind") in _ATTACKS]
    return max([float(score) for score in scores if isinstance(score, int | float)], default=0.0)


def scores_in(seen: Traffic) -> list[float]:
    """The retrieval scores of the passages."""
    return [float(score) for p in seen.passages if isinstance(score := p.get("score"), int | float)]


def dates_in(seen: Traffic) -> list[int]:
    """When the passages were updated, of those that say it."""
    return [at for p in seen.passages if isinstance(at := p.get("updated_ns"), int) and at > 0]


def findings_in(seen: Traffic) -> list[Mapping[str, Any]]:
    """What the guard found at any stage."""
    listed = [s.attributes.get("findings") for s in seen.spans[:MOST_SPANS] if s.kind == "guardrail"]
    return [each for found in listed if isinstance(found, list | tuple) for each in found if isinstance(each, Mapping)]


TEXTS_AND_PASSAGES = (
    Measure(
        name="mean_score", layer=Layer.KNOWLEDGE, title="Mean score", unit="retrieval score", of=mean_score,
        worse="down", tolerance=0.2, dear=SOME, tells=1.0, help="All passages together match as well as usual.",
    ),
    Measure(
        name="score_gap", layer=Layer.KNOWLEDGE, title="Score gap", unit="part of the best score", of=score_gap,
        worse="down", tolerance=0.3, least=0.05, dear=SOME, tells=0.9,
        help="The best passage stands out as far as usual.",
    ),
    Measure(
        name="established", layer=Layer.KNOWLEDGE, title="Established", unit="share of requests", of=established,
        dear=SOME, tells=1.0, help="No passage is younger than a day.",
    ),
    Measure(
        name="agreeing", layer=Layer.KNOWLEDGE, title="Agreeing", unit="share of requests", of=agreeing,
        dear=FEW, tells=1.0, help="No two passages disagree in a number, a date or a negation.",
    ),
    Measure(
        name="same_language", layer=Layer.PROMPT, title="Same language", unit="share of answers", of=same_language,
        dear=FEW, tells=0.5, help="The answer is in the language of its question.",
    ),
    Measure(
        name="unflagged", layer=Layer.SAFETY, title="Unflagged", unit="share of requests", of=unflagged, dear=SOME,
        tells=0.6, help="No rule of the guard found anything.",
    ),
    Measure(
        name="scanners_agree", layer=Layer.SAFETY, title="Scanners agree", unit="share of findings",
        of=scanners_agree, dear=SOME, tells=0.8, help="What one scanner finds, another finds too, as often as usual.",
    ),
    Measure(
        name="attack_score", layer=Layer.SAFETY, title="Attack score", unit="score", of=attack_score, worse="up",
        least=0.1, dear=SOME, tells=0.6, help="Requests look no more like attacks than usual.",
    ),
)  # fmt: skip
