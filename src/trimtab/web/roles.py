"""What a key of each role may do with the pages and the control API. The gateway asks for its own."""

from __future__ import annotations

READING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Questions that are asked with POST and change nothing.
QUESTIONS = frozenset({"/api/spans/query"})
#: What a program sends with a member's key: telemetry, scores, texts to be scanned.
SENDING = frozenset({"/v1/traces", "/v1/logs", "/api/scores", "/api/guard/scan"})
#: What a program reads with a member's key: the prompts and labels that it works with.
WORKING = ("/api/versions", "/api/labels")


def may(role: str, method: str, path: str) -> bool:
    """Whether a key of this role may do that.

    An admin may do everything. A viewer may look at everything and change nothing. A member is a program: it may send
    what it has to tell and read what it works with, and not look at the traces of others.
    """
    if role == "admin":
        return True
    if role == "viewer":
        return method in READING or path in QUESTIONS
    if role == "member":
        if method in READING:
            return any(path == start or path.startswith(f"{start}/") for start in WORKING)
        return path in SENDING
    return False
