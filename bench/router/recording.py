"""The recorded conversation trace: who asked when, how long it was, and which blocks it was made of."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parent / "mooncake_conversation.jsonl.gz"
BLOCK = 512


class Request(NamedTuple):
    """One request: seconds since the trace's start, tokens in and out, the names of the prompt's blocks."""

    at: float
    input: int
    output: int
    blocks: tuple[int, ...]


def read(path: Path = FILE) -> list[Request]:
    """Every request, in order of time."""
    with gzip.open(path, "rt", encoding="ascii") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Request(row["timestamp"] / 1000, row["input_length"], row["output_length"], tuple(row["hash_ids"]))
        for row in rows
    ]
