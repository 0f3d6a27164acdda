"""The span store in ClickHouse. Needs clickhouse-connect, from the extra ``scale``."""

from .spans import ClickHouseSpans

__all__ = ["ClickHouseSpans"]
