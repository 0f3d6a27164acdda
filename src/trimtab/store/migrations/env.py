"""Run by alembic: migrates the connection that it was handed, inside that connection's own transaction."""

from __future__ import annotations

from alembic import context

from trimtab.store.tables import schema

context.configure(connection=context.config.attributes["connection"], target_metadata=schema)
context.run_migrations()
