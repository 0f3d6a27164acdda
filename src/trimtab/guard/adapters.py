"""Scanners of other libraries, where they are installed: names by Presidio, LLM Guard's and Guardrails AI's.

They are built when a policy names them; a library that is not there is said then. They run in a thread of their own
under the time that the policy gives them. Nothing is imported from these libraries but the class that is named, and of
that only the shape of its one method counts, so that a class of one's own with the same method will do.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .scanner import MOST, Match, Scan, Scanner, refuse_unknown
from .text import Text

_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::[A-Za-z_]\w*)?")
#: The short form of an entry, ``scanner: guardrails:package.module.Class``, by its first word.
SHORT: Mapping[str, str] = {"guardrails": "guardrails-ai", "llm_guard": "llm-guard"}


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


def _loaded(options: Mapping[str, Any], home: str, package: str, method: str) -> Any:
    """An object of the class that ``use`` names: by its name alone where the library keeps its own, or by its path,
    ``package.module.Class`` or ``package.module:Class``. Only a class that has ``method`` is ever made.

    Raises BadInput.
    """
    name, arguments = options.get("use"), options.get("arguments", {})
    if not isinstance(name, str) or _PATH.fullmatch(name) is None:
        raise BadInput("must be the name or path of a class", field="use", mend=f"Name one of {package}'s.")
    if not isinstance(arguments, Mapping):
        raise BadInput("must be an object", field="arguments", mend="Write the arguments of the class.")
    module, _, name = (name if ":" in name else ":".join(name.rpartition(".")[::2])).rpartition(":")
    found = getattr(_library(module or home, package), name, None)
    if not isinstance(found, type) or not callable(getattr(found, method, None)):
        mend = f"It must be a class with the method {method}."
        raise BadInput(f"{module or home} has no such class {name}", field="use", mend=mend)
    try:
        return found(**arguments)
    # house: except because the constructor is anybody's code, and what is wrong with its arguments must be said
    except Exception as error:
        raise BadInput(f"{name} cannot be made ({type(error).__name__}: {error})", field="arguments") from None


def _llm_guard(options: Mapping[str, Any]) -> Scan:
    """LLM Guard: ``scan(prompt)`` of an input scanner and ``scan(prompt, output)`` of an output scanner give the
    sanitised text, whether it is valid, and a risk from -1 to 1."""
    refuse_unknown(options, ("use", "arguments", "where"))
    path = str(options.get("use", ""))
    where = options.get("where", "output" if "output_scanners" in path else "input")
    if where not in ("input", "output"):
        raise BadInput(f"{where!r} is not known", field="where", mend="Write input or output.")
    scanner = _loaded(options, f"llm_guard.{where}_scanners", "llm-guard", "scan")
    kind = type(scanner).__name__

    def scan(text: Text) -> Sequence[Match]:
        plain = text.plain.text
        sanitised, valid, risk = scanner.scan(plain) if where == "input" else scanner.scan(text.context.asked, plain)
        if valid:
            return []
        return [Match(kind, *text.plain.spot(*_changed(plain, sanitised)), min(1.0, max(float(risk), 0.5)))]

    return scan


def _changed(text: str, sanitised: object) -> tuple[int, int]:
    """The stretch of a text that was changed; all of it where nothing was."""
    if not isinstance(sanitised, str) or sanitised == text or not sanitised:
        return 0, len(text)
    start = _alike(text, sanitised)
    most = min(len(text), len(sanitised)) - start
    end = _alike(text[::-1][:most], sanitised[::-1][:most])
    return start, max(start + 1, len(text) - end)


def _alike(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _guardrails(options: Mapping[str, Any]) -> Scan:
    """Guardrails AI: ``validate(value, metadata)`` gives a result with an outcome, pass or fail, and perhaps the spans
    of what is wrong."""
    refuse_unknown(options, ("use", "arguments", "metadata"))
    metadata = options.get("metadata", {})
    if not isinstance(metadata, Mapping):
        raise BadInput("must be an object", field="metadata", mend="Write what the validator asks for.")
    validator = _loaded(options, "guardrails.hub", "guardrails-ai", "validate")
    kind = type(validator).__name__

    def scan(text: Text) -> Sequence[Match]:
        result = validator.validate(text.plain.text, dict(metadata))
        if _of(result, "outcome") != "fail":
            return []
        spans = [(_of(span, "start"), _of(span, "end")) for span in _of(result, "error_spans") or ()]
        right = [
            (start, end) for start, end in spans if isinstance(start, int) and isinstance(end, int) and start < end
        ]
        places = right[:MOST] or [(0, len(text.plain.text))]
        return [Match(kind, *text.plain.spot(start, end), 1.0) for start, end in places]

    return scan


def _of(value: Any, name: str) -> Any:
    """A field of an object, or of a mapping."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


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
        options={"use": "the class, or its path", "arguments": "its arguments", "where": "input or output"},
        cost="large",
    ),
    Scanner(
        name="guardrails-ai",
        stages=_BOTH,
        description="A validator of Guardrails AI (guardrails-ai), by the class that its hub installed.",
        build=_guardrails,
        options={"use": "the class, or its path", "arguments": "its arguments", "metadata": "what it is told"},
        cost="large",
    ),
)
