"""Guard policies: compiled patterns over what arrives and what leaves. Pure but for the HTTP face."""

from .default import DEFAULT_POLICY
from .policy import ACTIONS, STAGES, Finding, Policy, Verdict, compile_policy
from .routes import routes
from .stream import StreamScanner

__all__ = [
    "ACTIONS",
    "DEFAULT_POLICY",
    "STAGES",
    "Finding",
    "Policy",
    "StreamScanner",
    "Verdict",
    "compile_policy",
    "routes",
]
