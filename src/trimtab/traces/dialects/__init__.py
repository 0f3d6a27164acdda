"""The ways in which other libraries write down an LLM call, each read by one pure translator.

A translator takes what it understands out of the attributes and fills the reading; what an earlier dialect already
said stays, and what none understands stays in the attributes. The dialects that use other dialects' names in their own
way come first: LangSmith calls a retrieval ``gen_ai.operation.name = embeddings``.

All OpenTelemetry GenAI names are still "Development". The recorded samples of each dialect that the tests read say
which library in which version wrote them.
"""

from __future__ import annotations

from collections.abc import Callable

from .genai import genai, is_message
from .langfuse import langfuse
from .langsmith import langsmith
from .mlflow import mlflow
from .openinference import openinference
from .pydantic_ai import pydantic_ai
from .reading import Attributes, Reading
from .traceloop import traceloop
from .vercel import vercel

__all__ = ["TRANSLATORS", "Attributes", "Reading", "is_message", "read"]

TRANSLATORS: tuple[Callable[[Attributes, Reading], None], ...] = (
    langsmith,
    langfuse,
    vercel,
    pydantic_ai,
    genai,
    openinference,
    traceloop,
    mlflow,
)


def read(attributes: Attributes) -> Reading:
    """Read every dialect that the attributes speak."""
    reading = Reading()
    for translate in TRANSLATORS:
        translate(attributes, reading)
    return reading
