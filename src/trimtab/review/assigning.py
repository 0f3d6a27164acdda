"""Who looks at what, and in which order. Pure: the same seed gives the same answer."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .queue import Expert, Item, Mark


def assign(items: Sequence[Item], experts: Sequence[Expert], *, overlap: int, seed: str) -> list[Mark]:
    """What everybody owes.

    An item goes to ``overlap`` people: first those whose slices or tags it has, then those who are asked about
    everything; where there is nobody of either kind, to the others. Among equals the one with the least to do is taken.
    Planted items go to everybody, since they measure each person. Everybody has an order of their own, so that
    nobody's tiredness falls on the same items as another's.
    """
    draw = random.Random(seed)
    owed: dict[str, list[int]] = {expert.who: [] for expert in experts}
    for item in items:
        if item.known:
            chosen = list(experts)
        else:
            ranks = {expert.who: (_rank(expert, item), len(owed[expert.who]), draw.random()) for expert in experts}
            fitting = [expert for expert in experts if ranks[expert.who][0] < 2] or list(experts)
            chosen = sorted(fitting, key=lambda expert: ranks[expert.who])[:overlap]
        for expert in chosen:
            owed[expert.who].append(item.position)
    marks: list[Mark] = []
    for who, positions in owed.items():
        draw.shuffle(positions)
        marks += [Mark(position=position, reviewer=who, place=place) for place, position in enumerate(positions)]
    return marks


def _rank(expert: Expert, item: Item) -> int:
    return 0 if expert.knows(item) else 1 if expert.general else 2
