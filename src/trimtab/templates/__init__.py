"""Prompt templates: read, and filled within bounds. Standard library only, so that the client library fills as the
server does."""

from .filling import Resolve, Template, fill, variables_of
from .rendering import MAX_OUTPUT, MAX_STEPS
from .syntax import MAX_CHARACTERS, MAX_NESTING, MAX_TAGS, NAME, Allowance, Parsed, Use, parse
from .variables import (
    EXAMPLES,
    PASSAGES,
    TYPES,
    Sizes,
    Variable,
    all_texts,
    filled_in,
    has_type,
    is_text,
    one_of,
    texts_of,
    values_of,
    written,
)

__all__ = [
    "EXAMPLES",
    "MAX_CHARACTERS",
    "MAX_NESTING",
    "MAX_OUTPUT",
    "MAX_STEPS",
    "MAX_TAGS",
    "NAME",
    "PASSAGES",
    "TYPES",
    "Allowance",
    "Parsed",
    "Resolve",
    "Sizes",
    "Template",
    "Use",
    "Variable",
    "all_texts",
    "fill",
    "filled_in",
    "has_type",
    "is_text",
    "one_of",
    "parse",
    "texts_of",
    "values_of",
    "variables_of",
    "written",
]
