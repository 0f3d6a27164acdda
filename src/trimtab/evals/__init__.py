"""Evaluation: cases and datasets, deterministic checks, judges, and the continuous scoring of traffic."""

from .checks import CHECKS, GROUNDED_FLOOR, MAX_AGE_DAYS, Check, Scorer
from .dataset import Case, Golden, add_cases, cases_of, from_jsonl, golden_of, to_jsonl, validate
from .judge import DEFAULT_JUDGE, Judge, Verdict, VerdictUnreadable, read_verdict, validate_judge
from .online import Online, outputs_of
from .output import Output

__all__ = [
    "CHECKS",
    "DEFAULT_JUDGE",
    "GROUNDED_FLOOR",
    "MAX_AGE_DAYS",
    "Case",
    "Check",
    "Golden",
    "Judge",
    "Online",
    "Output",
    "Scorer",
    "Verdict",
    "VerdictUnreadable",
    "add_cases",
    "cases_of",
    "from_jsonl",
    "golden_of",
    "outputs_of",
    "read_verdict",
    "to_jsonl",
    "validate",
    "validate_judge",
]
