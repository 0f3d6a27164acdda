"""What people said of an output: labels, their import, and what several people agree on."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any, Self

import msgspec

from trimtab.core import BadInput

from .lines import objects_in
from .pair_files import holds_pairs, pairs_to_labels
from .results import PASS

#: Labels that one import may hold.
MAX_LABELS = 200_000
_DRAW = re.compile(r"(\S.{0,199}) ([0-9]{1,9})/([0-9]{1,9})")
_WORDS = {"pass": 1.0, "fail": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """``count`` outputs were drawn at random from a stratum of ``size``: "run_01 quality fail 150/200" in a label.

    The last word names the stratum within what is before it: all strata of one such ``pool`` make it up.
    """

    stratum: str
    count: int
    size: int

    @classmethod
    def of(cls, text: str) -> Self:
        """From what a label holds. Raises BadInput."""
        found = _DRAW.fullmatch(text)
        if found is None or not 0 < int(found[2]) <= int(found[3]):
            mend = 'Write the stratum, how many were drawn and its size, such as "quality fail 150/200".'
            raise BadInput(f"{text[:80]!r} does not say how an output was drawn.", field="drawn", mend=mend)
        return cls(stratum=found[1], count=int(found[2]), size=int(found[3]))

    def __str__(self) -> str:
        return f"{self.stratum} {self.count}/{self.size}"

    @property
    def pool(self) -> str:
        """What the stratum is a part of."""
        return self.stratum.rpartition(" ")[0]

    @property
    def weight(self) -> float:
        """For how many outputs of the pool a drawn one stands."""
        return self.size / self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One person's verdict on one case and criterion.

    ``value`` is in [0, 1] and 1 is a pass; ``by`` is who; ``critique`` says why. ``group`` is what must not be torn
    apart between dev and test (a document, a conversation); empty: the case is its own. ``blind`` is False when the
    person saw the judge's verdict first: such a label cannot calibrate that judge. ``time_ns`` is nanoseconds since
    1970 UTC. ``drawn`` is the stratum that the output was drawn from, as ``Draw`` writes it; "" where nobody said, and
    then labels are taken for a random sample.
    """

    case: str
    criterion: str = ""
    value: float
    by: str
    critique: str = ""
    time_ns: int = 0
    group: str = ""
    blind: bool = True
    drawn: str = ""

    def __post_init__(self) -> None:
        if not self.case:
            raise BadInput("a label names its case.", field="case", mend="Give the case's id.")
        if not self.by:
            raise BadInput(f"case {self.case}: a label names who gave it.", field="by", mend="Give a name.")
        if not 0.0 <= self.value <= 1.0:
            raise BadInput(f"case {self.case}: {self.value} is outside 0 to 1.", field="value", mend="Scale it.")
        if self.drawn:
            Draw.of(self.drawn)

    @property
    def weight(self) -> float | None:
        """For how many outputs of the pool the label stands: one over its chance of being drawn; None: not known."""
        return Draw.of(self.drawn).weight if self.drawn else None


_FIELDS = {f.name for f in fields(Label)}


def labels_from(text: str) -> list[Label]:
    """Labels from JSON lines or CSV, or the preferences in a file of pairs. Raises BadInput naming the line."""
    if holds_pairs(text):
        found = [_label(row, f"preference {number}") for number, row in enumerate(pairs_to_labels(text), 1)]
        if not found:
            mend = "Write a column preferred with a, b or tie."
            raise BadInput("holds pairs that nobody compared.", field="labels", mend=mend)
        return found
    return labels_from_jsonl(text) if text.lstrip().startswith("{") else labels_from_csv(text)


def labels_from_jsonl(text: str) -> list[Label]:
    """Labels from one JSON object a line, with Label's fields; a value may be pass, fail, true or false.

    Empty lines are passed over. Raises BadInput naming the line.
    """
    found: list[Label] = []
    for where, row in objects_in(text, '{"case": ..., "value": ..., "by": ...}'):
        found.append(_label(row, where))
        _bounded(found)
    return found


