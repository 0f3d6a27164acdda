"""Identifiers and the clock: the only impure corner of the core, passed as arguments wherever logic needs them."""

from __future__ import annotations

import os
import secrets
import time
from collections import deque

_AT_ONCE = 128
#: 16 and 20 random hex digits each, fetched from the system many at a time: a call for each id costs a request more
#: than all the rest of its ids. A forked process must not have its parent's.
_random: deque[str] = deque()
_longer: deque[str] = deque()
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_random.clear)
    os.register_at_fork(after_in_child=_longer.clear)


def new_trace_id() -> str:
    """32 hex digits: the time in milliseconds, then 80 random bits.

    Traces that come one after the other lie beside each other in every index, which spares a store most of its writing.
    """
    while True:
        try:
            return f"{time.time_ns() // 1_000_000:012x}{_longer.pop()}"
        except IndexError:  # also when another thread was quicker
            _longer.extend(_drawn(20))


def new_span_id() -> str:
    """16 hex digits, random."""
    while True:
        try:
            return _random.pop()
        except IndexError:  # also when another thread was quicker
            _random.extend(_drawn(16))


def _drawn(digits: int) -> list[str]:
    drawn = secrets.token_hex(digits // 2 * _AT_ONCE)
    return [drawn[at : at + digits] for at in range(0, len(drawn), digits)]


def new_id(prefix: str) -> str:
    """A short random id such as ``rol_3f9c0a12be``."""
    return f"{prefix}_{secrets.token_hex(5)}"


#: Nanoseconds since 1970 UTC.
now_ns = time.time_ns
