"""What a key of each role may do with the pages and the control API. The gateway asks for its own."""

from __future__ import annotations

READING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Questions that are asked with POST and change nothing.
QUESTIONS = frozenset({"/api/spans/query"})
#: What a program sends with a member's key: telemetry, scores, texts to be scanned.
SENDING = frozenset({"/v1/traces", "/v1/logs", "/api/scores", "/api/guard/scan"})
#: What a person with a member's key does in review: look for the queues, work through their own, never look at others'.
REVIEWING = frozenset(
    {
        ("GET", "/review"),
        ("GET", "/review/*"),
        ("GET", "/review/*/end"),
        *(("POST", f"/review/*/{step}") for step in ("save", "skip", "undo", "finish")),
        ("GET", "/api/review/queues"),
        ("GET", "/api/review/queues/*/next"),
        *(("POST", f"/api/review/queues/*/{step}") for step in ("marks", "undo", "finish")),
    }
)
#: What a program reads with a member's key: the prompts and labels that it works with.
WORKING = ("/api/versions", "/api/labels")


def may(role: str, method: str, path: str, *, person: bool = False) -> bool:
    """Whether a key of this role may do that; ``person``: the key has an owner.

    An admin may do everything. A viewer may look at everything and change nothing. A member is a program: it may send
    what it has to tell and read what it works with, and not look at the traces of others. A member who is a person may
    review too: without a name nobody can tell whose judgement it is.
    """
    if role == "admin":
        return True
    if role == "viewer":
        return method in READING or path in QUESTIONS or (method == "POST" and _tries(path))
    if role == "member":
        if person and (method, _stepped(path)) in REVIEWING:
            return True
        if method in READING:
            return any(path == start or path.startswith(f"{start}/") for start in WORKING)
        return path in SENDING
    return False


def _stepped(path: str) -> str:
    """A path of the review rooms with its queue as ``*``."""
    for start in ("/api/review/queues/", "/review/"):
        if path.startswith(start):
            _, slash, step = path.removeprefix(start).partition("/")
            return f"{start}*{slash}{step}"
    return path


def _tries(path: str) -> bool:
    """Whether a path tries a text against a guard policy, of which nothing is kept."""
    start, end = "/guard/", "/try"
    return path.startswith(start) and path.endswith(end) and "/" not in path[len(start) : -len(end)]
