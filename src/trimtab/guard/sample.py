"""The built-in cases of ``trimtab guard test``: small, from published sets, each record with its source and licence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

from .measure import Case, cases_from


@cache
def builtin() -> Sequence[Case]:
    """Good requests (ordinary and hard) and attacks of several kinds. They take part in training: see the docs."""
    packed = resources.files(__package__).joinpath("builtin.jsonl.gz").read_bytes()
    records = [json.loads(line) for line in gzip.decompress(packed).decode().splitlines()]
    return tuple(case for record in records for case in cases_from([record]))
