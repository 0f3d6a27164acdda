"""The gateway: between applications and their models. ``serve.py`` shows a whole request on one page."""

from .ask import Ask, read_ask
from .attempts import Attempts, Candidate
from .gateway import Gateway
from .keys import Key, Keys
from .live import LiveTrace
from .route import Route, order, read_route, validate_route
from .routes import routes

__all__ = [
    "Ask",
    "Attempts",
    "Candidate",
    "Gateway",
    "Key",
    "Keys",
    "LiveTrace",
    "Route",
    "order",
    "read_ask",
    "read_route",
    "routes",
    "validate_route",
]
