"""The core types: the standard library and msgspec, nothing else. Every room may import them; they import no room."""

from .actor import actor_of, person_of
from .asked import body_as, only, whole_number
from .call import Call, Chunk, Message, Model, Native, Reply, Usage, collect
from .described import described
from .errors import (
    BadInput,
    ConfigError,
    Conflict,
    Forbidden,
    GuardRefused,
    LimitReached,
    MethodNotAllowed,
    ModelError,
    ModelTimeout,
    NotFound,
    Overloaded,
    TooLarge,
    TrimtabError,
    Unauthorized,
)
from .ids import new_id, new_span_id, new_trace_id, now_ns
from .later import Later
from .layers import LAYER_OF_EVENT, LAYER_OF_KIND, UNSERVED, Layer
from .query import COLUMNS, GROUPABLE, NUMBERS, STATISTICS, Breakdown, Filter, SpanQuery
from .said import OWN_WORDS, text_in
from .score import Score
from .sketch import INDEX_SOURCE, INDEX_VERSION, INDEX_WATERMARK, VECTOR, sketch
from .span import KINDS, Span
from .stamp import Stamp
from .swift import evolve, swift
from .version import Address, Change, Rollout, Version, digest_of, parse_address

__all__ = [
    "COLUMNS",
    "GROUPABLE",
    "INDEX_SOURCE",
    "INDEX_VERSION",
    "INDEX_WATERMARK",
    "KINDS",
    "LAYER_OF_EVENT",
    "LAYER_OF_KIND",
    "NUMBERS",
    "OWN_WORDS",
    "STATISTICS",
    "UNSERVED",
    "VECTOR",
    "Address",
    "BadInput",
    "Breakdown",
    "Call",
    "Change",
    "Chunk",
    "ConfigError",
    "Conflict",
    "Filter",
    "Forbidden",
    "GuardRefused",
    "Later",
    "Layer",
    "LimitReached",
    "Message",
    "MethodNotAllowed",
    "Model",
    "ModelError",
    "ModelTimeout",
    "Native",
    "NotFound",
    "Overloaded",
    "Reply",
    "Rollout",
    "Score",
    "Span",
    "SpanQuery",
    "Stamp",
    "TooLarge",
    "TrimtabError",
    "Unauthorized",
    "Usage",
    "Version",
    "actor_of",
    "body_as",
    "collect",
    "described",
    "digest_of",
    "evolve",
    "new_id",
    "new_span_id",
    "new_trace_id",
    "now_ns",
    "only",
    "parse_address",
    "person_of",
    "sketch",
    "swift",
    "text_in",
    "whole_number",
]
