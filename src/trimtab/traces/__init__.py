"""What happened: the recorder, OpenTelemetry in, the query language, prices, and traces over HTTP."""

from .language import QueryError, make_filter, parse_query
from .messages import question
from .prices import PRICES_AS_OF, price
from .receiver import otlp_app
from .recorder import Recorder
from .routes import routes, summary

__all__ = [
    "PRICES_AS_OF",
    "QueryError",
    "Recorder",
    "make_filter",
    "otlp_app",
    "parse_query",
    "price",
    "question",
    "routes",
    "summary",
]
