"""Suites of what has a form: secrets, personal data, and disguises that a reading undoes."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from detection import share

from trimtab.guard import SCANNERS, Match, read

_TESTS = Path(__file__).parent.parent.parent / "tests" / "guard" / "data"
_KINDS = {
    "CREDIT_CARD": "card-number", "EMAIL_ADDRESS": "email", "IBAN_CODE": "iban", "IP_ADDRESS": "ip-address",
    "PHONE_NUMBER": "phone", "US_SSN": "us-ssn", "US_DRIVER_LICENSE": "driver-licence",
}  # fmt: skip


def rows(folder: Path | None, ours: str, theirs: str) -> Iterator[dict[str, Any]]:
    """The cases of one kind: our own, or those of the folder whose file name begins with ``theirs``."""
    paths = [_TESTS / ours] if folder is None else sorted(folder.glob(f"{theirs}*.jsonl*"))
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def spans(row: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """The marked spans as (kind, start, end)."""
    found = []
    for span in row.get("spans") or ():
        if isinstance(span, Mapping):
            found.append((str(span["entity_type"]), int(span["start_position"]), int(span["end_position"])))
        else:
            found.append((str(span[0]) if len(span) == 3 else "SECRET", int(span[-2]), int(span[-1])))
    return found


def hits(name: str, text: str, **options: Any) -> list[Match]:
    """What a scanner finds at its own threshold."""
    card = SCANNERS[name]
    return [match for match in card.build(options)(read(text)) if match.score >= card.threshold]


def secrets(folder: Path | None) -> dict[str, Any]:
    """Recall over secrets, and false positives over look-alikes."""
    found = total = wrong = alike = 0
    missed: Counter[str] = Counter()
    for row in rows(folder, "secrets.jsonl.gz", "secret"):
        matches = hits("secrets", row["text"])
        if row["label"] != "secret":
            alike, wrong = alike + 1, wrong + bool(matches)
            continue
        hit = any(m.start < end and m.end > start for _, start, end in spans(row) for m in matches)
        total, found = total + 1, found + hit
        missed[str(row.get("kind") or row.get("category"))] += not hit
    return {
        "scanner": "secrets", "recall": share(found, total), "false_positives": share(wrong, alike),
        "missed": {kind: count for kind, count in missed.items() if count},
    }  # fmt: skip


def personal(folder: Path | None) -> dict[str, Any]:
    """F1 by span for each patterned kind."""
    right: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    texts = clean = fired = 0
    for row in rows(folder, "personal.jsonl.gz", "pii"):
        texts += 1
        marked = [(_KINDS[kind], start, end) for kind, start, end in spans(row) if kind in _KINDS]
        matches = hits("personal", row["text"], kinds=list(_KINDS.values()))
        used = set()
        for kind, start, end in marked:
            hit = [m for m in matches if m.kind == kind and m.start < end and m.end > start]
            used.update(hit)
            right[kind] += bool(hit)
            missed[kind] += not hit
        wrong.update(match.kind for match in matches if match not in used)
        if not marked:
            clean, fired = clean + 1, fired + bool(matches)
    kinds = sorted({*right, *missed, *wrong})
    sums = sum(right.values()), sum(missed.values()), sum(wrong.values())
    return {
        "scanner": "personal",
        "texts": texts,
        "f1": f1(*sums),
        "recall": share(sums[0], sums[0] + sums[1]),
        "false_positives": share(fired, clean),
        "by_kind": {
            kind: {"f1": f1(right[kind], missed[kind], wrong[kind]), "n": right[kind] + missed[kind]} for kind in kinds
        },
    }


def f1(right: int, missed: int, wrong: int) -> float:
    """The harmonic mean of precision and recall."""
    return round(2 * right / max(1, 2 * right + missed + wrong), 4)


def disguised(folder: Path | None) -> dict[str, Any]:
    """How often some reading shows the text before it was disguised, letter for letter."""
    counts: dict[str, list[int]] = {}
    for row in rows(folder, "disguised.jsonl.gz", "obfuscated"):
        if "plain" not in row:
            continue
        kind = str(row.get("kind") or row.get("category")).removesuffix("_benign")
        tally = counts.setdefault(kind, [0, 0])
        tally[0] += any(_letters(row["plain"]) in _letters(reading.text) for reading in read(row["text"]).readings)
        tally[1] += 1
    total = [sum(tally[n] for tally in counts.values()) for n in (0, 1)]
    return {"read_in_full": share(*total), "by_kind": {kind: share(*tally) for kind, tally in sorted(counts.items())}}


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalpha())


SUITES: Mapping[str, Callable[[Path | None], dict[str, Any]]] = {
    "secrets": secrets,
    "personal": personal,
    "disguised": disguised,
}
