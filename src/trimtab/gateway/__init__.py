"""The gateway: between applications and their models. ``serve.py`` shows a whole request on one page."""

from .app import nothing_here
from .ask import Ask, read_ask
from .attempts import Attempts, Candidate
from .balance import order
from .breakerlog import BreakerLog
from .budgets import period_of
from .exposition import health_lines
from .gateway import Gateway
from .handles import Handles
from .health import RouteHealth, TargetHealth
from .keys import PREFIX, ROLES, Key, Keys
from .limits import Limits
from .limitset import LimitSet, read_limits
from .live import GONE, LiveTrace
from .refusals import Refusal
from .reports import Reports
from .route import Route, read_route, validate_route
from .routes import routes
from .surfaces import serves
from .teams import Teams
from .together import together
from .usage import Ledger
from .usagerow import UsageRow

__all__ = [
    "GONE",
    "PREFIX",
    "ROLES",
    "Ask",
    "Attempts",
    "BreakerLog",
    "Candidate",
    "Gateway",
    "Handles",
    "Key",
    "Keys",
    "Ledger",
    "LimitSet",
    "Limits",
    "LiveTrace",
    "Refusal",
    "Reports",
    "Route",
    "RouteHealth",
    "TargetHealth",
    "Teams",
    "UsageRow",
    "health_lines",
    "nothing_here",
    "order",
    "period_of",
    "read_ask",
    "read_limits",
    "read_route",
    "routes",
    "serves",
    "together",
    "validate_route",
]