def labels_from_csv(text: str) -> list[Label]:
    """Labels from CSV whose header names Label's fields. Raises BadInput naming the line or the column."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found: list[Label] = []
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row or None in row.values():
                raise BadInput("has more or fewer cells than the header.", field=where, mend="Quote cells with commas.")
            found.append(_label({name: cell for name, cell in row.items() if cell != "" or name == "value"}, where))
            _bounded(found)
    except csv.Error as error:
        raise BadInput(f"is not CSV: {error}.", field=f"line {reader.line_num}", mend="Quote cells.") from error
    return found


def labels_to_jsonl(labels: Iterable[Label]) -> str:
    """One JSON object a line, fields at their default left out."""
    lines: list[str] = []
    for label in labels:
        row = asdict(label)
        kept = {f.name: row[f.name] for f in fields(Label) if row[f.name] != f.default}
        lines.append(msgspec.json.encode(kept).decode() + "\n")
    return "".join(lines)


def _bounded(found: Sequence[Label]) -> None:
    if len(found) > MAX_LABELS:
        raise BadInput(f"more than {MAX_LABELS:,} labels.", field="labels", mend="Import them in parts.")


def _label(row: Mapping[str, Any], where: str) -> Label:
    for name in row:
        if name not in _FIELDS:
            raise BadInput("is no field of a label.", field=f"{where}.{name}", mend=f"Fields: {', '.join(_FIELDS)}.")
    for name in ("case", "value", "by"):
        if name not in row:
            raise BadInput("is missing.", field=f"{where}.{name}", mend="Every label has case, value and by.")
    for name in ("case", "criterion", "by", "critique", "group", "drawn"):
        if not isinstance(row.get(name, ""), str):
            raise BadInput("must be text.", field=f"{where}.{name}")
    try:
        return Label(
            case=row["case"],
            criterion=row.get("criterion", ""),
            value=_value(row["value"]),
            by=row["by"],
            critique=row.get("critique", ""),
            time_ns=int(row.get("time_ns", 0)),
            group=row.get("group", ""),
            blind=_value(row.get("blind", True)) == 1.0,
            drawn=row.get("drawn", ""),
        )
    except (TypeError, ValueError) as error:
        raise BadInput(f"{error}.", field=where, mend="Give value as a number from 0 to 1, pass or fail.") from error
    except BadInput as error:
        raise BadInput(str(error), field=f"{where}.{error.field}") from error


def _value(given: object) -> float:
    if isinstance(given, bool | int | float):
        return float(given)
    if isinstance(given, str):
        word = given.strip().lower()
        return _WORDS[word] if word in _WORDS else float(word)
    raise TypeError(f"{given!r} is no verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """What people agree on for one case, from their latest labels: their median, None when passes and fails balance;
    of a pair what more of them say than anything else, None without such. ``draws``: how the output was drawn, each
    time that it was; a label that replaces another takes nothing away from that."""

    case: str
    group: str
    value: float | None
    values: tuple[float, ...]
    critiques: tuple[str, ...]
    draws: tuple[Draw, ...] = ()


def side_of(value: float) -> float:
    """A verdict on a pair: 1 for answer A, 0 for answer B, 0.5 for a tie."""
    return 0.5 if value == 0.5 else float(value > 0.5)


def consensus(
    labels: Iterable[Label], criterion: str = "", *, blind_only: bool = True, pairs: bool = False
) -> dict[str, Consensus]:
    """By case, in order of first appearance. A person's later label on the same case replaces the earlier one."""
    latest: dict[str, dict[str, Label]] = defaultdict(dict)
    draws: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        if label.criterion != criterion:
            continue
        if label.drawn:
            draws[label.case].add(label.drawn)
        if blind_only and not label.blind:
            continue
        before = latest[label.case].get(label.by)
        if before is None or label.time_ns >= before.time_ns:
            latest[label.case][label.by] = label
    return {case: _agreed(case, list(given.values()), pairs, draws[case]) for case, given in latest.items()}


def _agreed(case: str, given: Sequence[Label], pairs: bool, draws: Collection[str]) -> Consensus:
    values = tuple(side_of(label.value) if pairs else label.value for label in given)
    groups = {label.group for label in given if label.group}
    if len(groups) > 1:
        raise BadInput(f"case {case} is in the groups {sorted(groups)}.", field="group", mend="Give it one group.")
    return Consensus(
        case=case,
        group=groups.pop() if groups else case,
        value=_preferred(values) if pairs else _median(values),
        values=values,
        critiques=tuple(label.critique for label in given if label.critique),
        draws=tuple(map(Draw.of, sorted(draws))),
    )


def _median(values: Sequence[float]) -> float | None:
    sides = Counter(value >= PASS for value in values)
    return None if sides[True] == sides[False] else float(median(values))


def _preferred(values: Sequence[float]) -> float | None:
    most = Counter(values).most_common(2)
    return None if len(most) > 1 and most[0][1] == most[1][1] else most[0][0]
