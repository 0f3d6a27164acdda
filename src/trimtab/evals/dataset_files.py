"""Datasets as files: JSON lines and CSV of our own, and the formats of MLflow, LangSmith and promptfoo.

* ``jsonl``: a case a line, fields as in a dataset.
* ``csv``: a header with the names of fields; ``tag:NAME`` and ``expects:NAME`` (JSON); any other column is a variable.
* ``mlflow``: records ``{"inputs", "expectations"?, "outputs"?, "tags"?}``, as a list or a line each.
* ``langsmith``: examples ``{"inputs", "outputs"?, "metadata"?, "id"?}``, as a list or a line each.
* ``inspect``: samples of Inspect, ``{"input", "target"?, "id"?, "choices"?, "metadata"?}``, as a list or a line each.
* ``pairs``: a question and two answers, with what people prefer; see ``pair_files.py``.
* ``promptfoo``: tests, as YAML, JSON, JSON lines or CSV with ``__expected`` columns; see ``promptfoo_tests.py``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.core import BadInput

from .dataset import Case, cases_of, from_jsonl, to_jsonl
from .pair_files import pairs_to_cases, pairs_to_labels
from .promptfoo_tests import cases_from_tests, test_of

#: The names under which others keep what is asked and what is expected, most telling first.
_ASKED = ("input", "question", "query", "prompt", "user_input", "text", "content", "message")
_EXPECTED = ("expected", "expected_response", "expected_output", "answer", "output", "reference", "ground_truth",
             "response", "target", "label")  # fmt: skip
_TEXTS = ("input", "id", "expected", "source_trace", "note", "answer", "group", "split", "origin")
#: Largest file, in bytes.
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Imported:
    """Cases that were read; ``left_out`` says what has no place here."""

    cases: list[Case]
    left_out: tuple[str, ...] = ()


def read_cases(text: str, form: str) -> Imported:
    """The cases in a file. Raises BadInput naming the line or field that cannot be read."""
    if form not in READERS:
        raise BadInput(f"{form!r} is no format.", field="format", mend=f"Use one of {', '.join(READERS)}.")
    if len(text) > MAX_BYTES:
        raise BadInput("is larger than 64 MiB.", field="file", mend="Split it.")
    found = READERS[form](text)
    if not found.cases:
        raise BadInput("holds no case.", field="file", mend="Export it again, or name its format.")
    cases_of({"cases": [case.content for case in found.cases]})
    return found


def write_cases(cases: Iterable[Case], form: str) -> str:
    """The cases in a format. What it has no place for is left out. Raises BadInput for an unknown format."""
    if form not in WRITERS:
        raise BadInput(f"{form!r} is no format.", field="format", mend=f"Use one of {', '.join(WRITERS)}.")
    return WRITERS[form](list(cases))


# Our own.


def _jsonl(text: str) -> Imported:
    return Imported(from_jsonl(text))


def _csv(text: str) -> Imported:
    rows = csv.DictReader(io.StringIO(text.lstrip("\ufeff")))
    names = [name.strip() for name in rows.fieldnames or ()]
    if not names:
        raise BadInput("has no header.", field="file", mend="Let the first line name the columns.")
    asked = next((name for name in _ASKED if name in names), "")
    expected = next((name for name in _EXPECTED if name in names), "")
    cases = []
    for number, row in enumerate(rows, 2):
        values = {name: value or "" for name, value in zip(names, row.values(), strict=False) if isinstance(name, str)}
        try:
            cases.append(_case_of_row(values, asked, expected))
        except BadInput as error:
            raise BadInput(error.message, field=f"line {number}: {error.field}", mend=error.mend) from None
    return Imported(cases)


def _case_of_row(values: Mapping[str, str], asked: str, expected: str) -> Case:
    fields: dict[str, Any] = {"tags": {}, "variables": {}, "expects": {}}
    for name, value in values.items():
        if not value:
            continue
        kind, _, rest = name.partition(":")
        if name == asked:
            fields["input"] = value
        elif name == expected:
            fields["expected"] = value
        elif name in _TEXTS:
            fields[name] = value
        elif kind == "tag" and rest:
            fields["tags"][rest] = value
        elif kind == "expects" and rest:
            fields["expects"][rest] = _decoded(value, name)
        elif name == "criteria":
            fields["criteria"] = [line.strip() for line in value.split("\n") if line.strip()]
        else:
            fields["variables"][name.removeprefix("variable:")] = value
    return Case(**fields)


def _to_csv(cases: list[Case]) -> str:
    texts = [name for name in _TEXTS if any(getattr(case, name) for case in cases)]
    groups = {
        prefix: sorted({key for case in cases for key in getattr(case, field)})
        for prefix, field in (("tag", "tags"), ("variable", "variables"), ("expects", "expects"))
    }
    columns = [*texts, *(f"{prefix}:{key}" for prefix, keys in groups.items() for key in keys)]
    if any(case.criteria for case in cases):
        columns.append("criteria")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for case in cases:
        writer.writerow([_cell(case, column) for column in columns])
    return out.getvalue()


def _cell(case: Case, column: str) -> str:
    kind, _, key = column.partition(":")
    if column == "criteria":
        return "\n".join(case.criteria)
    if not key:
        return str(getattr(case, column))
    value = {"tag": case.tags, "variable": case.variables, "expects": case.expects}[kind].get(key, "")
    return value if isinstance(value, str) and kind != "expects" else (_encoded(value) if value != "" else "")


# MLflow and LangSmith.


def _mlflow(text: str) -> Imported:
    cases, lost = [], set()
    for where, item in _records(text):
        hopes = _mapping(item.get("expectations"), f"{where}.expectations")
        asked, variables = _asked(_mapping(item.get("inputs"), f"{where}.inputs"))
        expected, rest = _expected(hopes)
        criteria = [str(g) for g in _listed(rest.pop("guidelines", ()))]
        criteria += [f"The answer says: {fact}" for fact in _listed(rest.pop("expected_facts", ()))]
        lost |= {name for name in item if name not in ("inputs", "expectations", "outputs", "tags", "source")}
        source = _mapping(item.get("source") or {}, f"{where}.source")
        cases.append(Case(
            input=asked, variables=variables, expected=expected, criteria=criteria, expects=rest,
            answer=_as_text(item.get("outputs")), tags=_texts(item.get("tags")), origin="mlflow",
            source_trace=str(source.get("trace_id") or _mapping(source.get("source_data") or {}, where).get("trace_id")
                             or ""),
        ))  # fmt: skip
    return Imported(cases, tuple(sorted(lost)))


def _to_mlflow(cases: list[Case]) -> str:
    return _lines(
        {
            "inputs": {**case.variables, **({"question": case.input} if case.input else {})},
            "expectations": {
                **case.expects,
                **({"expected_response": case.expected} if case.expected else {}),
                **({"guidelines": list(case.criteria)} if case.criteria else {}),
            },
            **({"outputs": case.answer} if case.answer else {}),
            **({"tags": dict(case.tags)} if case.tags else {}),
        }
        for case in cases
    )


def _langsmith(text: str) -> Imported:
    cases, lost = [], set()
    for where, item in _records(text):
        asked, variables = _asked(_mapping(item.get("inputs"), f"{where}.inputs"))
        expected, rest = _expected(_mapping(item.get("outputs") or {}, f"{where}.outputs"))
        metadata = dict(_mapping(item.get("metadata") or {}, f"{where}.metadata"))
        split = item.get("split") or metadata.pop("dataset_split", "")
        known = ("id", "inputs", "outputs", "metadata", "split", "source_run_id", "dataset_id", "created_at",
                 "modified_at", "name")  # fmt: skip
        lost |= {name for name in item if name not in known}
        cases.append(Case(
            id=str(item.get("id") or ""), input=asked, variables=variables, expected=expected, expects=rest,
            split=split[0] if isinstance(split, list) and split else str(split or ""), tags=_texts(metadata),
            origin="langsmith",
        ))  # fmt: skip
    return Imported(cases, tuple(sorted(lost)))


def _to_langsmith(cases: list[Case]) -> str:
    return _lines(
        {
            "id": case.id,
            "inputs": {**case.variables, **({"question": case.input} if case.input else {})},
            "outputs": {**case.expects, **({"answer": case.expected} if case.expected else {})},
            "metadata": {**case.tags, **({"dataset_split": [case.split]} if case.split else {})},
        }
        for case in cases
    )


def _inspect(text: str) -> Imported:
    cases, lost = [], set()
    for _, item in _records(text):
        asked, variables = _asked({"messages": item["input"]} if isinstance(item.get("input"), list) else item)
        target = item.get("target", "")
        several = target if isinstance(target, list) else []
        choices = item.get("choices")
        if isinstance(choices, list):
            asked += "\n\n" + "\n".join(f"{chr(65 + n)}) {choice}" for n, choice in enumerate(choices[:26]))
        lost |= {name for name in item if name not in ("id", "input", "target", "choices", "metadata")}
        lost |= {"target: further ones"} if len(several) > 1 else set()
        cases.append(Case(
            id=str(item.get("id") or ""), input=asked, expected=str(several[0] if several else target or ""),
            variables={"messages": variables["messages"]} if isinstance(variables.get("messages"), list) else {},
            tags=_texts(item.get("metadata")), origin="inspect",
        ))  # fmt: skip
    return Imported(cases, tuple(sorted(lost)))


def _promptfoo(text: str) -> Imported:
    return Imported(*cases_from_tests(text))


def _to_promptfoo(cases: list[Case]) -> str:
    return _lines(test_of(case) for case in cases)


# What they share.


def _asked(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The one text that is asked, and the rest as variables."""
    rest = dict(inputs)
    messages = rest.get("messages")
    if isinstance(messages, list):
        texts = [m.get("content") for m in messages if isinstance(m, Mapping) and m.get("role") in ("user", "human")]
        if texts and isinstance(texts[-1], str):
            rest.pop("messages")
            return texts[-1], rest
    name = next((name for name in _ASKED if isinstance(rest.get(name), str)), "")
    if not name and len(rest) == 1 and isinstance(next(iter(rest.values())), str):
        name = next(iter(rest))
    return (str(rest.pop(name)), rest) if name else ("", rest)


