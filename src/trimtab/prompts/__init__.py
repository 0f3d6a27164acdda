"""Prompt templates: what a version of kind ``prompts`` holds, whether it is right, and how it is filled. Pure."""

from .content import TYPES, Variable, validate, variables_of
from .filling import fill

__all__ = ["TYPES", "Variable", "fill", "validate", "variables_of"]
