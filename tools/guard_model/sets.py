"""The training sets of the three models: published sets from a folder, and made ones from the grammar."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, NamedTuple

from trimtab.guard.text import read

from . import (
    made_agents,
    made_attacks,
    made_benign,
    made_documents,
    made_harm,
    made_manuals,
    made_personas,
    made_requests,
    made_short,
    made_tongues,
)
from .grammar import expand, many
from .rows import CHARACTERS

SEED = 7
#: Instructions that people could send each other as well, or that only announce one, count less.
LESS = {"asb_tool": 0.3, "tasktracker_trigger": 0.5, "tasktracker_task": 0.5, "made_agents": 0.3}
MORE = 4.0
#: Categories of short requests that have no place in a document.
ASKED = frozenset(
    (
        "user_prompt",
        "instruction",
        "agent_request",
        "jailbreak_demo_benign",
        "hard_notinject_one",
        "bench_question",
        "instruction_user",
        "everyday",
        "function_call",
        "advice",
    )
)


class Example(NamedTuple):
    """One text: 1 for what the model looks for; its source (a holdout unit); what kind of text it is; its weight."""

    text: str
    label: int
    source: str
    kind: str
    weight: float = 1.0


def published(folder: Path, name: str) -> list[dict[str, Any]]:
    """The records of one file of the folder: ``name.jsonl.gz``, one object a line (see docs/guard-model.md)."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def plain(text: str) -> str:
    """A text as the scanners see it."""
    return read(text[:CHARACTERS], decode=False).plain.text


def injection_sets(folder: Path) -> list[Example]:
    """Attacks on the assistant (injection, jailbreak, prompt extraction) against everything else that people send."""
    chance = random.Random(SEED)
    found = [Example(r["text"], 1, _origin(r), "attack") for r in published(folder, "direct_registry")]
    found += [Example(r["text"], 1, _origin(r), "attack") for r in published(folder, "direct_fetched")]
    found += [Example(r["text"], 1, _origin(r), "attack") for r in published(folder, "more_direct")]
    for name in ("benign_fetched", "benign_registry", "more_benign"):
        found += [Example(r["text"], 0, _origin(r), _kind(r)) for r in published(folder, name)]
    for name in ("context_fetched", "context_registry", "more_context"):
        found += [Example(r["text"], 0, _origin(r), "context") for r in published(folder, name)]
    attacks = many(made_attacks.DIRECT + made_attacks.EXTRACTION, made_attacks.SLOTS, 40, chance)
    for templates in made_attacks.LANGUAGES.values():
        attacks += many(templates, made_attacks.SLOTS, 12, chance)
    ordinary = many(made_benign.ORDINARY, made_benign.SLOTS, 25, chance)
    hard = many(made_benign.HARD, made_benign.SLOTS, 25, chance)
    hard += [text for texts in made_benign.LANGUAGES.values() for text in texts]
    hard += many(made_benign.CODE, made_benign.SLOTS, 16, chance)
    hosts = [each.text for each in found if not each.label and len(each.text) < 900] + ordinary
    hidden = [_within(text, chance.choice(hosts), chance) for text in chance.sample(attacks, 900)]
    attacks += made_personas.attacks(1200, chance)
    attacks += many(made_agents.DIRECT, made_agents.SLOTS, 30, chance)
    hard += made_personas.honest(1200, chance)
    hard += many(made_agents.HONEST, made_agents.SLOTS, 30, chance)
    ordinary += made_tongues.everyday(300, chance)
    ordinary += many(made_short.ORDERS, made_short.SLOTS, 30, chance)
    hard += many(made_short.ABOUT, made_short.SLOTS, 30, chance)
    found += [Example(text, 1, "made", "attack") for text in attacks + hidden]
    found += [Example(text, 0, "made", "ordinary") for text in ordinary]
    found += [Example(text, 0, "made", "hard") for text in hard]
    return found + [Example(text, 0, "made", "context") for text in made_pages(400, chance)]


def instruction_sets(folder: Path) -> list[Example]:
    """Sentences in documents that speak to a model, against the sentences that documents hold by right."""
    chance = random.Random(SEED)
    found = []
    for r in [
        r for name in ("indirect_fetched", "indirect_registry", "more_indirect") for r in published(folder, name)
    ]:
        wanted = r.get("injected") or r["text"]
        found.append(Example(wanted, 1, _origin(r), "attack", LESS.get(r["category"], 1.0)))
    found += [Example(text, 1, source, "request") for text, source in _short_requests(folder)]
    found += [Example(text, 0, "Python language reference (PSF-2.0)", "prose") for text in _reference(chance)]
    for name in ("context_fetched", "context_registry"):
        # Real documents are few: each counts three times.
        found += [Example(r["text"], 0, _origin(r), "context") for r in published(folder, name) for _ in range(3)]
    found += [Example(r["text"], 0, _origin(r), "context") for r in published(folder, "more_context")]
    for r in published(folder, "pii_fetched") + published(folder, "toxicity_registry"):
        found.append(Example(r["text"], 0, _origin(r), "prose"))
    for r in published(folder, "benign_fetched"):
        if "PINT" in r["category"] and "chat" not in r["category"]:
            found.append(Example(r["text"], 0, _origin(r), "prose"))
    slots: dict[str, list[str]] = {**made_documents.SLOTS}
    for name, more in made_requests.MORE.items():
        slots[name] = [*slots.get(name, ()), *more]
    injected = many(made_documents.INJECTED, slots, 40, chance)
    snippets = many(made_documents.SNIPPETS, slots, 60, chance)
    found += [Example(text, 1, "made", "attack", MORE) for text in snippets]
    injected += many([task[:1].upper() + task[1:] + "." for task in made_requests.MORE["act"]], slots, 12, chance)
    agents = many(made_agents.HIDDEN, made_agents.SLOTS, 60, chance)
    found += [Example(text, 1, "made", "attack", LESS["made_agents"]) for text in agents]
    found += [Example(text, 1, "made", "attack") for text in injected]
    attacks = many(made_attacks.DIRECT + made_attacks.EXTRACTION, made_attacks.SLOTS, 6, chance)
    attacks += [text for t in made_attacks.LANGUAGES.values() for text in many(t, made_attacks.SLOTS, 5, chance)]
    found += [Example(text, 1, "made", "attack") for text in attacks]
    found += [Example(text, 0, "made", "context") for text in many(made_benign.CODE, made_benign.SLOTS, 12, chance)]
    found += [Example(text, 0, "made", "manual") for text in made_manual(1200, chance)]
    return found + [Example(text, 0, "made", "context") for text in made_pages(1500, chance)]


