"""Types that msgspec reads rows into, made known to it before any thread needs them."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=Any)


def described(kind: T) -> T:
    """The same type, described to msgspec at once.

    msgspec describes a dataclass or struct when it first meets it, and shows the unfinished description to other
    threads meanwhile: two threads that meet the same type at the same time crash the process (seen with 0.22). So a
    type that threads convert to is described while its module is imported.
    """
    msgspec.json.Decoder(kind)
    return kind
