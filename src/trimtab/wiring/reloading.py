"""The configuration read again while the server runs: what it takes over at once, and what waits for a restart."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import fields, replace

from trimtab.config import Config
from trimtab.core import BadInput
from trimtab.gateway import Gateway, read_limits, validate_route
from trimtab.providers import Providers
from trimtab.registry import check_name

from .defaults import register_routes
from .house import House, specs_of
from .pricing import set_prices

log = logging.getLogger("trimtab.config")

#: Fields of the configuration that are taken over; the others are read once, at the start.
LIVE = ("providers", "prices", "routes", "teams")


async def take_over(house: House, config: Config) -> None:
    """Use the providers, prices, routes and teams of ``config`` from the next request on.

    Requests under way go on as they began. A route or a team that the file no longer names stays, as after a restart.
    Raises ConfigError or BadInput where something of it cannot be, and then changes nothing. Raises Overloaded where a
    database does not answer, and then what was taken over before that stays.
    """
    take_over_models(config, house.providers, house.gateway)
    await register_routes(house.registry, config)
    for name, content in config.teams.items():
        await house.tenancy.teams.put(name, content)
    waiting = changed(house.config, config)
    house.config = replace(house.config, **{name: getattr(config, name) for name in LIVE})
    if waiting:
        log.warning("The configuration was read again; a restart is needed for %s.", ", ".join(waiting))
    else:
        log.info("The configuration was read again.")


def take_over_models(config: Config, providers: Providers, gateway: Gateway) -> None:
    """The part of it that every gateway process does for itself. Raises ConfigError or BadInput where
    something of the whole cannot be, and then changes nothing."""
    _check_routes(config)
    _check_teams(config)
    providers.replace(specs_of(config))
    set_prices(config)
    gateway.forget_ways()


def _check_routes(config: Config) -> None:
    for name, content in config.routes.items():
        try:
            check_name(name)
            validate_route(content)
        except BadInput as error:
            error.field = f"routes.{name}.{error.field}"
            raise


def _check_teams(config: Config) -> None:
    for name, content in config.teams.items():
        try:
            read_limits({key: value for key, value in content.items() if value is not None})
        except BadInput as error:
            error.field = f"teams.{name}.{error.field.removeprefix('limits.')}"
            raise


def changed(before: Config, after: Config, *, but: Iterable[str] = LIVE) -> list[str]:
    """The fields that differ, besides those that are taken over."""
    names = [field.name for field in fields(Config) if field.name not in but]
    return [name for name in names if getattr(before, name) != getattr(after, name)]
