"""The table of scanners: every scanner that a policy may name."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    adapters,
    codes,
    conversation,
    grounding,
    indirect,
    injection,
    language,
    leakage,
    links,
    personal,
    secrets,
    substance,
    tone,
    toxicity,
    typed,
    wording,
)
from .scanner import Scanner

#: A module with scanners adds its tuple here.
_ALL: tuple[Scanner, ...] = (
    *secrets.SCANNERS,
    *injection.SCANNERS,
    *indirect.SCANNERS,
    *conversation.SCANNERS,
    *personal.SCANNERS,
    *leakage.SCANNERS,
    *links.SCANNERS,
    *wording.SCANNERS,
    *substance.SCANNERS,
    *codes.SCANNERS,
    *language.SCANNERS,
    *tone.SCANNERS,
    *toxicity.SCANNERS,
    *grounding.SCANNERS,
    *typed.SCANNERS,
    *adapters.SCANNERS,
)

SCANNERS: Mapping[str, Scanner] = {scanner.name: scanner for scanner in _ALL}
