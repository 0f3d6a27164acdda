"""The wire surfaces of the gateway, by path. A new one is its file and a line here."""

from __future__ import annotations

from .chat import CHAT
from .embeddings import EMBEDDINGS_SURFACE
from .messages import COUNT_SURFACE, MESSAGES_SURFACE
from .responses import RESPONSES_SURFACE
from .surface import Surface, Writer

#: What is asked by POST, by path.
SURFACES: dict[str, Surface] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES_SURFACE,
    "/v1/embeddings": EMBEDDINGS_SURFACE,
    "/v1/messages": MESSAGES_SURFACE,
    "/v1/messages/count_tokens": COUNT_SURFACE,
}
MODELS = "/v1/models"
#: What begins as the gateway's paths do, and is not for it: telemetry.
NOT_OURS = frozenset({"/v1/traces", "/v1/logs", "/v1/metrics"})


def serves(path: str) -> bool:
    """Whether the gateway answers at this path; where it has nothing there, in the shape that its clients read."""
    return path in SURFACES or (path.startswith("/v1/") and path not in NOT_OURS)


def lists_models(path: str) -> bool:
    """Whether this is the list of models, or one of them."""
    return path == MODELS or path.startswith(MODELS + "/")


__all__ = ["CHAT", "MODELS", "RESPONSES_SURFACE", "SURFACES", "Surface", "Writer", "lists_models", "serves"]
