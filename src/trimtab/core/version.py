"""Versions of everything that can change behaviour, and the changes that move them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import BadInput
from .layers import LAYER_OF_EVENT, LAYER_OF_KIND, Layer
from .swift import swift

KindName = Literal["prompts", "models", "corpora", "guards", "routes", "judges", "datasets", "monitors", "scorers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An immutable version of an asset. ``number`` counts from 1 per (kind, name); ``created_ns`` is UTC.

    ``parents`` are the numbers of the versions it was edited from. ``needs`` names what it was tested with, by kind:
    ``{"models": "openai/gpt-4o-mini", "corpora": "docs/3"}``.
    """

    kind: str
    name: str
    number: int
    digest: str
    content: Mapping[str, Any]
    author: str = ""
    note: str = ""
    created_ns: int = 0
    parents: tuple[int, ...] = ()
    needs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pin(self) -> str:
        """The version as a stamp's pin: ``name/number``."""
        return f"{self.name}/{self.number}"

    @property
    def address(self) -> str:
        """The version's full address: ``prompts:/name/7``."""
        return f"{self.kind}:/{self.name}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of the change ledger: what moved, from where to where, by whom, for whom.

    ``action`` is ``label`` (everybody at once), ``rollout`` (a share starts), ``share`` (the share moves), ``promote``,
    ``abort``, ``rollback`` or ``external`` (seen elsewhere, not done by us). ``before`` and ``after`` are pins.
    ``share`` is the part of the traffic in [0, 1] that gets ``after`` from ``time_ns`` on. ``undo`` tells whether a
    rollback of this asset would take it back. ``label`` is the label that moved, or that its rollout stands on; changes
    that were made together share a ``group``. ``override`` is the written reason for which a missing gate was passed
    over. ``said_layer`` is the layer that an external event was logged for; 0 is the layer of its kind.
    """

    id: str
    time_ns: int
    action: str
    kind: str
    name: str
    before: str
    after: str
    actor: str
    share: float = 1.0
    sticky: str = ""
    rollout: str = ""
    note: str = ""
    undo: bool = True
    label: str = ""
    group: str = ""
    override: str = ""
    said_layer: int = 0

    @property
    def layer(self) -> Layer:
        """The layer that this change touches."""
        if self.said_layer:
            return Layer(self.said_layer)
        return LAYER_OF_KIND[self.kind] if self.kind in LAYER_OF_KIND else LAYER_OF_EVENT[self.kind]

    @property
    def asset(self) -> str:
        """``kind:/name``."""
        return f"{self.kind}:/{self.name}"


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A parsed asset address: exactly one of ``label`` and ``number`` is set."""

    kind: str
    name: str
    label: str = ""
    number: int = 0


def parse_address(text: str, kind: str = "") -> Address:
    """Read ``prompts:/name@label``, ``prompts:/name/7``, ``name@label``, ``name/7`` or ``name`` (label production).

    ``kind`` is used where the text names none. Raises BadInput, naming the address and the mend.
    """
    rest = text.strip()
    if ":/" in rest:
        kind, _, rest = rest.partition(":/")
    if kind not in LAYER_OF_KIND:
        known = ", ".join(sorted(LAYER_OF_KIND))
        raise BadInput(f"{text!r} has no known kind", field="address", mend=f"Start it with one of {known}, then ':/'.")
    if "@" in rest:
        name, _, label = rest.partition("@")
        if name and label:
            return Address(kind=kind, name=name, label=label)
    elif "/" in rest:
        name, _, number = rest.rpartition("/")
        if name and number.isdigit() and int(number) > 0:
            return Address(kind=kind, name=name, number=int(number))
    elif rest:
        return Address(kind=kind, name=rest, label="production")
    raise BadInput(f"{text!r} is not an address", field="address", mend=f"Write {kind}:/name@label or {kind}:/name/7.")


def digest_of(content: Mapping[str, Any]) -> str:
    """The content's SHA-256 over canonical JSON (sorted keys, no spaces): same content, same digest."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A staged rollout: ``share`` of the sticky keys get ``candidate``, the rest ``base``.

    ``state`` is running, promoted or aborted; ``sticky`` is session, user or request (a fresh draw each time).
    """

    id: str
    kind: str
    name: str
    label: str
    base: int
    candidate: int
    share: float
    sticky: str = "session"
    state: str = "running"
    reason: str = ""
    started_ns: int = 0
    stages: tuple[float, ...] = field(default_factory=tuple)
