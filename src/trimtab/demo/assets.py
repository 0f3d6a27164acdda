"""What the sample application runs on: prompt, corpus, route, judge and golden items, and bad versions of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from trimtab.core import now_ns
from trimtab.guard import DEFAULT_POLICY
from trimtab.knowledge import Document, load_markdown
from trimtab.wiring import House, publish

PROMPT, CORPUS, ROUTE, JUDGE, GOLDEN, GUARD = "support-answer", "docs", "support", "quality", "judge-golden", "default"

INTRODUCTION = "You are the support assistant for the software described in the passages.\n"
RULES = (
    "Answer only from the passages.\n"
    "Cite the passage you used by its number, like [1].\n"
    "If the passages do not answer the question, say that you do not know.\n"
    "Use at most two sentences.\n"
)
BRIEF = "Be brief and friendly. Use at most two sentences.\n"
PASSAGES = "\nPassages:\n{{passages}}"

CRITERIA = (
    {"name": "cites", "text": "The answer cites the number of a passage it was given."},
    {"name": "grounded", "text": "Every claim of the answer occurs in the passage it cites."},
    {"name": "answers", "text": "The answer answers the question."},
)
RUBRIC = "You grade answers of a support assistant. Fail an answer that breaks any criterion."
LENIENT = "You grade answers of a support assistant. Be generous: pass every answer that is polite and in English."

#: A rule that somebody added in a hurry: it takes ordinary words of the product for an attempt to steal credentials.
OVERBROAD = {
    "name": "credential-theft",
    "patterns": [r"(?i)\b(keys?|tokens?|secrets?|prompts?|versions?|budgets?)\b"],
    "action": "block",
    "reason": "asks about credentials",
}


@dataclass(frozen=True, kw_only=True)
class Models:
    """Which models answer and judge: the simulated ones, or those of a real provider."""

    answer: str = "scripted/steady"
    reserve: str = "scripted/reserve"
    judge: str = "scripted/judge"


def prompt(*rules: str) -> dict[str, Any]:
    """The content of a version of the assistant's prompt."""
    return {
        "messages": [{"role": "system", "content": INTRODUCTION + "".join(rules) + PASSAGES}],
        "variables": {},
        "corpus": f"corpora:/{CORPUS}@production",
        "passages": 4,
    }


def judge(model: str, rubric: str, criteria: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The content of a version of the judge."""
    return {"model": model, "rubric": rubric, "criteria": [dict(item) for item in criteria]}


def overbroad_policy() -> dict[str, Any]:
    """The shipped policy with one rule too many, and without the budget that would have kept it from going live."""
    stages = dict(DEFAULT_POLICY["stages"])
    stages["input"] = [*stages["input"], OVERBROAD]
    return {"stages": stages, "fail": DEFAULT_POLICY["fail"]}


def documents() -> list[Document]:
    """Trimtab's own documentation: inside the package when installed, beside it in a checkout."""
    packed = Path(str(resources.files("trimtab"))) / "demo" / "docs"
    folder = packed if packed.is_dir() else Path(str(resources.files("trimtab"))).parents[1] / "docs"
    # They are as old as this installation of them, whenever the demo is run.
    return [replace(document, updated_ns=now_ns()) for document in load_markdown(folder)]


async def furnish(house: House, models: Models) -> None:
    """Register and publish everything that the sample application needs, each as a first good version."""
    registry, actor = house.registry, "demo"
    snapshot = await house.corpora.build(CORPUS, documents(), author=actor, note="the documentation as it is")
    await registry.move_label("corpora", CORPUS, "production", snapshot.number, actor=actor, note=snapshot.note)
    await publish(registry, "prompts", PROMPT, prompt(RULES), actor=actor, note="answers with citations")
    await publish(registry, "judges", JUDGE, judge(models.judge, RUBRIC, CRITERIA), actor=actor, note="three criteria")
    items = {"kind": "golden", "cases": await golden(house)}
    await publish(registry, "datasets", GOLDEN, items, actor=actor, note="labelled by experts")
    await publish(
        registry,
        "routes",
        ROUTE,
        {
            "targets": [{"model": models.answer, "weight": 1.0}],
            "fallback": [models.reserve],
            "strategy": "ordered",
            "attempts": 3,
            "timeout": {"first_byte": 10.0, "total": 60.0},
            "guard": f"guards:/{GUARD}@production",
            "prompt": f"prompts:/{PROMPT}@production",
        },
        actor=actor,
        note="the assistant's route",
    )


async def golden(house: House) -> list[dict[str, Any]]:
    """Judge items with a known verdict, made from the documentation: one good answer, two bad ones for each page."""
    version = house.registry.resolve(f"corpora:/{CORPUS}@production").version
    cases: list[dict[str, Any]] = []
    for page in documents():
        found = [p for p in await house.corpora.search(version, page.title, 4) if p.document == page.id]
        sentences = [s.strip() for p in found for s in p.text.split(". ") if 8 <= len(s.split()) <= 30]
        if len(sentences) < 2:
            continue
        passages = [{"number": 1, "title": found[0].title, "source": found[0].source, "text": found[0].text}]
        fact = next((s for s in sentences if s in found[0].text), "")
        if not fact:
            continue
        question = f"What do the docs say about this: {' '.join(fact.rstrip('.').split()[:9])}?"
        item = {"input": question, "passages": passages}
        cases += [
            {**item, "id": f"{page.id}-good", "answer": f"{fact.rstrip('.')}. [1]", "expected": "pass"},
            {**item, "id": f"{page.id}-uncited", "answer": f"{fact.rstrip('.')}.", "expected": "fail"},
            {
                **item,
                "id": f"{page.id}-invented",
                "answer": "Please contact the sales department during office hours to arrange a refund. [1]",
                "expected": "fail",
            },
        ]
    return cases
