"""The prices of this process: what the configuration says of them."""

from __future__ import annotations

from trimtab.config import Config
from trimtab.traces import BOOK, Price


def set_prices(config: Config) -> None:
    """Let every room know the configuration's own prices, and which provider is of which kind."""
    own = {ref: Price(input=p.input, output=p.output, cached=p.cached) for ref, p in config.prices.items()}
    BOOK.configure(own, {name: provider.kind for name, provider in config.providers.items()})
