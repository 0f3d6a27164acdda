"""Suites of detection by the default policy: injection and false positives, disguised, indirect, several turns.

A suite is a function from the folder of data to a dictionary of figures; ``SUITES`` names them.
"""

from __future__ import annotations

import gzip
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from trimtab.guard import DEFAULT_POLICY, Context, Policy, Turn, builtin, compile_policy
from trimtab.stats import wilson

Record = Mapping[str, Any]


def records(folder: Path | None) -> list[dict[str, Any]]:
    """Every record of the folder's ``*.jsonl`` and ``*.jsonl.gz``, or the built-in cases without a folder."""
    if folder is None:
        return [
            {
                "messages": [*(turn._asdict() | {"content": turn.text} for turn in case.turns),
                             {"role": "user", "content": case.text}],
                "label": "attack" if case.attack else "benign",
                "category": {"obfuscated": "obf_", "multi-turn": "multiturn_"}.get(case.group, case.group) + (
                    "_document" if case.source == "tool" and not case.attack else ""),
                "source_kind": case.source,
            }
            for case in builtin()
        ]  # fmt: skip
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.jsonl*")):
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        name = path.name.split(".")[0]
        found += [{**json.loads(line), "file": name} for line in raw.decode().split("\n") if line.strip()]
    return found


def share(hits: int, n: int) -> dict[str, Any]:
    """A rate with its 95 % interval."""
    low, high = wilson(hits, n) if n else (0.0, 1.0)
    return {
        "hits": hits,
        "n": n,
        "share": round(hits / n, 4) if n else None,
        "low": round(low, 4),
        "high": round(high, 4),
    }


def kind_of(record: Record) -> str:
    """Which suite a record belongs to."""
    category, name = str(record.get("category", "")), str(record.get("file", ""))
    if name.startswith("multiturn") or category.startswith("multiturn") or len(record.get("messages") or ()) > 1:
        return "multiturn"
    if name.startswith("obfuscated") or category.startswith(("obf_", "language_", "obfuscated")):
        return "obfuscated"
    document = ("indirect", "tool_result", "document", "context")
    if record.get("source_kind") == "tool" or name.startswith(("indirect", "context")) or category.startswith(document):
        return "indirect"
    if record.get("label") in ("attack", "benign"):
        return "direct"
    return "other"


def verdict(record: Record, source: str, policy: Policy) -> tuple[str, set[str]]:
    """The policy's action and the rules that stopped or changed something."""
    messages = record.get("messages")
    if messages:
        text = str(messages[-1].get("content", ""))
        turns = tuple(Turn(str(each.get("role", "user")), str(each.get("content", ""))) for each in messages[:-1])
    else:
        text, turns = str(record.get("text", "")), ()
    found = policy.scan("input", text, context=Context(source=source, turns=turns))
    return found.action, {each.rule for each in found.findings if each.action not in ("flag", "allow")}


def suite(
    folder: Path | None, kind: str, source: str, acting: Callable[[str], bool], policy: Policy | None = None
) -> dict[str, Any]:
    """Recall and false positives of one suite, whole and by category; of the default policy unless another is given."""
    policy = policy or compile_policy(DEFAULT_POLICY)
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    times: list[float] = []
    for record in records(folder):
        label = "attack" if record.get("label") == "attack" else str(record.get("label"))
        if kind_of(record) != kind or label not in ("attack", "benign"):
            continue
        began = time.perf_counter()
        action, _rules = verdict(record, source, policy)
        times.append((time.perf_counter() - began) * 1000)
        tally = counts[(label, str(record.get("category", "")))]
        tally[0] += acting(action)
        tally[1] += 1
    times.sort()
    return {
        "recall": _of(counts, "attack"),
        "false_positives": _of(counts, "benign"),
        "hard_false_positives": _of(counts, "benign", "hard"),
        "by_category": {f"{label}: {name}": share(*tally) for (label, name), tally in sorted(counts.items())},
        "p50_ms": round(times[len(times) // 2], 3) if times else None,
        "p95_ms": round(times[int(len(times) * 0.95)], 3) if times else None,
    }


def _of(counts: Mapping[tuple[str, str], Iterable[int]], label: str, part: str = "") -> dict[str, Any]:
    """The sum over categories; hard benign texts are apart from ordinary ones."""
    chosen = [
        tuple(t)
        for (lab, name), t in counts.items()
        if lab == label and (label == "attack" or ("hard" in name) == bool(part))
    ]
    return share(sum(t[0] for t in chosen), sum(t[1] for t in chosen))


def _stops(action: str) -> bool:
    return action in ("block", "escalate")


def _acts(action: str) -> bool:
    return action != "allow"


def alone(folder: Path | None, kind: str, source: str, name: str) -> dict[str, Any]:
    """Recall and false positives of one scanner at its own threshold, without the rest of the policy."""
    policy = compile_policy({"stages": {"input": [{"scanner": name, "action": "block"}]}})
    found = suite(folder, kind, source, _stops, policy)
    return {"scanner": name, "on": "alone", **{key: value for key, value in found.items() if not key.endswith("_ms")}}


#: Indirect instructions are taken out of the document, so that a redaction counts as found.
SUITES: Mapping[str, Callable[[Path | None], dict[str, Any]]] = {
    "injection": lambda folder: suite(folder, "direct", "user", _stops),
    "obfuscated": lambda folder: suite(folder, "obfuscated", "user", _stops),
    "indirect": lambda folder: suite(folder, "indirect", "tool", _acts),
    "multiturn": lambda folder: suite(folder, "multiturn", "user", _stops),
    "injection-alone": lambda folder: alone(folder, "direct", "user", "injection"),
    "indirect-alone": lambda folder: alone(folder, "indirect", "tool", "indirect-injection"),
    "conversation-alone": lambda folder: alone(folder, "multiturn", "user", "conversation"),
}
