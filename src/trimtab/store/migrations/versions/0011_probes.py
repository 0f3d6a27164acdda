"""Probes: what they asked and found."""

from __future__ import annotations

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Nothing to do: the tables of this room are kept elsewhere."""
