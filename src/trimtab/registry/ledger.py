"""Reading the change ledger: which label a change moved, and where a rollback leads."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.core import Change

#: The label that production traffic resolves.
PRODUCTION = "production"

#: Actions that give everybody the version in ``after``.
_MOVES = frozenset({"label", "promote"})
#: Actions after which a label stands at ``after``.
STANDS = ("label", "promote", "rollback")


def label_of(change: Change) -> str:
    """The label that a change moved, or that its rollout stands on; empty for what happened elsewhere."""
    return change.label or ("" if change.action == "external" else PRODUCTION)


def number_of(pin: str) -> int:
    """The version number in a pin ``name/number``; 0 for an empty pin."""
    tail = pin.rpartition("/")[2]
    return int(tail) if tail.isdigit() else 0


def previous(history: Iterable[Change], label: str) -> int:
    """The number that a rollback of a label leads to; 0 when there is none.

    A version that was rolled back away from (or whose rollout was aborted) is never led to again until somebody moves
    the label onto it anew, so a second rollback goes further back instead of forth.
    """
    stack, left = _walked(history, label)
    return next((number for number in reversed(stack[:-1]) if number not in left and number != stack[-1]), 0)


def reachable(history: Iterable[Change], label: str) -> set[int]:
    """The numbers that rollbacks of a label can lead to, one after another."""
    stack, left = _walked(history, label)
    return set(stack[:-1]) - left - set(stack[-1:])


def _walked(history: Iterable[Change], label: str) -> tuple[list[int], set[int]]:
    """An asset's ledger, oldest first, as a stack, and the numbers that were left.

    A move puts its version on top, a rollback takes everything off down to the version it led to.
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
    return stack, left
