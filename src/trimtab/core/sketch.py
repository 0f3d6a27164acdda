"""A sketch of an embedding: enough to see that questions are embedded otherwise than before, too little to search by.

Beside it stand the attributes of spans that tell of the index that a search asks.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from typing import Any

#: Attributes of spans: the sketch; up to when the index has its sources and when the newest of them changed, in
#: nanoseconds since 1970 UTC; and the version of the index.
VECTOR = "vector"
INDEX_WATERMARK, INDEX_SOURCE, INDEX_VERSION = (
    "trimtab.index.watermark", "trimtab.index.source", "trimtab.index.version",
)  # fmt: skip
#: Axes of a vector that a sketch keeps. Another model has other values on each of them.
SKETCHED = 64
#: Axes of a vector at most.
_MOST = 65_536


def sketch(vector: object) -> dict[str, Any] | None:
    """``norm``, the length of the vector, ``dimensions``, and ``first``, its values on the first axes.

    The vector is a list of numbers or base64 of 32-bit floats, as OpenAI's API gives it; None for anything else.
    """
    values = _decoded(vector) if isinstance(vector, str) else vector
    if not isinstance(values, list | tuple) or not 0 < len(values) <= _MOST:
        return None
    try:
        norm = math.hypot(*values)
        first = [round(float(value), 5) for value in values[:SKETCHED]]
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(norm) or not all(map(math.isfinite, first)):
        return None
    return {"norm": round(norm, 5), "dimensions": len(values), "first": first}


def _decoded(text: str) -> Sequence[float] | None:
    if len(text) > 8 * _MOST:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return struct.unpack(f"<{len(data) // 4}f", data) if data and len(data) % 4 == 0 else None
