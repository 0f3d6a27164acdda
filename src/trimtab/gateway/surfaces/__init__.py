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


def serves(path: str) -> bool:
    """Whether the gateway answers at this path."""
    return path in SURFACES or path == MODELS or path.startswith(MODELS + "/")


__all__ = ["CHAT", "MODELS", "SURFACES", "Surface", "Writer", "serves"]
