"""Configuration: the only reader of the environment and of ``trimtab.yaml``."""

import os
from collections.abc import Mapping

from .settings import LOOPBACK, Config, ProviderSettings, load, route_content
from .shape import Monitor, Owners, Route, Scoring, Target, Timeout, Watching

__all__ = [
    "LOOPBACK",
    "Config",
    "Monitor",
    "Owners",
    "ProviderSettings",
    "Route",
    "Scoring",
    "Target",
    "Timeout",
    "Watching",
    "environment",
    "load",
    "route_content",
]


def environment() -> Mapping[str, str]:
    """The process's environment: read here and nowhere else."""
    return dict(os.environ)
