"""How the outputs of labels were drawn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the stratum that a label was drawn from; of labels that are there already it is not known."""
    op.add_column("eval_labels", sa.Column("drawn", sa.Text(), nullable=False, server_default=""))
