"""Files with one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from trimtab.core import BadInput


def objects_in(text: str, example: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each object with the words for its line; empty lines are passed over. Raises BadInput naming the line."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadInput(f"is not JSON: {error}.", field=f"line {number}", mend="Write one object a line.") from error
        if not isinstance(row, dict):
            raise BadInput("is no object.", field=f"line {number}", mend=f"Write {example}.")
        yield f"line {number}", row
