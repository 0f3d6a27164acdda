"""Evaluation: cases and datasets, deterministic checks, judges, and the continuous scoring of traffic."""

from .assertions import AGGREGATE, PREFIX, Assertions, Kept, held, scores_of, values_of
from .case_routes import case_routes
from .checks import CHECKS, GROUNDED_FLOOR, MAX_AGE_DAYS, Check, Scorer
from .dataset import Case, Golden, add_cases, cases_of, from_jsonl, golden_of, to_jsonl, validate
from .judge import DEFAULT_JUDGE, Judge, Verdict, VerdictUnreadable, read_verdict, validate_judge
from .online import Online, outputs_of
from .output import Output
from .prompt_routes import prompt_routes
from .prompt_tests import Ask, Plan, PromptTests, Trial

__all__ = [
    "AGGREGATE",
    "CHECKS",
    "DEFAULT_JUDGE",
    "GROUNDED_FLOOR",
    "MAX_AGE_DAYS",
    "PREFIX",
    "Ask",
    "Assertions",
    "Case",
    "Check",
    "Golden",
    "Judge",
    "Kept",
    "Online",
    "Output",
    "Plan",
    "PromptTests",
    "Scorer",
    "Trial",
    "Verdict",
    "VerdictUnreadable",
    "add_cases",
    "case_routes",
    "cases_of",
    "from_jsonl",
    "golden_of",
    "held",
    "outputs_of",
    "prompt_routes",
    "read_verdict",
    "scores_of",
    "to_jsonl",
    "validate",
    "validate_judge",
    "values_of",
]