def _expected(outputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The one text that is expected, and the rest."""
    rest = dict(outputs)
    name = next((name for name in _EXPECTED if isinstance(rest.get(name), str | int | float)), "")
    if not name and len(rest) == 1 and isinstance(next(iter(rest.values())), str):
        name = next(iter(rest))
    return (str(rest.pop(name)), rest) if name else ("", rest)


def _records(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Objects of a JSON list, of ``{"records" | "examples" | "data": [...]}``, or one a line."""
    stripped = text.lstrip("\ufeff \r\n\t")
    if stripped.startswith("[") or (stripped.startswith("{") and "\n" not in stripped.strip()):
        data = _decoded(stripped, "file")
        if isinstance(data, Mapping):
            data = next((data[key] for key in ("records", "examples", "data") if key in data), [data])
        for number, item in enumerate(_listed(data), 1):
            yield f"record {number}", _mapping(item, f"record {number}")
        return
    for number, line in enumerate(stripped.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _mapping(_decoded(line, f"line {number}"), f"line {number}")


def _decoded(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadInput(f"is not JSON: {error}.", field=where, mend="Write a list, or one object a line.") from None


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadInput("must be an object.", field=where, mend='Write {"question": "..."}.')
    return value


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value] if value else []


def _texts(value: Any) -> dict[str, str]:
    return {str(k): v if isinstance(v, str) else _encoded(v) for k, v in _mapping(value, "tags").items()}


def _as_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return _expected(value)[0] or _encoded(value) if isinstance(value, Mapping) else _encoded(value)


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _lines(items: Iterable[Mapping[str, Any]]) -> str:
    return "".join(_encoded(item) + "\n" for item in items)


def _pairs(text: str) -> Imported:
    said = len(pairs_to_labels(text))
    left_out = (f"{said} preferences, which are labels: add them with `trimtab eval label NAME FILE`",) if said else ()
    return Imported(pairs_to_cases(text), left_out)


READERS: Mapping[str, Callable[[str], Imported]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "mlflow": _mlflow,
    "langsmith": _langsmith,
    "inspect": _inspect,
    "pairs": _pairs,
    "promptfoo": _promptfoo,
}
WRITERS: Mapping[str, Callable[[list[Case]], str]] = {
    "jsonl": to_jsonl,
    "csv": _to_csv,
    "mlflow": _to_mlflow,
    "langsmith": _to_langsmith,
    "promptfoo": _to_promptfoo,
}
