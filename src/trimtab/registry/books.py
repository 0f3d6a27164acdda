"""What a plan may look at: the registry as of this very transaction, and what of the ledger is not in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trimtab.core import BadInput, Change

from .snapshot import Asset, Gate, Snapshot

MAX_NOTE = 10_000
MAX_ACTOR = 200


class Books(Protocol):
    """Read inside the transaction that will write, so that nothing can come between a decision and its effect."""

    @property
    def now(self) -> Snapshot:
        """The registry."""

    def history(self, asset: Asset, label: str) -> Sequence[Change]:
        """Every change of one label of an asset, oldest first."""

    def change(self, change_id: str) -> Change | None:
        """One change of the ledger."""

    def group(self, group: str) -> Sequence[Change]:
        """The changes that were made together, oldest first."""

    def verdict(self, asset: Asset, number: int, gate: str) -> Gate | None:
        """The latest result of a gate for a version."""

    def moved_since(self, at_ns: int) -> Sequence[tuple[Asset, str]]:
        """The labels that moved after a moment."""

    def stood_at(self, asset: Asset, label: str, at_ns: int) -> int:
        """The number that a label stood at; 0 where it did not exist yet."""

    def share_at(self, rollout_id: str, at_ns: int) -> float | None:
        """The share that a rollout had; None where it did not exist yet."""

    def ended_since(self, at_ns: int) -> Sequence[str]:
        """The rollouts that were running at a moment and have ended since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who writes, why and when (nanoseconds UTC): the same three facts on every change."""

    actor: str
    note: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class May:
    """What a caller from outside may do: its role, and the written reason for which a missing gate is passed over."""

    role: str = ""
    override: str = ""


def check_text(text: str, field: str, limit: int) -> str:
    """The text itself. Raises BadInput for what a database cannot keep as text, and for more than ``limit`` of it."""
    if not isinstance(text, str) or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadInput("holds what is no text.", field=field, mend="Remove NUL characters and lone surrogates.")
    if len(text) > limit:
        raise BadInput(f"has {len(text)} characters.", field=field, mend=f"Keep it to {limit}.")
    return text
