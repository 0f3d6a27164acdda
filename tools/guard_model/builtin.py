"""Make the built-in sets of ``trimtab guard test``: ``python -m tools.guard_model.builtin FOLDER``.

Only records whose licence allows it are taken, each with its source and licence.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

from .sets import published

OUT = Path(__file__).parents[2] / "src" / "trimtab" / "guard" / "builtin.jsonl.gz"
#: From which file, which categories, which set they count in, the source, how many, and the longest text.
PARTS = (
    ("benign_fetched", ("user_prompt",), "ordinary", "user", 160, 900),
    ("benign_fetched", ("instruction",), "ordinary", "user", 90, 600),
    ("benign_registry", ("agent_request", "jailbreak_demo_benign"), "ordinary", "user", 50, 600),
    ("context_fetched", ("document_table", "document_code", "document_email"), "ordinary", "tool", 40, 1500),
    ("context_registry", ("tool_result_banking", "tool_result_slack"), "ordinary", "tool", 24, 1500),
    ("benign_fetched", ("hard_notinject_one",), "hard", "user", 113, 600),
    ("benign_fetched", ("hard_xstest_safe",), "hard", "user", 60, 600),
    ("direct_registry", ("prompt_extraction",), "extraction", "user", 28, 600),
    ("direct_registry", ("jailbreak_inthewild", "jailbreak_dan"), "jailbreak", "user", 50, 1500),
    ("obfuscated_made", ("obf_", "language_"), "obfuscated", "user", 60, 900),
    ("indirect_fetched", ("indirect_",), "indirect", "tool", 40, 1500),
    ("indirect_registry", ("tool_result_",), "indirect", "tool", 30, 1500),
    ("multiturn_made", ("payload_splitting", "deceptive_delight", "crescendo_like"), "multi-turn", "user", 45, 2000),
    ("multiturn_made", ("_shape_benign",), "hard", "user", 30, 2000),
)


def main(folder: Path) -> None:
    """Write the file."""
    chance = random.Random(11)
    records = []
    for name, categories, group, source, count, longest in PARTS:
        attack = group not in ("ordinary", "hard")
        fitting = [
            record
            for record in published(folder, name)
            if (record["label"] == "attack") == attack
            and any(part in record["category"] for part in categories)
            and ("benign" in categories[0]) == ("shape_benign" in record["category"])
            and _size(record) <= longest
        ]
        for record in sorted(chance.sample(fitting, min(count, len(fitting))), key=lambda each: str(each["id"])):
            kept = {key: record[key] for key in ("text", "messages") if key in record}
            label = "attack" if attack else "benign"
            records.append(
                {
                    **kept,
                    "label": label,
                    "set": group,
                    "source": source,
                    "origin": record["source"],
                    "licence": record["licence"],
                }
            )
    with OUT.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        for record in records:
            packed.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    print(f"{OUT}: {len(records)} records, {OUT.stat().st_size} bytes")


def _size(record: dict[str, Any]) -> int:
    return len(record["text"]) if "text" in record else sum(len(each["content"]) for each in record["messages"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
