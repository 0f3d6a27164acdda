"""The client library: what an application imports. It knows the core only and needs nothing but Python."""

from .calls import Place, Reader, as_json, dumped, patch, plain_messages
from .connection import Unreachable
from .decorator import start_span, trace
from .experiments import (
    SpanType,
    get_last_active_trace_id,
    search_traces,
    set_experiment,
    set_tracking_uri,
    update_current_trace,
)
from .inference import NEAR_NS, asks, flows, makes_prompts, pieces_of, returns_documents
from .livespan import (
    LiveSpan,
    get_current_span,
    kind_by_name,
    kind_of,
    open_span,
    running,
    set_session,
    set_tags,
)
from .outbox import finish, flush, log_feedback
from .prompts import Prompt, filled_in, get_prompt, load_prompt, prompt_of, register_prompt
from .settings import Settings, configure, current_settings
from .wire import SPANS_LOST

observe = trace
traceable = trace

__all__ = [
    "NEAR_NS",
    "SPANS_LOST",
    "LiveSpan",
    "Place",
    "Prompt",
    "Reader",
    "Settings",
    "SpanType",
    "Unreachable",
    "as_json",
    "asks",
    "configure",
    "current_settings",
    "dumped",
    "filled_in",
    "finish",
    "flows",
    "flush",
    "get_current_span",
    "get_last_active_trace_id",
    "get_prompt",
    "kind_by_name",
    "kind_of",
    "load_prompt",
    "log_feedback",
    "makes_prompts",
    "observe",
    "open_span",
    "patch",
    "pieces_of",
    "plain_messages",
    "prompt_of",
    "register_prompt",
    "returns_documents",
    "running",
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
