"""MLflow's names for what an application says about itself, so that a program changes only its import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from trimtab.core import BadInput

from .connection import call
from .livespan import get_current_span, set_session, set_tags
from .outbox import LAST
from .settings import configure, current_settings

_SESSION, _USER = "mlflow.trace.session", "mlflow.trace.user"


class SpanType:
    """Names for ``span_type``."""

    AGENT = "AGENT"
    CHAIN = "CHAIN"
    CHAT_MODEL = "CHAT_MODEL"
    EMBEDDING = "EMBEDDING"
    EVALUATOR = "EVALUATOR"
    GUARDRAIL = "GUARDRAIL"
    LLM = "LLM"
    PARSER = "PARSER"
    RERANKER = "RERANKER"
    RETRIEVER = "RETRIEVER"
    TASK = "TASK"
    TOOL = "TOOL"
    UNKNOWN = ""
    WORKFLOW = "WORKFLOW"


def set_tracking_uri(uri: str) -> None:
    """Send to the server at this address; ``configure(url=...)`` by MLflow's name. Raises BadInput for no address."""
    configure(url=uri)


def set_experiment(experiment_name: str) -> None:
    """File what follows under this project; MLflow's name for ``configure(project=...)``."""
    configure(project=experiment_name)


def update_current_trace(
    tags: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    session_id: str = "",
    user: str = "",
) -> None:
    """Tag the running trace. Of the metadata, ``mlflow.trace.session`` and ``mlflow.trace.user`` say whose it is."""
    more = dict(metadata or {})
    session = session_id or str(more.pop(_SESSION, ""))
    who = user or str(more.pop(_USER, ""))
    if session:
        set_session(session)
    set_tags({**more, **(tags or {}), **({"user": who} if who else {})})


def get_last_active_trace_id() -> str | None:
    """The trace that ended last in this thread or task, or that is running here; None when there was none."""
    span = get_current_span()
    return span.trace_id if span is not None else LAST.get() or None


def search_traces(query: str = "", max_results: int = 100) -> list[dict[str, Any]]:
    """Traces from the server, newest first: ``search_traces("score:thumb<1 tag:topic=billing")``.

    Raises BadInput for a query that cannot be read, Unreachable when the server does not answer.
    """
    asked = urlencode({"q": query, "limit": max_results})
    answer = call(current_settings(), "GET", f"/api/traces?{asked}")
    if answer.status != 200:
        raise BadInput(answer.problem, field="query", mend="Look at the query language in docs/traces.md.")
    found = answer.json().get("traces")
    return found if isinstance(found, list) else []
