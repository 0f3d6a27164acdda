"""Limits of a key, in memory: requests a minute (a token bucket) and requests at once."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

from trimtab.core import LimitReached

from .keys import Key

_MINUTE_NS = 60_000_000_000


class Lease:
    """One admitted request. Leaving its ``with`` block gives the place back."""

    __slots__ = ("_key_id", "_limits")

    def __init__(self, limits: Limits, key_id: str) -> None:
        self._limits = limits
        self._key_id = key_id

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._key_id:
            self._limits.release(self._key_id)


class Limits:
    """Counts per key. A bucket holds one minute's requests and fills evenly, so a burst of that many is let through."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, int]] = {}  # key id -> tokens, when they were counted
        self._running: dict[str, int] = {}

    def admit(self, key: Key | None, now_ns: int) -> Lease:
        """A lease for one request. Raises LimitReached naming the limit, with the seconds until it is worth asking.

        No key is Trimtab's own request, which has no limits.
        """
        if key is None or not key.limits:
            return Lease(self, "")
        running = self._running.get(key.id, 0)
        parallel: Any = key.limits.get("max_parallel")
        if parallel is not None and running >= parallel:
            raise LimitReached(
                f"The key {key.name!r} has {running} requests running, max_parallel is {parallel}.",
                field="max_parallel",
                mend="Wait for one to finish.",
                retry_after=1.0,
            )
        rpm: Any = key.limits.get("rpm")
        if rpm is not None:
            self._take(key, int(rpm), now_ns)
        self._running[key.id] = running + 1
        return Lease(self, key.id)

    def release(self, key_id: str) -> None:
        """Give one place back."""
        left = self._running[key_id] - 1
        if left:
            self._running[key_id] = left
        else:
            del self._running[key_id]

    def _take(self, key: Key, rpm: int, now_ns: int) -> None:
        tokens, counted_ns = self._buckets.get(key.id, (float(rpm), now_ns))
        tokens = min(float(rpm), tokens + max(0, now_ns - counted_ns) * rpm / _MINUTE_NS)
        if tokens < 1.0:
            self._buckets[key.id] = (tokens, now_ns)
            raise LimitReached(
                f"The key {key.name!r} has used its rpm of {rpm} requests a minute.",
                field="rpm",
                mend="Ask less often, or have the limit raised.",
                retry_after=math.ceil((1.0 - tokens) * 60.0 / rpm * 1000) / 1000,
            )
        self._buckets[key.id] = (tokens - 1.0, now_ns)
