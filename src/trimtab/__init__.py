"""Trimtab: the operational control system for LLM applications."""

__version__ = "0.1.0"
