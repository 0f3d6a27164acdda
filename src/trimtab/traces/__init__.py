"""What happened: the recorder, OpenTelemetry in, the query language, prices, and traces over HTTP."""

from .events import Window
from .forwarder import Forwarder
from .language import QueryError, make_filter, parse_query
from .masking import KINDS, Mask, Masking
from .messages import question
from .prices import BOOK, PRICES_AS_OF, Price, price, price_of
from .receiver import logs_app, otlp_app
from .recorder import Recorder
from .retention import Retention
from .routes import routes, summary

__all__ = [
    "BOOK",
    "KINDS",
    "PRICES_AS_OF",
    "Forwarder",
    "Mask",
    "Masking",
    "Price",
    "QueryError",
    "Recorder",
    "Retention",
    "Window",
    "logs_app",
    "make_filter",
    "otlp_app",
    "parse_query",
    "price",
    "price_of",
    "question",
    "routes",
    "summary",
]
