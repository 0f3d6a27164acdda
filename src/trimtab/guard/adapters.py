"""Scanners of other libraries, where they are installed: names by Presidio, LLM Guard's and Guardrails AI's.

They are built when a policy names them; a library that is not there is said then. They run in a thread of their own
under the time that the policy gives them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .scanner import Match, Scan, Scanner, refuse_unknown
from .text import Text


def _library(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        mend = f"Install {package} beside Trimtab, or leave this scanner out."
        raise BadInput(f"needs {package}, which cannot be loaded ({error})", field="scanner", mend=mend) from None


def _presidio(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("entities", "language"))
    entities = options.get("entities", ["PERSON", "LOCATION"])
    language = options.get("language", "en")
    if not isinstance(entities, Sequence) or isinstance(entities, str) or not isinstance(language, str):
        raise BadInput("must be a list of Presidio's entities", field="entities", mend="Write for example [PERSON].")
    analyzer = _library("presidio_analyzer", "presidio-analyzer").AnalyzerEngine()

    def scan(text: Text) -> Sequence[Match]:
        found = analyzer.analyze(text=text.plain.text, language=language, entities=list(entities))
        return [
            Match(
                str(hit.entity_type).lower().replace("_", "-"), *text.plain.spot(hit.start, hit.end), float(hit.score)
            )
            for hit in found
        ]

    return scan


def _named(options: Mapping[str, Any], module: str, package: str) -> Callable[..., Any]:
    refuse_unknown(options, ("use", "arguments"))
    name = options.get("use")
    if not isinstance(name, str) or not name.isidentifier():
        raise BadInput("must be the name of a class", field="use", mend=f"Name one of {package}'s.")
    found = getattr(_library(module, package), name, None)
    if found is None:
        raise BadInput(f"{package} has no {name}", field="use", mend="See its list.")
    arguments = options.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise BadInput("must be an object", field="arguments", mend="Write the arguments of the class.")
    return lambda: found(**arguments)


def _llm_guard(options: Mapping[str, Any]) -> Scan:
    where = options.get("where", "input")
    if where not in ("input", "output"):
        raise BadInput(f"{where!r} is not known", field="where", mend="Write input or output.")
    rest = {key: value for key, value in options.items() if key != "where"}
    scanner = _named(rest, f"llm_guard.{where}_scanners", "llm-guard")()

    def scan(text: Text) -> Sequence[Match]:
        plain = text.plain.text
        _, valid, risk = scanner.scan(plain) if where == "input" else scanner.scan(text.context.asked, plain)
        return [] if valid else [Match(type(scanner).__name__, 0, len(text.original), min(1.0, max(float(risk), 0.5)))]

    return scan


def _guardrails(options: Mapping[str, Any]) -> Scan:
    validator = _named(options, "guardrails.hub", "guardrails-ai")()

    def scan(text: Text) -> Sequence[Match]:
        result = validator.validate(text.plain.text, {})
        failed = getattr(result, "outcome", "") == "fail"
        return [Match(type(validator).__name__, 0, len(text.original), 1.0)] if failed else []

    return scan


_BOTH = ("input", "output")
SCANNERS = (
    Scanner(
        name="names",
        stages=(*_BOTH, "action"),
        description="Names of people and places, through Presidio (presidio-analyzer and a language model of spaCy).",
        build=_presidio,
        options={
            "entities": "Presidio's entities, PERSON and LOCATION unless given",
            "language": "a code, en unless given",
        },
        cost="large",
    ),
    Scanner(
        name="llm-guard",
        stages=_BOTH,
        description="A scanner of LLM Guard (llm-guard).",
        build=_llm_guard,
        options={"use": "the class", "arguments": "its arguments", "where": "input or output"},
        cost="large",
    ),
    Scanner(
        name="guardrails-ai",
        stages=_BOTH,
        description="A validator of Guardrails AI (guardrails-ai), by the class that its hub installed.",
        build=_guardrails,
        options={"use": "the class", "arguments": "its arguments"},
        cost="large",
    ),
)
