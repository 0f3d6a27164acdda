"""Guard: flows, pins and verdicts."""

from __future__ import annotations

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Nothing to do: the tables of this room are kept elsewhere."""
