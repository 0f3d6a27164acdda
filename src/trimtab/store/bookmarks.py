"""Positions as text, and whose they are: what reads along may come back with one from before a store was changed."""

from __future__ import annotations

import re
from typing import Final

from trimtab.core import BadInput

#: Numbers alone are the embedded store's. Others begin with a letter for their kind and eight hex digits for the store.
_SHAPE: Final = re.compile(r"[0-9]{1,18}|[pc][0-9a-f]{8}-[0-9]{1,19}(?:\.[0-9a-f]{12}-[0-9]{1,19})*")


def own(position: str, prefix: str) -> str | None:
    """What a position says behind the store's prefix; None when it is that of another store. Empty stays empty.

    Raises BadInput for what is no position of any store.
    """
    if not position:
        return ""
    if not _SHAPE.fullmatch(position):
        raise BadInput(f"{position!r} is no position.", field="position", mend="Use one that tail or end returned.")
    if prefix:
        return position[len(prefix) :] if position.startswith(prefix) else None
    return position if position.isdecimal() else None
