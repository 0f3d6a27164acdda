"""Trimtab: the operational control system for LLM applications.

The names here are the client library's, loaded when they are first used: importing trimtab opens no socket and starts
no thread.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab import anthropic, dual, openai
    from trimtab.sdk import (
        SpanType,
        configure,
        flush,
        get_current_span,
        get_last_active_trace_id,
        get_prompt,
        load_prompt,
        log_feedback,
        observe,
        register_prompt,
        search_traces,
        set_experiment,
        set_session,
        set_tags,
        set_tracking_uri,
        start_span,
        trace,
        traceable,
        update_current_trace,
    )
    from trimtab.sdk import get_current_span as get_current_active_span

__version__ = "0.1.0"

__all__ = [
    "SpanType",
    "__version__",
    "anthropic",
    "configure",
    "dual",
    "flush",
    "get_current_active_span",
    "get_current_span",
    "get_last_active_trace_id",
    "get_prompt",
    "load_prompt",
    "log_feedback",
    "observe",
    "openai",
    "register_prompt",
    "search_traces",
    "set_experiment",
    "set_session",
    "set_tags",
    "set_tracking_uri",
    "start_span",
    "trace",
    "traceable",
    "update_current_trace",
]


#: MLflow's name for what is called otherwise here.
_RENAMED = {"get_current_active_span": "get_current_span"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
    if name in ("anthropic", "dual", "openai"):
        found: Any = import_module(f"trimtab.{name}")
    else:
        found = getattr(import_module("trimtab.sdk"), _RENAMED.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
