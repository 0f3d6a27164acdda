"""Why a model would not answer, as far as it matters for whether another one should be asked. Pure."""

from __future__ import annotations

import re

from trimtab.core import ModelError, TrimtabError

#: Statuses that say something about this target and nothing about the others: its key, its quota, its models.
ELSEWHERE = frozenset({401, 402, 403, 404})
#: Statuses with which a vendor blames the request.
_BLAMED = frozenset({0, 400, 413, 422})

# OpenAI and those that follow it (code and sentence), Anthropic, Gemini, vLLM, SGLang, llama.cpp, Mistral, Bedrock.
_CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context window"
    r"|exceeds? (the |your |its )?(available |model's )?context (size|length|limit)"
    r"|prompt is too long|input is too long|(longer|larger) than the model.s context|too large for (the )?model"
    r"|token count .{0,40}exceeds|exceeds the maximum number of (input )?tokens"
    r"|reduce the length of the (messages|prompt)",
    re.IGNORECASE,
)
# OpenAI and Azure, Bedrock, Gemini.
_FILTER = re.compile(
    r"content[_ ]filter|content management policy|ResponsibleAIPolicyViolation|content[_ ]policy|usage polic"
    r"|rejected .{0,40}safety system|blocked by .{0,30}safety|prohibited_content|guardrail intervened",
    re.IGNORECASE,
)


class Filtered(ModelError):
    """The model's answer was withheld by its vendor's content filter, and none of it was passed on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


def reason_of(error: TrimtabError) -> str:
    """``error`` (try again, here or elsewhere), ``target`` (elsewhere only), ``context`` (elsewhere, where the context
    is longer), ``filter`` (elsewhere, where the filter is another) or nothing: the request itself is at fault."""
    if not isinstance(error, ModelError):
        return "error" if error.retryable else ""
    if isinstance(error, Filtered):
        return "filter"
    if error.vendor_status in _BLAMED and not error.retryable:
        said = f"{getattr(error, 'vendor_code', '')} {error.message}"
        if _CONTEXT.search(said):
            return "context"
        if _FILTER.search(said):
            return "filter"
    if error.retryable:
        return "error"
    return "target" if error.vendor_status in ELSEWHERE else ""
