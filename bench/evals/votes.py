"""Recorded votes of real judges (LLMBar): agreement, order and length biases, and their figures beside a reference.

The folder holds ``pairwise_llmbar_items.jsonl.gz`` ({id, set, output_1, output_2, label}) and
``pairwise_llmbar_votes.jsonl.gz`` ({item, judge, strategy, swapped, winner, scores?}), made from
github.com/princeton-nlp/LLMBar (MIT). An excerpt is beside this file, see data/README.md.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from references import differences

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
#: What is known of these judges: they lean to the place (ChatGPT chooses the first answer of FairEval nine times in
#: ten), or to the longer answer (the pairs of Neighbor are made so that it is the worse one). GPT-4 on Neighbor is
#: known not to lean to the place.
KNOWN = {
    ("Processed/FairEval", "ChatGPT", "Vanilla_NoRules"): {"position"},
    ("Processed/MT-Bench", "ChatGPT", "Vanilla_NoRules"): {"position", "length"},
    ("LLMBar/Adversarial/Neighbor", "ChatGPT", "Vanilla"): {"position", "length"},
    ("LLMBar/Natural", "ChatGPT", "Vanilla"): {"position"},
}
STEADY = {("LLMBar/Adversarial/Neighbor", "GPT-4", "Vanilla"): {"position"}}
#: The excerpt in the tree.
EXCERPT = Path(__file__).parent / "data"
_VALUES = {"1": 1.0, "2": 0.0}
Said = dict[tuple[str, str, str], dict[str, dict[bool, str]]]


def report(folder: Path) -> dict[str, Any]:
    """The largest difference from the references, and one row for each of SHOWN that the folder holds."""
    items = {row["id"]: row for row in _rows(folder / "pairwise_llmbar_items.jsonl.gz")}
    said: Said = defaultdict(lambda: defaultdict(dict))
    scores: Said = defaultdict(lambda: defaultdict(dict))
    for row in _rows(folder / "pairwise_llmbar_votes.jsonl.gz"):
        key = items[row["item"]]["set"], row["judge"], row["strategy"]
        said[key][row["item"]][row["swapped"]] = row["winner"]
        ratings = row.get("scores") or ()
        if len(ratings) == 2 and all(str(rating).isdigit() for rating in ratings):
            scores[key][row["item"]][row["swapped"]] = " ".join(map(str, ratings))
    return {
        "source": "the excerpt in bench/evals/data" if folder == EXCERPT else "--data",
        "pairs": len(items),
        "votes": sum(len(orders) for votes in said.values() for orders in votes.values()),
        "reference": differences(items, said, scores),
        "judges": _judges(items, said),
    }


def _judges(items: dict[str, dict[str, Any]], said: Said) -> list[dict[str, Any]]:
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
        "biases found": {b.name: {"effect": round(b.effect, 3), "p": float(f"{b.p:.2g}")} for b in diagnosis.found},
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
