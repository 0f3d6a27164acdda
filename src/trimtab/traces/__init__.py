"""What happened: the recorder, OpenTelemetry in, the query language, prices, and traces over HTTP."""

from .asking import compared_groups, known_values
from .comparing import Compared, Delta
from .completion import Suggestion, complete, quoted, wanted
from .erasing import Around, Erasing, Erasure, Whose, note_of
from .events import Window
from .forwarder import Forwarder, Http
from .grpc import GrpcDoor
from .keeping import keeping_routes
from .language import QueryError, make_filter, parse_query, words_of
from .masking import KINDS, Mask, Masking
from .messages import question
from .prices import BOOK, PRICES_AS_OF, Price, price, price_of
from .questions import Question, parse_question
from .receiver import Receiver, logs_app, otlp_app
from .recorder import Recorder
from .retention import Retention
from .routes import routes, summary
from .sampling import Rules, Sampler
from .wire import time_of

__all__ = [
    "BOOK",
    "KINDS",
    "PRICES_AS_OF",
    "Around",
    "Compared",
    "Delta",
    "Erasing",
    "Erasure",
    "Forwarder",
    "GrpcDoor",
    "Http",
    "Mask",
    "Masking",
    "Price",
    "QueryError",
    "Question",
    "Receiver",
    "Recorder",
    "Retention",
    "Rules",
    "Sampler",
    "Suggestion",
    "Whose",
    "Window",
    "compared_groups",
    "complete",
    "keeping_routes",
    "known_values",
    "logs_app",
    "make_filter",
    "note_of",
    "otlp_app",
    "parse_query",
    "parse_question",
    "price",
    "price_of",
    "question",
    "quoted",
    "routes",
    "summary",
    "time_of",
    "wanted",
    "words_of",
]
