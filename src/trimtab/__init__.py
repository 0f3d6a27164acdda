"""Trimtab: the operational control system for LLM applications.

The names here are the client library's, loaded when they are first used: importing trimtab opens no socket and starts
no thread.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab import openai
    from trimtab.sdk import (
        configure,
        flush,
        get_current_span,
        get_prompt,
        load_prompt,
        log_feedback,
        observe,
        register_prompt,
        set_session,
        set_tags,
        start_span,
        trace,
        traceable,
    )

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "configure",
    "flush",
    "get_current_span",
    "get_prompt",
    "load_prompt",
    "log_feedback",
    "observe",
    "openai",
    "register_prompt",
    "set_session",
    "set_tags",
    "start_span",
    "trace",
    "traceable",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
    found = import_module("trimtab.openai") if name == "openai" else getattr(import_module("trimtab.sdk"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
