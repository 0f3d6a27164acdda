"""Response headers that keep a page from running, loading or sending anything that is not ours."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: No inline script or style, no other host, no frame, no plug-in.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)

#: ``same-origin`` and not ``no-referrer``, because the latter makes browsers send ``Origin: null`` with our own forms.
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def local_hosts(port: int) -> frozenset[str]:
    """What a ``host`` header may say on a server that only this machine can reach."""
    return frozenset(f"{name}:{port}" for name in LOCAL_NAMES) | (frozenset(LOCAL_NAMES) if port == 80 else frozenset())


class SecureHeaders:
    """ASGI middleware: the headers above on every response, and no caching of what is not a static file."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, secured)
