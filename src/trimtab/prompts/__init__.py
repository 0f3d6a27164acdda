"""Prompts: what a version of kind ``prompts`` holds, whether it is right, how it is filled, read and written. Pure."""

from trimtab.templates import TYPES, Resolve, Template, Variable, fill, variables_of

from .assertions import KINDS, Assertion, assertions_of, check_assertions
from .cases import PromptCase, cases_address, cases_of
from .content import params_of, validate
from .files import PromptFile, read_prompt_file, write_prompt_file
from .imports import FORMATS, Imported, read_import
from .languages import LANGUAGES, language_of
from .schemas import broken_rule, check_schema

__all__ = [
    "FORMATS",
    "KINDS",
    "LANGUAGES",
    "TYPES",
    "Assertion",
    "Imported",
    "PromptCase",
    "PromptFile",
    "Resolve",
    "Template",
    "Variable",
    "assertions_of",
    "broken_rule",
    "cases_address",
    "cases_of",
    "check_assertions",
    "check_schema",
    "fill",
    "language_of",
    "params_of",
    "read_import",
    "read_prompt_file",
    "validate",
    "variables_of",
    "write_prompt_file",
]
