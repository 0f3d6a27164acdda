"""Which span store an address means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trimtab.core import ConfigError, now_ns

from .door import Spans
from .spans import CAPACITY, SpanStore

#: What the addresses of span stores on a server begin with.
SERVED = ("postgresql://", "postgres://", "clickhouse://")
EMBEDDED = "sqlite:"


def open_spans(url: str, folder: Path, *, clock: Callable[[], int] = now_ns, capacity: int = CAPACITY) -> Spans:
    """``sqlite:`` is the embedded store in ``folder``, ``sqlite:PATH`` the one in another folder; any of SERVED is a
    store on that server. ``clock`` says on which day rows arrive; ``capacity`` is how many may wait to be written.

    Raises ConfigError for another address, for one that cannot be used and where the client is not installed, Conflict
    where the store was made by a newer program, Overloaded where its server does not answer.
    """
    if url.startswith(EMBEDDED):
        path = url[len(EMBEDDED) :]
        return SpanStore.open(Path(path) if path else folder, clock=clock, capacity=capacity)
    if not is_served(url):
        raise ConfigError(
            "is no address of a span store.",
            field="storage.spans",
            mend="Write sqlite:, postgresql://user@host/database or clickhouse://user@host:8123/database.",
        )
    try:
        if url.startswith("clickhouse://"):
            # house: import because the client is an optional extra, and heavy
            from .clickhouse import ClickHouseSpans

            return ClickHouseSpans.open(url, clock=clock, capacity=capacity)
        # house: import because the client is an optional extra, and heavy
        from .postgres import PostgresSpans

        return PostgresSpans.open(url, clock=clock, capacity=capacity)
    except ImportError as error:
        raise ConfigError(
            f"needs the client for {url.partition(':')[0]}, which is not installed.",
            field="storage.spans",
            mend="Install it: pip install 'trimtab[scale]'.",
        ) from error


def is_served(url: str) -> bool:
    """Whether an address is that of a store on a server, which many processes write to."""
    return url.startswith(SERVED)
