"""What a run of a probe finds, and what it works with."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trimtab.core import Version, parse_address
from trimtab.knowledge import Corpora
from trimtab.registry import Registry
from trimtab.store import Blobs, Spans

from .asking import Meter
from .declaration import Declaration

#: ``moved`` is a warning: written into the ledger, and no incident. ``unknown``: it could not be told, which is no
#: alarm. ``learning``: the reference is still gathered.
Verdict = Literal["ok", "learning", "moved", "alarm", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The outcome of one run. ``value`` is what its page plots, ``usual`` the reference and ``limit`` where an alarm
    begins, None where there is none. ``asset`` is the name that an alarm is about, ``pin`` its version now. ``state``
    is what the next run begins with, JSON-able; ``detail`` is evidence for people."""

    verdict: Verdict
    text: str
    state: Mapping[str, Any]
    value: float | None = None
    usual: float | None = None
    limit: float | None = None
    asset: str = ""
    pin: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one run works with. ``state`` is what the last one left, ``rng`` all chance there is, ``spans`` what was
    recorded, None where nobody can read it."""

    declared: Declaration
    state: Mapping[str, Any]
    ask: Meter
    registry: Registry
    corpora: Corpora
    blobs: Blobs
    rng: random.Random
    clock: Callable[[], int]
    spans: Spans | None = None


def standing(registry: Registry, address: str, kind: str) -> Version:
    """The version that a label stands at, or the one that is named by its number. Raises NotFound.

    A candidate of a running rollout is not meant: the rollout judges that one itself, and a probe whose subject changed
    from run to run would cry wolf.
    """
    where = parse_address(address, kind)
    number = where.number or registry.labels(where.kind, where.name).get(where.label, 0)
    if not number or where.kind != kind:
        return registry.resolve(address, kind=kind).version
    return registry.version(kind, where.name, number)


def printable(text: str, most: int = 2000) -> str:
    """A text for the database and for terminals: models, vendors and callers write what they like."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:most])
