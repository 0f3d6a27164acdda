"""Expanding the made texts: braces are replaced with a random choice of their slot, three levels deep."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

_SLOT = re.compile(r"\{(\w+)\}")
_DEPTH = 4


def expand(template: str, slots: Mapping[str, Sequence[str]], chance: random.Random) -> str:
    """One text from a template. An unknown slot is left as written."""
    text = template
    for _level in range(_DEPTH):
        replaced = _SLOT.sub(lambda found: chance.choice(slots[found[1]]) if found[1] in slots else found[0], text)
        if replaced == text:
            break
        text = replaced
    text = re.sub(r"[ \t]{2,}", " ", text).replace(" ,", ",").replace(" .", ".").strip()
    return text[:1].upper() + text[1:] if chance.random() < 0.8 else text


def many(templates: Sequence[str], slots: Mapping[str, Sequence[str]], each: int, chance: random.Random) -> list[str]:
    """Up to ``each`` different texts of every template."""
    kept: dict[str, None] = {}
    for template in templates:
        for _try in range(each if "{" in template else 1):
            kept[expand(template, slots, chance)] = None
    return list(kept)
