"""The span store in PostgreSQL. Needs psycopg, from the extra ``scale``."""

from .spans import PostgresSpans

__all__ = ["PostgresSpans"]
