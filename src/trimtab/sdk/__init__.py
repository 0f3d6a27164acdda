"""The client library: what an application imports. It knows the core only and needs nothing but Python."""

from .connection import Unreachable
from .decorator import start_span, trace
from .livespan import LiveSpan, get_current_span, kind_of, open_span, running, set_session, set_tags
from .outbox import finish, flush, log_feedback
from .prompts import Prompt, get_prompt, load_prompt, prompt_of, register_prompt
from .settings import Settings, configure, current_settings

observe = trace
traceable = trace

__all__ = [
    "LiveSpan",
    "Prompt",
    "Settings",
    "Unreachable",
    "configure",
    "current_settings",
    "finish",
    "flush",
    "get_current_span",
    "get_prompt",
    "kind_of",
    "load_prompt",
    "log_feedback",
    "observe",
    "open_span",
    "prompt_of",
    "register_prompt",
    "running",
    "set_session",
    "set_tags",
    "start_span",
    "trace",
    "traceable",
]
