"""The composition root."""

from .defaults import publish
from .house import House, build
from .trying import make_trial
from .worker_house import WorkerHouse, build_worker

__all__ = ["House", "WorkerHouse", "build", "build_worker", "make_trial", "publish"]
