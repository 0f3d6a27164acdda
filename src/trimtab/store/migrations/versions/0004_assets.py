"""What versions were made from and tested with, protected labels and gates, and a counter that tells what is new."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

#: Until now the note of a change began with the label that it moved, unless that was production.
_MARK = re.compile(r"@([A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:: |$)")
_BATCH = 1000


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _whole(name: str, type_: type[sa.BigInteger] | type[sa.Integer] = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, type_(), nullable=False, server_default=sa.text("0"))


def _row_id() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("seq", kind, primary_key=True, autoincrement=True)


def upgrade() -> None:
    """Add the columns, move each label out of its note, create the tables."""
    op.add_column("versions", sa.Column("parents", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("versions", sa.Column("needs", sa.JSON(), nullable=False, server_default="{}"))
    for name in ("label", "group", "override"):
        op.add_column("changes", _text(name))
    op.add_column("changes", _whole("said_layer", sa.Integer))
    for table in ("versions", "labels", "rollouts", "changes"):
        op.add_column(table, _whole("generation"))
    for table in ("versions", "labels", "changes"):
        op.create_index(f"ix_{table}_generation", table, ["generation"])
    op.create_index("ix_changes_kind_name_label", "changes", ["kind", "name", "label"])
    _label_changes(op.get_bind())
    _new_tables()


def _label_changes(connection: sa.Connection) -> None:
    changes = sa.table("changes", *(sa.column(name) for name in ("seq", "action", "note", "label")))
    ours = changes.c.action != "external"
    connection.execute(sa.update(changes).where(ours).values(label="production"))
    last = 0
    while True:
        marked = ours & changes.c.note.like("@%") & (changes.c.seq > last)
        rows = connection.execute(
            sa.select(changes.c.seq, changes.c.note).where(marked).order_by(changes.c.seq).limit(_BATCH)
        ).all()
        if not rows:
            return
        for seq, note in rows:
            if mark := _MARK.match(note):
                values = {"label": mark[1], "note": note[mark.end() :]}
                connection.execute(sa.update(changes).where(changes.c.seq == seq).values(**values))
        last = rows[-1][0]


def _new_tables() -> None:
    op.create_table(
        "protections",
        _row_id(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        _text("role"),
        _text("gate"),
        _text("actor"),
        _text("note"),
        _whole("time_ns"),
        _whole("generation"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_protections_kind_name_label", "protections", ["kind", "name", "label"])
    op.create_index("ix_protections_generation", "protections", ["generation"])
    op.create_table(
        "gates",
        _row_id(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False, server_default="{}"),
        _text("actor"),
        _whole("time_ns"),
        sa.UniqueConstraint("id", name="uq_gates_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_gates_kind_name_number_gate", "gates", ["kind", "name", "number", "gate"])
    op.create_table(
        "generations",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
