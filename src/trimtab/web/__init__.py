"""The pages: server-rendered, small, and safe to leave open; the door in front of them, and the server.

The pages are loaded when somebody first asks for one (``serving``), so nothing of them is named here.
"""

from .serving import DRAIN_S, Server, application, listen, worker_application

__all__ = ["DRAIN_S", "Server", "application", "listen", "worker_application"]
