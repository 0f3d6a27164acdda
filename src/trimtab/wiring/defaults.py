"""What a new store holds before anybody configures it, and how the file's routes become versions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from trimtab import evals, prompts
from trimtab.config import Config
from trimtab.core import BadInput, Conflict, Forbidden
from trimtab.gateway import Keys, validate_route
from trimtab.guard import DEFAULT_POLICY, compile_policy
from trimtab.registry import Registry
from trimtab.watch import check_content

log = logging.getLogger(__name__)

FILE = "trimtab.yaml"

#: What the content of a new version must pass, by kind.
CONTENT_CHECKS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "prompts": prompts.validate,
    "routes": validate_route,
    "guards": compile_policy,
    "datasets": evals.validate,
    "judges": evals.validate_judge,
    "monitors": check_content,
    "scorers": evals.validate_scorers,
}


async def register_defaults(registry: Registry, config: Config) -> None:
    """The default guard policy where there is none, and the file's routes and lists of scorers as live versions.

    Raises BadInput naming the field for scorers that cannot be."""
    if "default" not in registry.names("guards"):
        await publish(registry, "guards", "default", DEFAULT_POLICY, actor="trimtab", note="the policy Trimtab ships")
    await register_routes(registry, config)
    for name, content in config.scoring.sets.items():
        try:
            await publish(registry, "scorers", name, content, actor=FILE, note="read from the file at start")
        except BadInput as error:
            error.field = f"scoring.sets.{name}" + (f".{error.field}" if error.field else "")
            raise
        except Forbidden as error:
            log.warning("the scorers %s of the file are registered and not live: %s", name, error)


async def register_routes(registry: Registry, config: Config) -> None:
    """The file's routes as live versions."""
    for name, content in config.routes.items():
        try:
            await publish(registry, "routes", name, content, actor=FILE, note="read from the file")
        except Forbidden as error:
            log.warning("the route %s of the file is registered and not live: %s", name, error)


async def publish(
    registry: Registry, kind: str, name: str, content: Mapping[str, Any], *, actor: str, note: str = ""
) -> str:
    """Register a version and let everybody have it at once. Returns its pin; the same content moves nothing."""
    version = await registry.register(kind, name, content, author=actor, note=note)
    if registry.labels(kind, name).get("production") != version.number:
        try:
            await registry.move_label(kind, name, "production", version.number, actor=actor, note=note)
        except Conflict:
            # Processes that start together publish the same: then it stands there by now.
            if registry.labels(kind, name).get("production") != version.number:
                raise
    return version.pin


async def seat_admin(keys: Keys, config: Config) -> str:
    """See that an admin key exists. Returns the secret when one was made just now, to be shown once; else empty."""
    if config.admin_key:
        if len(config.admin_key) < 16:
            raise BadInput(
                "the admin key is too short to be safe.", field="TRIMTAB_ADMIN_KEY", mend="Use 16 characters or more."
            )
        await keys.adopt("admin-from-environment", config.admin_key, role="admin")
        return ""
    if any(key.role == "admin" and not key.disabled for key in keys.list()):
        return ""
    _, secret = await keys.create("admin", role="admin")
    return secret
