"""Evaluation: cases and datasets, deterministic checks, judges, and the continuous scoring of traffic."""

from trimtab.core import Score

from .assertions import AGGREGATE, PREFIX, Assertions, Kept, held, scores_of, values_of
from .biases import PairDiagnosis, PairVote, diagnose_pairs
from .calibrate import BAR, Calibration, calibrate, calibrate_pairs
from .case_routes import case_routes
from .checks import CHECKS, GROUNDED_FLOOR, MAX_AGE_DAYS, Check
from .compare import Delta, compare
from .dataset import (
    ADVERSARIAL,
    GOLDEN,
    KINDS,
    REGRESSION,
    Case,
    Dataset,
    Golden,
    add_cases,
    cases_of,
    from_jsonl,
    golden_of,
    kind_in,
    to_jsonl,
    validate,
)
from .dataset_files import READERS, WRITERS, Imported, read_cases, write_cases
from .dataset_routes import DatasetRow, dataset_routes, dataset_rows, golden_sets
from .duplicates import Near, check_cases
from .estimate import METHODS, KnownRates, PassRate, estimate, method_named
from .examples import Example, choose_examples
from .gate import GateResult, Power, gate, gate_any_time, gate_floor, power_of
from .judge import DEFAULT_JUDGE, Judge, VerdictUnreadable, judge_digest, read_verdict, validate_judge
from .judge_items import Items, Steps
from .judge_jury import Jury
from .judge_pair import Pair
from .labels import Draw, Label, labels_from, labels_from_csv, labels_from_jsonl, labels_to_jsonl
from .live_corrections import Corrections, corrected_live
from .live_routes import LiveReport, NamedRate, live_report, live_routes
from .live_scoring import LiveLine, LiveScoring
from .live_sets import LiveSet, live_set, no_other, validate_scorers
from .local import Evaluated, Local
from .meanings import Meanings, meanings
from .online import Online, outputs_of
from .output import OWN_PROJECTS, Output
from .prompt_routes import prompt_routes
from .prompt_tests import Plan, PromptTests
from .promptfoo import convert_promptfoo
from .python_scorers import load_scorers
from .records import People, RunLog
from .refine import Disagreement, disagreements, refinement_request
from .rendering import loaded, markdown, plain
from .results import PASS, MixedJudges, Scored
from .run import Progress, Result, Runner, run
from .run_making import Making
from .run_plan import MAX_REPEATS, RunPlan, Settings, plan_from
from .run_record import Run, kind_of
from .run_reports import Reports
from .run_retry import Retries
from .run_routes import run_routes
from .run_target import Ask, Own, Target, Unanswered
from .runs import Runs
from .sampling import WARNING, LiveRate, Sampling, live_rates, weight_of, weighted_rate
from .scorer import Given, Scorer, Verdict, scorer
from .scorers import MAKERS, Means, adapted, make_scorer, make_scorers
from .spending import Spending
from .splits import Split, split_labels
from .stability import Stability, stability
from .status import JudgeStatus, judge_status
from .wording import cited, content_words, declines, passage_words

__all__ = [
    "ADVERSARIAL",
    "AGGREGATE",
    "BAR",
    "CHECKS",
    "DEFAULT_JUDGE",
    "GOLDEN",
    "GROUNDED_FLOOR",
    "KINDS",
    "MAKERS",
    "MAX_AGE_DAYS",
    "MAX_REPEATS",
    "METHODS",
    "OWN_PROJECTS",
    "PASS",
    "PREFIX",
    "READERS",
    "REGRESSION",
    "WARNING",
    "WRITERS",
    "Ask",
    "Assertions",
    "Calibration",
    "Case",
    "Check",
    "Corrections",
    "Dataset",
    "DatasetRow",
    "Delta",
    "Disagreement",
    "Draw",
    "Evaluated",
    "Example",
    "GateResult",
    "Given",
    "Golden",
    "Imported",
    "Items",
    "Judge",
    "JudgeStatus",
    "Jury",
    "Kept",
    "KnownRates",
    "Label",
    "LiveLine",
    "LiveRate",
    "LiveReport",
    "LiveScoring",
    "LiveSet",
    "Local",
    "Making",
    "Meanings",
    "Means",
    "MixedJudges",
    "NamedRate",
    "Near",
    "Online",
    "Output",
    "Own",
    "Pair",
    "PairDiagnosis",
    "PairVote",
    "PassRate",
    "People",
    "Plan",
    "Power",
    "Progress",
    "PromptTests",
    "Reports",
    "Result",
    "Retries",
    "Run",
    "RunLog",
    "RunPlan",
    "Runner",
    "Runs",
    "Sampling",
    "Score",
    "Scored",
    "Scorer",
    "Settings",
    "Spending",
    "Split",
    "Stability",
    "Steps",
    "Target",
    "Unanswered",
    "Verdict",
    "VerdictUnreadable",
    "adapted",
    "add_cases",
    "calibrate",
    "calibrate_pairs",
    "case_routes",
    "cases_of",
    "check_cases",
    "choose_examples",
    "cited",
    "compare",
    "content_words",
    "convert_promptfoo",
    "corrected_live",
    "dataset_routes",
    "dataset_rows",
    "declines",
    "diagnose_pairs",
    "disagreements",
    "estimate",
    "from_jsonl",
    "gate",
    "gate_any_time",
    "gate_floor",
    "golden_of",
    "golden_sets",
    "held",
    "judge_digest",
    "judge_status",
    "kind_in",
    "kind_of",
    "labels_from",
    "labels_from_csv",
    "labels_from_jsonl",
    "labels_to_jsonl",
    "live_rates",
    "live_report",
    "live_routes",
    "live_set",
    "load_scorers",
    "loaded",
    "make_scorer",
    "make_scorers",
    "markdown",
    "meanings",
    "method_named",
    "no_other",
    "outputs_of",
    "passage_words",
    "plain",
    "plan_from",
    "power_of",
    "prompt_routes",
    "read_cases",
    "read_verdict",
    "refinement_request",
    "run",
    "run_routes",
    "scorer",
    "scores_of",
    "split_labels",
    "stability",
    "to_jsonl",
    "validate",
    "validate_judge",
    "validate_scorers",
    "values_of",
    "weight_of",
    "weighted_rate",
    "write_cases",
]
