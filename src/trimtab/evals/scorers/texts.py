"""Scorers of an answer's text: equal, near enough as a number, what it cites, what it shares with its sources."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from trimtab.core import BadInput
from trimtab.evals.assertions import holds
from trimtab.evals.dataset import Case
from trimtab.evals.output import Output
from trimtab.evals.scorer import Function, Given, Verdict, short_digest
from trimtab.evals.wording import cited, content_words, declines
from trimtab.prompts import Assertion, assertions_of, check_assertions

#: A number as people write it: 1,234.5 or -3 or 2.5e6 or 40 %; dates and versions are not taken apart.
_NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:[,  ']\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w]|\.\d)")
_QUOTE = re.compile(r"[\"“„«]([^\"“”„«»\n]{12,600})[\"”“»]")
_SPACES = re.compile(r"\s+")
_EXACT = ("ignore_case", "ignore_punctuation")


def assertion(name: str, kind: str, arguments: Mapping[str, Any]) -> Function:
    """An assertion of a prompt as a scorer: ``regex``, ``json_schema``, ``max_words``, ``language``, ``contains`` ...

    Raises BadInput naming the argument that does not fit.
    """
    content = {"name": "x", "kind": kind, **arguments}
    try:
        check_assertions([content], "assertions", output_schema=False)
    except BadInput as error:
        field = error.field.replace("assertions[0]", "").lstrip(".")
        raise BadInput(error.message, field=field or "kind", mend=error.mend) from None
    read: Assertion = assertions_of({"assertions": [content]})[0]

    def rule(case: Case, output: Output) -> Given:
        wrong = holds(read, output) if output.answered else None
        return None if wrong is None else Verdict(float(not wrong), f"the answer {wrong}" if wrong else "")

    return Function(name, rule, short_digest({"kind": kind, **arguments}))


def exact(name: str, *, ignore_case: bool = False, ignore_punctuation: bool = False) -> Function:
    """1 when the answer is the expected one, but for spaces at its ends; nothing without an expected answer."""

    def plain(text: str) -> str:
        text = unicodedata.normalize("NFC", text).strip()
        if ignore_punctuation:
            text = _SPACES.sub(" ", re.sub(r"[^\w\s]", "", text)).strip()
        return text.casefold() if ignore_case else text

    def rule(case: Case, output: Output) -> Given:
        if not case.expected:
            return None
        same = plain(output.text) == plain(case.expected)
        return Verdict(float(same), "" if same else f"expected {case.expected[:200]!r}")

    return Function(name, rule, short_digest({"kind": "exact", "c": ignore_case, "p": ignore_punctuation}))


def numeric(name: str, *, tolerance: float = 0.0, relative: float = 0.0) -> Function:
    """1 when the last number of the answer is the expected one within ``tolerance`` or within ``relative`` times it.

    Nothing where the expected answer holds no number.
    """

    def rule(case: Case, output: Output) -> Given:
        wanted = numbers(case.expected)
        if not wanted:
            return None
        found = numbers(output.text)
        if not found:
            return Verdict(0.0, "the answer holds no number")
        off = abs(found[-1] - wanted[-1])
        ok = off <= max(tolerance, relative * abs(wanted[-1]))
        return Verdict(float(ok), "" if ok else f"{found[-1]:g} is not {wanted[-1]:g}")

    return Function(name, rule, short_digest({"kind": "numeric", "t": tolerance, "r": relative}))


def citations(name: str) -> Function:
    """The share of the cited numbers that are passages which were given; nothing where nothing is cited.

    Where the text is quoted beside its citation, the quotation must stand in that passage.
    """

    def rule(case: Case, output: Output) -> Given:
        numbers_cited = cited(output.text)
        if not output.answered or not numbers_cited:
            return None
        given = {p.get("number", n): str(p.get("text", "")) for n, p in enumerate(output.passages, 1)}
        lost = sorted(number for number in numbers_cited if number not in given)
        wrong = [f"[{number}] is no passage" for number in lost]
        misquoted = set()
        for quote, number in _quoted(output.text):
            if number in given and _flat(quote) not in _flat(given[number]):
                misquoted.add(number)
                wrong.append(f"[{number}] does not say {quote[:80]!r}")
        right = len(numbers_cited) - len(lost) - len(misquoted)
        return Verdict(right / len(numbers_cited), "; ".join(wrong))

    return Function(name, rule, "citations-1")


def overlap(name: str) -> Function:
    """How much of the answer occurs in its passages: words, and apart from them numbers and quotations.

    For triage and for choosing what a judge should see. It does not detect hallucinations: an answer may be wrong in
    the words of its source, and right in other words.
    """

    def rule(case: Case, output: Output) -> Given:
        sources = [f"{p.get('title', '')} {p.get('text', '')}" for p in output.passages]
        if not output.answered or not sources or declines(output.text):
            return None
        source = "\n".join(sources)
        verdicts = _shares(name, "words", sorted(content_words(output.text)), content_words(source).__contains__)
        known = set(numbers(source)) | set(numbers(output.question))
        said = numbers(re.sub(r"\[\d{1,3}\]", " ", output.text))
        verdicts += _shares(f"{name}.numbers", "numbers", said, known.__contains__)
        flat = _flat(source)
        quotes = [match[1] for match in _QUOTE.finditer(output.text)]
        return verdicts + _shares(f"{name}.quotes", "quotations", quotes, lambda quote: _flat(quote) in flat)

    return Function(name, rule, "overlap-1")


def _shares(name: str, what: str, items: list[Any], there: Any) -> list[Verdict]:
    if not items:
        return []
    missing = [item for item in items if not there(item)]
    shown = ", ".join(f"{item:g}" if isinstance(item, float) else str(item)[:60] for item in missing[:5])
    reason = f"{len(missing)} of {len(items)} {what} are in no passage: {shown}" if missing else ""
    return [Verdict(1 - len(missing) / len(items), reason, name=name)]


def numbers(text: str) -> list[float]:
    """The numbers in a text, in order."""
    found = []
    for match in _NUMBER.finditer(text):
        try:
            found.append(float(re.sub(r"[,  ']", "", match[0]).replace("−", "-")))
        except (ValueError, OverflowError):
            continue
    return found


def _quoted(text: str) -> list[tuple[str, int]]:
    """Quotations with the number that is cited right behind them."""
    found = []
    for match in _QUOTE.finditer(text):
        behind = re.match(r"[.,;:]?\s{0,2}\[(\d{1,3})\]", text[match.end() : match.end() + 10])
        if behind:
            found.append((match[1], int(behind[1])))
    return found


def _flat(text: str) -> str:
    return _SPACES.sub(" ", re.sub(r"[\"“”„«».,;:]", "", text)).strip().casefold()
