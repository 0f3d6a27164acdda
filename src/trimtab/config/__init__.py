"""Configuration: the only reader of the environment and of ``trimtab.yaml``."""

import os
from collections.abc import Mapping

from .libraries import tell_libraries
from .paging import Paging
from .probes import ProbeSettings
from .settings import LOOPBACK, Config, ProviderSettings, load, route_content
from .shape import Monitor, Owners, OwnPrice, Route, Scoring, Target, Timeout, Watching
from .telemetry import Telemetry

__all__ = [
    "LOOPBACK",
    "Config",
    "Monitor",
    "OwnPrice",
    "Owners",
    "Paging",
    "ProbeSettings",
    "ProviderSettings",
    "Route",
    "Scoring",
    "Target",
    "Telemetry",
    "Timeout",
    "Watching",
    "environment",
    "load",
    "route_content",
    "tell_libraries",
]


def environment() -> Mapping[str, str]:
    """The process's environment: read here and nowhere else."""
    return dict(os.environ)
