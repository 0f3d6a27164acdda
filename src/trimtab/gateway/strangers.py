"""Requests without a key that opens the door: counted, and some of them kept, so that they can be explained.

Nothing that a stranger sends may fill the disk, so at most BURST refusals are kept at once and then one every EVERY_S
seconds; all are counted. Of a secret that begins like one of ours its first seven characters are kept, the same that
every list of keys shows; of any other nothing is, for it may be the key of a vendor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trimtab.core import Unauthorized

from .keys import Key, prefix_of
from .refusals import Refusal, Step

if TYPE_CHECKING:
    from .live import LiveTrace

BURST, EVERY_S = 20, 10.0


class Strangers:
    """The refusals with 401 of one process. Times are nanoseconds, passed in."""

    def __init__(self) -> None:
        self.total = 0
        self._left = float(BURST)
        self._at = 0

    def refusal(self, live: LiveTrace, header: str, error: Unauthorized, keys: Iterable[Key]) -> Refusal | None:
        """Count one; what to keep of it, None while many come. ``header`` is what stood in ``Authorization``."""
        self.total += 1
        if not self._may_keep(live.start_ns):
            return None
        prefix = prefix_of(header.partition(" ")[2].strip())
        return Refusal(
            id=live.trace_id,
            time_ns=live.start_ns,
            key=prefix,
            team="",
            route="",
            code=error.code,
            status=error.status,
            message=error.message,
            mend=error.mend,
            checks=(Step(check="key", scope="key", who=prefix, verdict="refused", said=said(header, prefix, keys)),),
        )

    def _may_keep(self, now_ns: int) -> bool:
        self._left = min(float(BURST), self._left + max(0, now_ns - self._at) / 1e9 / EVERY_S)
        self._at = max(self._at, now_ns)
        if self._left < 1:
            return False
        self._left -= 1
        return True


def said(header: str, prefix: str, keys: Iterable[Key]) -> str:
    """What can be told of a secret that opened nothing, by how it begins."""
    if not header:
        return "there was no Authorization header"
    if not prefix:
        return "what was sent does not begin with tt-, so it is no key of Trimtab"
    alike = [key for key in keys if key.prefix == prefix]
    if not alike:
        return f"no key begins with {prefix}: it was rotated, or was made for another server"
    names = ", ".join(repr(key.name) for key in alike[:3])
    if any(not key.disabled for key in alike):
        return f"{names} begins with {prefix} too: the secret was cut, mistyped, or has expired"
    return f"{names} begins with {prefix}, and is disabled"