def harm_sets(folder: Path) -> list[Example]:
    """Requests for harm against ordinary and hard benign requests."""
    chance = random.Random(SEED)
    topics_of_harm = ("advbench", "malicious", "discrimination")
    found = [
        Example(r["text"], 1, _origin(r), "harmful")
        for r in published(folder, "harmful_registry")
        if any(part in r["category"] for part in topics_of_harm)
    ]
    found += [Example(r["text"], 1, _origin(r), "harmful") for r in published(folder, "harmful_fetched")]
    for name in ("benign_fetched", "benign_registry"):
        found += [Example(r["text"], 0, _origin(r), _kind(r)) for r in published(folder, name)]
    for goals, label in ((made_harm.BAD, 1), (made_harm.GOOD, 0)):
        for goal in goals:
            for shape in chance.sample(made_harm.SHAPES, 9):
                text = expand(shape.replace("{goal}", goal), made_harm.SLOTS, chance)
                found.append(Example(text, label, "made", "harmful" if label else "twin"))
            found += [Example(text, label, "made", "fragment") for text in _fragments(goal, chance)]
    found += [
        Example(text, 1, each.source, "fragment")
        for each in list(found)
        if "advbench" in each.source
        for text in _fragments(each.text, chance)[:1]
    ]
    found += [Example(text, 0, "made", "around") for text in many(made_harm.AROUND, made_harm.SLOTS, 40, chance)]
    plain_asks = many(made_benign.ORDINARY + made_benign.HARD, made_benign.SLOTS, 12, chance)
    short = [each for each in found if not each.label and each.kind in ("ordinary", "hard") and len(each.text) < 400]
    found += [Example(text, 0, each.source, "fragment") for each in short for text in _fragments(each.text, chance)[:1]]
    found += [Example(text, 0, "made", "fragment") for each in plain_asks for text in _fragments(each, chance)[:1]]
    return found + [Example(text, 0, "made", "hard") for text in plain_asks]


def _fragments(goal: str, chance: random.Random) -> list[str]:
    """The end of a goal, as an attack over several turns names its topic."""
    words = expand(goal, made_harm.SLOTS, chance).split()
    return [" ".join(words[-length:]) for length in (3, 5) if len(words) > length]


def _short_requests(folder: Path) -> list[tuple[str, str]]:
    """What people ask of an assistant in a sentence or two: it has no place in a document."""
    asked = [r for name in ("benign_fetched", "benign_registry", "more_benign") for r in published(folder, name)]
    return [(r["text"], _origin(r)) for r in asked if r["category"] in ASKED and len(r["text"]) < 160]


def _reference(chance: random.Random) -> list[str]:
    """Paragraphs of the Python language reference, as examples of technical prose."""
    pages = [part for page in topics.values() for part in page.split("\n\n") if 80 < len(part) < 900]
    return chance.sample(sorted(pages), 900)


def made_pages(count: int, chance: random.Random) -> list[str]:
    """Made documents: letters, tables and notes put together from plain sentences."""
    slots = {**made_documents.SLOTS, **made_documents.PLAIN_SLOTS}
    sentences = many(made_documents.PLAIN, slots, 20, chance)
    return [chance.choice((" ", "\n")).join(chance.sample(sentences, chance.randint(2, 10))) for _ in range(count)]


def made_manual(count: int, chance: random.Random) -> list[str]:
    """Made pages of manuals and help centres."""
    sentences = many(made_manuals.SENTENCES, made_manuals.SLOTS, 60, chance)
    return [chance.choice((" ", "\n")).join(chance.sample(sentences, chance.randint(3, 9))) for _ in range(count)]


def _within(text: str, host: str, chance: random.Random) -> str:
    return chance.choice((f"{host} {text}", f"{text}\n{host}", f"{host}\n\n{text}"))


def _origin(record: dict[str, Any]) -> str:
    return f"{record['source']} · {record['category']}"


def _kind(record: dict[str, Any]) -> str:
    return "hard" if "hard" in record["category"] else "ordinary"
