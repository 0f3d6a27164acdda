"""How the optional sections of a route in the file become the content of its version.

A section that is not written is not in the content either, so that the route's version does not change when a default
of the house does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .routing import Routing
from .values import seconds

_TIMES = {
    "retry": ("pause", "longest"),
    "breaker": ("window", "rest"),
    "hedge": (),
    "prefix": (),
    "cache": ("ttl",),
    "dual": (),
}


def routing_content(route: Routing, where: str) -> dict[str, Any]:
    """The sections that are written, durations in seconds. Raises ConfigError naming the field under ``where``."""
    content: dict[str, Any] = {}
    if route.sticky:
        content["sticky"] = route.sticky
    if route.fallback_on is not None:
        content["fallback_on"] = list(route.fallback_on)
    for name, times in _TIMES.items():
        section = getattr(route, name)
        if section is None:
            continue
        plain = msgspec.to_builtins(section)
        for field in times:
            plain[field] = seconds(plain[field], f"{where}.{name}.{field}")
        content[name] = plain
    if (hedge := content.get("hedge")) and not hedge["after"].startswith("p"):
        hedge["after"] = seconds(hedge["after"], f"{where}.hedge.after")
    if (cache := content.get("cache")) and (semantic := cache["semantic"]):
        semantic["timeout"] = seconds(semantic["timeout"], f"{where}.cache.semantic.timeout")
    return content
