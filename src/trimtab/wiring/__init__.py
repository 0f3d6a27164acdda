"""The composition root."""

from .defaults import publish
from .house import House, build
from .trying import make_ask
from .worker_house import WorkerHouse, build_worker

__all__ = ["House", "WorkerHouse", "build", "build_worker", "make_ask", "publish"]
