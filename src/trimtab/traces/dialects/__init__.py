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

from .genai import genai, genai_call, genai_said, is_message
from .langfuse import langfuse
from .langsmith import langsmith
from .mlflow import mlflow
from .openinference import openinference, openinference_found, openinference_kind
from .pydantic_ai import pydantic_ai
from .reading import Attributes, Reading
from .traceloop import traceloop
from .vercel import vercel

__all__ = ["DIALECTS", "Attributes", "Dialect", "Reading", "is_message", "read"]

Translator = Callable[[Attributes, Reading], None]


class Dialect(NamedTuple):
    """A translator, and what the names of its attributes begin with: who has none of them does not speak it. A dialect
    whose spans differ much has several translators, one after the other."""

    translate: Translator
    prefixes: tuple[str, ...]


DIALECTS = (
    Dialect(langsmith, ("langsmith.",)),
    Dialect(langfuse, ("langfuse.",)),
    Dialect(vercel, ("ai.",)),
    Dialect(pydantic_ai, ("pydantic_ai.", "logfire.", "all_messages_events", "model_request_parameters",
                          "final_result")),
    Dialect(genai, ("gen_ai.",)),
    Dialect(genai_call, ("gen_ai.provider.", "gen_ai.system", "gen_ai.request.", "gen_ai.response.", "gen_ai.usage.",
                         "gen_ai.openai.", "openai.response.")),
    Dialect(genai_said, ("gen_ai.input.", "gen_ai.output.", "gen_ai.system_instructions", "gen_ai.prompt",
                         "gen_ai.completion", "gen_ai.tool.", "gen_ai.retrieval.")),
    Dialect(openinference_kind, ("openinference.",)),
    Dialect(openinference_found, ("llm.", "embedding.", "retrieval.", "reranker.")),
    Dialect(openinference, ("input.", "output.", "session.", "tag.", "user.")),
    Dialect(traceloop, ("traceloop.", "llm.request.", "llm.usage.", "db.system", "db.vector.",
                        *(f"gen_ai.{part}.{digit}" for part in ("prompt", "completion") for digit in range(10)))),
    Dialect(mlflow, ("mlflow.",)),
)  # fmt: skip
#: What events alone may say: the conversation.
_GENAI = sum(1 << bit for bit, dialect in enumerate(DIALECTS) if dialect.translate in (genai, genai_said))
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
    beside = (reading.cached_tokens or 0) + (reading.written_tokens or 0)
    if reading.input_tokens is not None and beside > reading.input_tokens:
        # The cache is a part of the input, so a sender with less input counted it beside, as Anthropic does.
        reading.input_tokens += beside
    return reading


def _look_at(name: str) -> int:
    """The dialects that have a name of this beginning."""
    found = sum(1 << bit for bit, dialect in enumerate(DIALECTS) if name.startswith(dialect.prefixes))
    if len(name) <= _LONGEST:  # What strangers send must not fill the memory.
        if len(_bits) >= _MOST_NAMES:
            _bits.clear()
        _bits[name] = found
    return found
