"""Files of pairs: two answers to one question, and which of them people prefer.

One file serves twice: its cases are imported as a dataset (format ``pairs``) and its preferences as labels. A row has a
question, the answers A and B, and may say ``preferred`` (a, b or tie), ``by``, ``critique`` and ``id``. The names that
others use are understood: output_1 and output_2, response_a and response_b, and chosen and rejected. A label's value is
1 where A is preferred, 0 where B is, and 0.5 for a tie. Of chosen and rejected the chosen one is A in about half of the
rows, drawn by their text: where all labels say A, nobody can tell a good judge from one that always says A. In rows
that also say who is ``preferred`` the chosen one is A.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.core import BadInput

from .dataset import Case
from .lines import objects_in

#: What one line looks like.
_EXAMPLE = '{"question", "a", "b", "preferred"}'
#: Pairs that one file may hold.
MAX_PAIRS = 100_000
#: The names of the question, and those of both answers, most telling first.
_ASKED = ("input", "question", "query", "prompt", "instruction")
_CHOSEN = ("chosen", "rejected")
_ANSWERS = (("a", "b"), ("answer_a", "answer_b"), ("response_a", "response_b"), ("output_1", "output_2"),
            _CHOSEN)  # fmt: skip
_PREFERRED = ("preferred", "preference", "winner", "label")
_SIDES: Mapping[str, float] = {
    **dict.fromkeys(("a", "1", "first", "model_a", "output_1", "answer_a", "response_a"), 1.0),
    **dict.fromkeys(("b", "2", "second", "model_b", "output_2", "answer_b", "response_b"), 0.0),
    **dict.fromkeys(("tie", "equal", "both", "neither"), 0.5),
}
#: What a label keeps of a row, as it is: a false is told too.
_TOLD = ("critique", "time_ns", "group", "blind")
_KEPT = ("group", "split", "note", "expected")


def pairs_to_cases(text: str) -> list[Case]:
    """The cases of a file of pairs: answer A is the recorded one, answer B is in ``expects`` as ``other``; a pair that
    several people judged is one case. Raises BadInput naming the line."""
    found: dict[str, Case] = {}
    for where, row in _rows(text):
        asked, a, b = _pair(row, where)
        case_id = _id(row, asked, a, b)
        more = {name: row[name] for name in _KEPT if isinstance(row.get(name), str)}
        case = Case(id=case_id, input=asked, answer=a, expects={"other": b}, **more)
        if found.setdefault(case_id, case).identity != case.identity:
            raise BadInput("is the id of another pair too.", field=f"{where}.id", mend="Give every pair its own id.")
    return list(found.values())


def pairs_to_labels(text: str) -> list[dict[str, Any]]:
    """What people prefer in a file of pairs, as the fields of labels; rows without a preference have none."""
    found = []
    for where, row in _rows(text):
        asked, a, b = _pair(row, where)
        value = _value(row, where)
        if value is None:
            continue
        label = {name: row[name] for name in _TOLD if row.get(name) not in (None, "")}
        found.append({"case": _id(row, asked, a, b), "value": value, "by": str(row.get("by") or "expert"), **label})
    return found


def holds_pairs(text: str) -> bool:
    """Whether a file of labels is one of pairs, by its first row."""
    try:
        _, row = next(_rows(text), ("", {}))
    except BadInput:
        return False
    return _named(row) is not None


def _rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every row with where it stands."""
    text = text.lstrip("\ufeff")
    found = objects_in(text, _EXAMPLE) if text.lstrip().startswith("{") else _cells(text)
    for number, (where, row) in enumerate(found):
        if number >= MAX_PAIRS:
            raise BadInput(f"has more than {MAX_PAIRS:,} pairs.", field="file", mend="Split it.")
        yield where, row


def _cells(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield f"line {reader.line_num}", {name: cell or "" for name, cell in row.items() if name}
    except csv.Error as error:
        raise BadInput(f"is not CSV: {error}.", field=f"line {reader.line_num}", mend="Quote cells.") from error


def _named(row: Mapping[str, Any]) -> tuple[str, str] | None:
    return next((pair for pair in _ANSWERS if all(name in row for name in pair)), None)


def _pair(row: Mapping[str, Any], where: str) -> tuple[str, str, str]:
    names = _named(row)
    asked = next((name for name in _ASKED if row.get(name)), "")
    if names is None or not asked:
        mend = "Write question, a and b, or names such as prompt, output_1 and output_2."
        raise BadInput("lacks the question or one of both answers.", field=where, mend=mend)
    values = [row[name] for name in (asked, *names)]
    if not all(isinstance(value, str) and value.strip() for value in values):
        raise BadInput("must be text that is not empty.", field=f"{where}.{names[0]}", mend="Write both answers.")
    return (values[0], values[2], values[1]) if _turned(row) else (values[0], values[1], values[2])


def _turned(row: Mapping[str, Any]) -> bool:
    """Whether the chosen answer of a row is B: the same for one row every time."""
    if _named(row) != _CHOSEN or _said(row):
        return False
    asked = next(row[name] for name in _ASKED if row.get(name))
    texts = "\0".join((asked, row["chosen"], row["rejected"]))
    return bool(hashlib.blake2b(texts.encode("utf-8", "replace")).digest()[0] & 1)


def _id(row: Mapping[str, Any], asked: str, a: str, b: str) -> str:
    given = str(row.get("id") or row.get("case") or "")
    return given or "pair_" + hashlib.blake2b(f"{asked}\0{a}\0{b}".encode(), digest_size=6).hexdigest()


def _said(row: Mapping[str, Any]) -> str:
    """The name under which a row says which answer is preferred; "" for none."""
    return next((name for name in _PREFERRED if str(row.get(name, "")).strip()), "")


def _value(row: Mapping[str, Any], where: str) -> float | None:
    named = _said(row)
    if not named:
        return float(not _turned(row)) if _named(row) == _CHOSEN else None
    word = str(row[named]).strip().lower()
    if word not in _SIDES:
        raise BadInput(f"{word[:40]!r} is no side.", field=f"{where}.{named}", mend="Write a, b or tie.")
    return _SIDES[word]
