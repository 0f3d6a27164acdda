"""The ways in which other libraries write down an LLM call, each read by one pure translator.

A translator takes what it understands out of the attributes and fills the reading; what an earlier dialect already
said stays, and what none understands stays in the attributes. The dialects that use other dialects' names in their own
way come first: LangSmith calls a retrieval ``gen_ai.operation.name = embeddings``.

All OpenTelemetry GenAI names are still "Development". The recorded samples of each dialect that the tests read say
which library in which version wrote them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .genai import genai, is_message
from .langfuse import langfuse
from .langsmith import langsmith
from .mlflow import mlflow
from .openinference import openinference
from .pydantic_ai import pydantic_ai
from .reading import Attributes, Reading
from .traceloop import traceloop
from .vercel import vercel

__all__ = ["DIALECTS", "Attributes", "Dialect", "Reading", "is_message", "read"]

Translator = Callable[[Attributes, Reading], None]


class Dialect(NamedTuple):
    """A translator, and what the names of its attributes begin with: who has none of them does not speak it."""

    translate: Translator
    prefixes: tuple[str, ...]


DIALECTS = (
    Dialect(langsmith, ("langsmith.",)),
    Dialect(langfuse, ("langfuse.",)),
    Dialect(vercel, ("ai.",)),
    Dialect(pydantic_ai, ("pydantic_ai.", "logfire.", "all_messages_events", "model_request_parameters",
                          "final_result")),
    Dialect(genai, ("gen_ai.",)),
    Dialect(openinference, ("openinference.", "input.", "output.", "llm.", "session.", "tag.", "user.", "embedding.",
                            "retrieval.", "reranker.", "tool.", "metadata")),
    Dialect(traceloop, ("traceloop.", "llm.", "gen_ai.prompt.", "gen_ai.completion.", "db.system", "db.vector.")),
    Dialect(mlflow, ("mlflow.",)),
)  # fmt: skip
_GENAI = 1 << 4
#: Names of attributes that are remembered, and how much of each tells its dialects.
_MOST_NAMES, _LONGEST = 8192, 64
#: Which dialects have a name, one bit each, and their translators by those bits: senders repeat a few hundred names.
_bits: dict[str, int] = {}
_spoken: dict[int, tuple[Translator, ...]] = {}


def read(attributes: Attributes) -> Reading:
    """Read every dialect that the attributes speak."""
    known, spoken = _bits, 0
    for name in attributes.rest:
        bits = known.get(name)
        spoken |= _look_at(name) if bits is None else bits
    if attributes.events and any(event.name.startswith("gen_ai.") for event in attributes.events):
        spoken |= _GENAI
    translators = _spoken.get(spoken)
    if translators is None:
        translators = _spoken[spoken] = tuple(
            dialect.translate for bit, dialect in enumerate(DIALECTS) if spoken >> bit & 1
        )
    reading = Reading()
    for translate in translators:
        translate(attributes, reading)
    return reading


def _look_at(name: str) -> int:
    """The dialects that have a name of this beginning."""
    found = sum(1 << bit for bit, dialect in enumerate(DIALECTS) if name.startswith(dialect.prefixes))
    if len(name) <= _LONGEST:  # What strangers send must not fill the memory.
        if len(_bits) >= _MOST_NAMES:
            _bits.clear()
        _bits[name] = found
    return found
