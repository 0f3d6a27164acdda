"""Recorded votes of real judges (LLMBar): agreement, order and length biases.

The folder holds ``pairwise_llmbar_items.jsonl.gz`` ({id, set, output_1, output_2, label}) and
``pairwise_llmbar_votes.jsonl.gz`` ({item, judge, strategy, swapped, winner}), made from github.com/princeton-nlp/LLMBar
(MIT), ``Dataset/*/dataset.json`` and ``evaluators/*/*/result.json``.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from trimtab.evals import PairVote, diagnose_pairs
from trimtab.stats import confusion, kappa_interval

SHOWN = (
    ("Processed/FairEval", "ChatGPT", "Vanilla_NoRules"),
    ("Processed/FairEval", "GPT-4", "Vanilla_NoRules"),
    ("Processed/MT-Bench", "ChatGPT", "Vanilla_NoRules"),
    ("Processed/MT-Bench", "GPT-4", "Vanilla_NoRules"),
    ("LLMBar/Adversarial/Neighbor", "ChatGPT", "Vanilla"),
    ("LLMBar/Adversarial/Neighbor", "GPT-4", "Vanilla"),
    ("LLMBar/Adversarial/Neighbor", "GPT-4", "Metrics_Reference"),
    ("LLMBar/Natural", "ChatGPT", "Vanilla"),
    ("LLMBar/Natural", "GPT-4", "Swap_CoT"),
)
_VALUES = {"1": 1.0, "2": 0.0}


def report(folder: Path) -> list[dict[str, Any]]:
    """One row for each of SHOWN that the folder holds."""
    items = {row["id"]: row for row in _rows(folder / "pairwise_llmbar_items.jsonl.gz")}
    said: dict[tuple[str, str, str], dict[str, dict[bool, str]]] = defaultdict(lambda: defaultdict(dict))
    for row in _rows(folder / "pairwise_llmbar_votes.jsonl.gz"):
        said[items[row["item"]]["set"], row["judge"], row["strategy"]][row["item"]][row["swapped"]] = row["winner"]
    found = []
    for key in SHOWN:
        votes = [
            PairVote(
                case=item,
                orders=(_VALUES[orders[False]], _VALUES[orders[True]]),
                better=_VALUES.get(str(items[item]["label"])),
            )
            for item, orders in said[key].items()
            if set(orders) == {False, True} and set(orders.values()) <= _VALUES.keys()
        ]
        if votes:
            texts = {vote.case: (items[vote.case]["output_1"], items[vote.case]["output_2"]) for vote in votes}
            found.append({"set": key[0], "judge": key[1], "strategy": key[2], **_row(votes, texts)})
    return found


def _row(votes: list[PairVote], texts: dict[str, tuple[str, str]]) -> dict[str, Any]:
    diagnosis = diagnose_pairs(votes, texts)
    told = [(int(vote.better), int(vote.orders[0])) for vote in votes if vote.better in (0.0, 1.0)]
    kappa = kappa_interval(confusion(told, (0, 1)))
    return {
        "pairs": len(votes),
        "right, one order": round(sum(a == b for a, b in told) / len(told), 3),
        "kappa, one order": [round(x, 3) for x in (kappa.value, kappa.low, kappa.high)],
        "flips": round(diagnosis.flips.value, 3),
        "first wins": round(diagnosis.picks_first.value, 3),
        "biases found": [f"{b.name} {b.effect:+.2f} (p {b.p:.1g})" for b in diagnosis.found],
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
