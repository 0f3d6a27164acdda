"""Which labels may refine a judge (dev) and which may only measure it (test)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from trimtab.core import BadInput

from .labels import Label
from .results import PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The groups of either side, and the looks that were taken at the test side, in order.

    A group never changes its side by itself: labels that come later join the side of their group. Whoever has read test
    labels moves them to dev (``opened``) and needs new ones for test.
    """

    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    looks: tuple[str, ...] = ()

    def side(self, label: Label) -> str:
        """``dev``, ``test`` or "" for a group that was never assigned."""
        group = label.group or label.case
        return "dev" if group in self.dev else "test" if group in self.test else ""

    def look(self, judge: str, labels: Iterable[Label]) -> tuple[int, Split]:
        """Take a look: its number from 1, and the split with it recorded.

        The same judge on the same labels is the same look, because it cannot tell anything new.
        """
        told = sorted(f"{label.case}\0{label.criterion}\0{label.by}\0{label.value}" for label in labels)
        name = hashlib.sha256("\0\0".join([judge, *told]).encode()).hexdigest()[:16]
        if name in self.looks:
            return self.looks.index(name) + 1, self
        return len(self.looks) + 1, replace(self, looks=(*self.looks, name))

    def opened(self) -> Split:
        """The test side turned into dev, to be read and refined on; the next test labels start with fresh looks."""
        return Split(dev=(*self.dev, *self.test))


def of_side(labels: Sequence[Label], split: Split, side: str) -> list[Label]:
    """The labels of one side. Raises BadInput for a label whose group was never assigned."""
    sides = {"dev": set(split.dev), "test": set(split.test)}
    for label in labels:
        if not any((label.group or label.case) in groups for groups in sides.values()):
            raise BadInput(
                f"the group of case {label.case} is on no side.", field="split", mend="Extend it with split_labels."
            )
    return [label for label in labels if (label.group or label.case) in sides[side]]


def split_labels(labels: Sequence[Label], *, test_share: float = 0.5, before: Split | None = None) -> Split:
    """Assign every group that ``before`` does not know yet.

    Groups with a failure and groups without are dealt separately, in an order made from a hash of their names, so that
    both sides hold their share of failures and nobody chooses. Raises BadInput unless 0 <= test_share <= 1.
    """
    if not 0.0 <= test_share <= 1.0:
        raise BadInput(f"{test_share} is no share.", field="test_share", mend="Give 0 to 1.")
    before = before or Split()
    known = {*before.dev, *before.test}
    failing: dict[str, bool] = {}
    for label in labels:
        group = label.group or label.case
        if group not in known:
            failing[group] = failing.get(group, False) or label.value < PASS
    dev, test = list(before.dev), list(before.test)
    for kind in (True, False):
        due = 0.5
        for group in sorted((g for g, fails in failing.items() if fails is kind), key=_order):
            due += test_share
            if due >= 1.0:
                due -= 1.0
                test.append(group)
            else:
                dev.append(group)
    return Split(dev=tuple(dev), test=tuple(test), looks=before.looks)


def _order(group: str) -> bytes:
    return hashlib.sha256(group.encode()).digest()
