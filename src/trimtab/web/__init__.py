"""The pages: server-rendered, small, and safe to leave open; and the door in front of them."""

from .app import create_app
from .door import Door
from .house import House
from .security import SecureHeaders
from .server import DRAIN_S, Server, application, listen, worker_application

__all__ = [
    "DRAIN_S",
    "Door",
    "House",
    "SecureHeaders",
    "Server",
    "application",
    "create_app",
    "listen",
    "worker_application",
]
