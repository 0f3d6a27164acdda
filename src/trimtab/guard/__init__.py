"""Guard: policies of patterns and scanners over what arrives, what leaves and what is called.

Pure but for the HTTP face and for optional libraries.
"""

from .budget import BudgetCheck, Measuring, budget_routes
from .catalogue import SCANNERS
from .conversation import Conversation, Risk
from .default import DEFAULT_ADDRESS, DEFAULT_POLICY, WRONG_BLOCK, WRONG_BLOCKS
from .indirect import Content, Screened, datamarked, delimited, screen
from .judge import HAZARDS, Judgement, JudgeSettings, question, read_answer
from .measure import Case, Report, cases_from, measure
from .measurements import Measurement, Measurements
from .policy import Policy, compile_policy, decided
from .routes import cards, context_of, report, routes
from .sample import builtin
from .scanner import STAGES, Match, Scanner
from .stream import StreamScanner
from .text import NO_CONTEXT, Context, Reading, Text, Turn, read
from .vault import Restorer, Vault
from .verdicts import ACTIONS, Failure, Finding, Verdict, hardest

__all__ = [
    "ACTIONS",
    "DEFAULT_ADDRESS",
    "DEFAULT_POLICY",
    "HAZARDS",
    "NO_CONTEXT",
    "SCANNERS",
    "STAGES",
    "WRONG_BLOCK",
    "WRONG_BLOCKS",
    "BudgetCheck",
    "Case",
    "Content",
    "Context",
    "Conversation",
    "Failure",
    "Finding",
    "JudgeSettings",
    "Judgement",
    "Match",
    "Measurement",
    "Measurements",
    "Measuring",
    "Policy",
    "Reading",
    "Report",
    "Restorer",
    "Risk",
    "Scanner",
    "Screened",
    "StreamScanner",
    "Text",
    "Turn",
    "Vault",
    "Verdict",
    "budget_routes",
    "builtin",
    "cards",
    "cases_from",
    "compile_policy",
    "context_of",
    "datamarked",
    "decided",
    "delimited",
    "hardest",
    "measure",
    "question",
    "read",
    "read_answer",
    "report",
    "routes",
    "screen",
]
