"""Where a provider is and how it is spoken to: what the configuration says, and the one client for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .exchange import Response
from .http import HttpClient, Way

_ALWAYS = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "trimtab"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One provider by its name in the configuration.

    ``headers`` go with every request, over those of the adapter. ``timeout`` bounds a call in seconds beside the
    call's own; 0 is no bound. Key and headers never show in ``repr``.
    """

    name: str
    http: HttpClient
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    api_version: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 0.0

    def url(self, usual: str) -> str:
        """The configured address, else the ``usual`` one, without a slash at its end."""
        return (self.base_url or usual).rstrip("/")

    def way(self, url: str, headers: Mapping[str, str], method: str = "POST") -> Way:
        """What all requests of one kind to one address have in common."""
        return self.http.way(method, url, {**_ALWAYS, **headers, **self.headers})

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Response:
        """Send JSON. Raises what HttpClient raises."""
        return await self.http.send(self.way(url, headers), body, timeout=self.within(seconds))

    def within(self, seconds: float) -> float:
        """How long a call may take that has so many seconds itself."""
        return min(seconds, self.timeout) if self.timeout else seconds
