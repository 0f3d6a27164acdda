"""Where the client library sends to, and as whom: what ``configure`` was told, else the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from trimtab.core import BadInput

DEFAULT_URL = "http://127.0.0.1:4100"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A server's address without its trailing slash, the key to use there, and the project to file spans under."""

    url: str
    key: str = field(default="", repr=False)
    project: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(
                f"{self.url!r} is not the address of a server", field="url", mend=f"Write it like {DEFAULT_URL}."
            )
        if any(ord(letter) < 33 or ord(letter) > 126 for letter in self.key):
            raise BadInput("the key holds characters that no key has", field="key", mend="Copy it again.")

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        host = urlsplit(self.url).hostname or ""
        return host == "localhost" or host == "::1" or host.startswith("127.")

    def covers(self, url: str) -> bool:
        """Whether ``url`` is an address on this server."""
        mine, theirs = urlsplit(self.url), urlsplit(url)
        return (mine.scheme, mine.hostname, mine.port) == (theirs.scheme, theirs.hostname, theirs.port)


@dataclass(slots=True)
class _Said:
    """What ``configure`` was told; None means nothing."""

    url: str | None = None
    key: str | None = None
    project: str | None = None


_SAID = _Said()


def configure(*, url: str | None = None, key: str | None = None, project: str | None = None) -> Settings:
    """Say where to send to. What is left out keeps its value, at first the environment's.

    TRIMTAB_URL, TRIMTAB_API_KEY and TRIMTAB_PROJECT are read whenever nothing was said. Raises BadInput for an
    address that is none.
    """
    told = _Said(
        url=_SAID.url if url is None else url,
        key=_SAID.key if key is None else key,
        project=_SAID.project if project is None else project,
    )
    found = _settings(told)
    _SAID.url, _SAID.key, _SAID.project = told.url, told.key, told.project
    return found


def current_settings() -> Settings:
    """The settings now. Raises BadInput when the environment's address is none."""
    return _settings(_SAID)


def _settings(said: _Said) -> Settings:
    env = os.environ  # house: env because the client library runs in the user's process
    return Settings(
        url=(said.url or env.get("TRIMTAB_URL") or DEFAULT_URL).rstrip("/"),
        key=said.key if said.key is not None else env.get("TRIMTAB_API_KEY", ""),
        project=said.project if said.project is not None else env.get("TRIMTAB_PROJECT", ""),
    )
