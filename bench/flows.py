#!/usr/bin/env python3
"""How well dialogue flows recognise what a message means by the words of a few examples, and from which likeness on.

The data is CLINC150 (Larson et al. 2019, "An Evaluation Dataset for Intent Classification and Out-of-Scope
Prediction", CC BY 3.0): 150 intents with messages of people, and messages that belong to none of them. For each of a
number of made policies, some intents are drawn with a few training messages each. Asked are the test messages of those
intents, messages of other intents, and those out of scope. Recall is the share of the first that get their own intent;
a false match is a message of the rest that gets any.

    python bench/flows.py --data data_full.json [--policies N]
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab.guard.dialogue import Likeness
from trimtab.guard.dialogue.intents import usual_threshold

RESULT = Path(__file__).parent / "results" / "flows.json"
#: Intents of a policy and examples of each.
SHAPES = ((5, 3), (5, 10), (10, 3), (10, 6), (10, 20), (25, 6), (50, 10))
THRESHOLDS = (0.25, 0.3, 0.33, 0.35, 0.37, 0.4, 0.45, 0.5, 0.6)
_ASKED, _ELSEWHERE, _OUTSIDE = 10, 60, 60


def main() -> None:
    """Measure every shape of policy and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data_full.json of CLINC150")
    parser.add_argument("--policies", type=int, default=8, help="policies drawn for each shape")
    chosen = parser.parse_args()
    messages, outside = read(chosen.data)
    shapes: dict[str, Any] = {}
    for number, (intents, examples) in enumerate(SHAPES, 1):
        print(f"\r{number}/{len(SHAPES)} {intents} intents, {examples} examples  ", end="", file=sys.stderr, flush=True)
        shapes[f"{intents} intents, {examples} examples"] = measured(
            messages, outside, intents, examples, chosen.policies
        )
    print(file=sys.stderr)
    result = {
        "command": "python bench/flows.py --data data_full.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "policies": chosen.policies,
        "shapes": shapes,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, figures in shapes.items():
        print(name, figures["usual"])


def read(path: Path) -> tuple[Mapping[str, Mapping[str, list[str]]], Sequence[str]]:
    """The messages by intent and part, and those out of scope."""
    data = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part in ("train", "test"):
        for text, intent in data[part]:
            found[intent][part].append(text)
    return found, [text for text, _ in data["oos_test"]]


def measured(
    messages: Mapping[str, Mapping[str, list[str]]], outside: Sequence[str], intents: int, examples: int, policies: int
) -> dict[str, Any]:
    """The figures of one shape of policy."""
    asked: list[tuple[str, str, float]] = []
    rest: list[float] = []
    began, looked = time.process_time(), 0
    for seed in range(policies):
        draw = random.Random(seed)
        names = draw.sample(sorted(messages), intents)
        likeness = Likeness({name: draw.sample(messages[name]["train"], examples) for name in names})
        others = draw.sample([name for name in sorted(messages) if name not in names], _ELSEWHERE // 2)
        for name in names:
            for text in messages[name]["test"][:_ASKED]:
                found = likeness.find(text, 0.0)
                asked.append((name, found.intent, found.score))
        elsewhere = [text for name in others for text in messages[name]["test"][:2]]
        rest += [likeness.find(text, 0.0).score for text in (*draw.sample(list(outside), _OUTSIDE), *elsewhere)]
        looked += intents * _ASKED + _OUTSIDE + len(elsewhere)
    return {
        "asked": len(asked),
        "rest": len(rest),
        "usual": {"threshold": round(usual_threshold(intents), 3), **at(asked, rest, usual_threshold(intents))},
        "ms_a_message": round((time.process_time() - began) / looked * 1000, 3),
        "by_threshold": {str(threshold): at(asked, rest, threshold) for threshold in THRESHOLDS},
    }


def at(asked: Sequence[tuple[str, str, float]], rest: Sequence[float], threshold: float) -> dict[str, float]:
    """What a threshold finds, mistakes and takes for something that it is not."""
    return {
        "recall": round(sum(score >= threshold and own == got for own, got, score in asked) / len(asked), 3),
        "wrong_intent": round(sum(score >= threshold and own != got for own, got, score in asked) / len(asked), 3),
        "false_matches": round(sum(score >= threshold for score in rest) / len(rest), 4),
    }


if __name__ == "__main__":
    main()
