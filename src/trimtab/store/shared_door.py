"""Which shared counters an address means."""

from __future__ import annotations

from trimtab.core import ConfigError

from .shared import Shared, SharedState

SCHEMES = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")
MEMORY = "memory:"


def open_shared(url: str, *, workers: int = 1, node: str = "", boot: str = "") -> SharedState:
    """``memory:`` counts in this process; any of SCHEMES in a Valkey or Redis server, which need not answer yet.

    ``workers`` is how many processes count there; ``node`` names this installation, ``boot`` this life of it.

    Raises ConfigError for another address, and where the client is not installed.
    """
    if url == MEMORY:
        return Shared()
    if not url.startswith(SCHEMES):
        raise ConfigError(
            "is no address of shared state.", field="storage.shared", mend="Write memory:, or redis://host:6379/0."
        )
    try:
        # house: import because the client is an optional extra, and heavy
        from .shared_valkey import ValkeyShared
    except ModuleNotFoundError as error:
        raise ConfigError(
            "needs the Redis client, which is not installed.",
            field="storage.shared",
            mend="Install it: pip install 'trimtab[scale]'.",
        ) from error
    return ValkeyShared(url, workers=workers, node=node, boot=boot)
