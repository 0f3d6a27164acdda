"""Reading the change ledger: which label a change moved, and where a rollback leads."""

from __future__ import annotations

import re
from collections.abc import Iterable

from trimtab.core import Change

#: The label that production traffic resolves.
PRODUCTION = "production"

#: Actions that give everybody the version in ``after``.
_MOVES = frozenset({"label", "promote"})
_MARK = re.compile(r"@([A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:: |$)")


def marked(note: str, label: str) -> str:
    """The note as it is kept: a change of any label but production starts with ``@label``.

    The ledger holds no column for the label, and a rollback must not mix two labels of one asset.
    """
    if label != PRODUCTION or _MARK.match(note):
        return f"@{label}: {note}" if note else f"@{label}"
    return note


def label_of(change: Change) -> str:
    """The label that a change moved, or that its rollout stands on."""
    mark = _MARK.match(change.note)
    return mark[1] if mark else PRODUCTION


def number_of(pin: str) -> int:
    """The version number in a pin ``name/number``; 0 for an empty pin."""
    tail = pin.rpartition("/")[2]
    return int(tail) if tail.isdigit() else 0


def previous(history: Iterable[Change], label: str) -> int:
    """The number that a rollback of a label leads to; 0 when there is none.

    ``history`` is the asset's ledger, oldest first. It is walked as a stack: a move puts its version on top, a
    rollback takes everything off down to the version it led to. A version that was rolled back away from (or whose
    rollout was aborted) is never led to again until somebody moves the label onto it anew, so a second rollback goes
    further back instead of forth.
    """
    stack: list[int] = []
    left: set[int] = set()
    for change in history:
        if change.action == "external" or label_of(change) != label:
            continue
        before, after = number_of(change.before), number_of(change.after)
        if change.action in _MOVES:
            left.discard(after)
            if before and not stack:
                stack.append(before)
            if not stack or stack[-1] != after:
                stack.append(after)
        elif change.action in ("rollback", "abort"):
            left.add(before)
            while not change.rollout and len(stack) > 1 and stack[-1] != after:
                stack.pop()
    return next((number for number in reversed(stack[:-1]) if number not in left and number != stack[-1]), 0)
