"""promptfoo's tests as cases: variables, assertions and what they share."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trimtab.core import BadInput

from .dataset import Case
from .promptfoo_asserts import ASSERTS, RAW, Converted, Read, listed, read_assertion, read_file, read_yaml, written

_EXPECTED = re.compile(r"__expected\d*$")


def cases_from_tests(text: str) -> tuple[list[Case], tuple[str, ...]]:
    """The cases of a file of promptfoo tests: YAML, JSON, JSON lines or CSV; and what was left out."""
    done = Converted()
    tests = _tests_of_text(text, "file")
    return [case_of(test, {}, n, "openai/gpt-4o-mini", done) for n, test in enumerate(tests, 1)], tuple(done.left_out)


def test_of(case: Case) -> dict[str, Any]:
    """A case as a promptfoo test, without scorers that promptfoo does not have."""
    asserts: list[dict[str, Any]] = [{"type": "equals", "value": written(case.expected)}] if case.expected else []
    asserts += [{"type": "llm-rubric", "value": written(text)} for text in case.criteria]
    variables = {**case.variables, **({"input": case.input} if case.input else {})}
    found: dict[str, Any] = {
        "vars": {name: written(value) if isinstance(value, str) else value for name, value in variables.items()}
    }
    if case.note or case.id:
        found["description"] = case.note or case.id
    if asserts:
        found["assert"] = asserts
    if case.tags:
        found["metadata"] = dict(case.tags)
    return found


def tests_of(config: Mapping[str, Any], read: Read, done: Converted) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    tests = config.get("tests") or []
    for item in listed(tests):
        if isinstance(item, str):
            if item.endswith((".py", ".js", ".ts")) or item.startswith("https://"):
                done.without(f"tests {item}")
                continue
            found += _tests_of_text(read_file(item, read), item)
        elif isinstance(item, Mapping):
            found.append(item)
    for scenario in listed(config.get("scenarios")):
        if not isinstance(scenario, Mapping):
            done.without(f"scenario {scenario}")
            continue
        for setting in listed(scenario.get("config")):
            for test in listed(scenario.get("tests")):
                found.append({**test, "vars": {**(setting.get("vars") or {}), **(test.get("vars") or {})},
                              "assert": [*listed(setting.get("assert")), *listed(test.get("assert"))]})  # fmt: skip
    return [one for test in found for one in _spread(test)]


def _spread(test: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A variable that is a list of texts makes a test for each of them, in every combination."""
    spread: list[dict[str, Any]] = [{}]
    for name, value in (test.get("vars") or {}).items():
        each = (
            value if isinstance(value, list) and not (test.get("options") or {}).get("disableVarExpansion") else [value]
        )
        spread = [{**found, name: one} for found in spread for one in each]
    return [{**test, "vars": found} for found in spread]


def _tests_of_text(text: str, where: str) -> list[Mapping[str, Any]]:
    stripped = text.lstrip("\ufeff").lstrip()
    first = stripped.partition("\n")[0]
    if first.startswith("{") and first.rstrip().endswith("}"):
        found: Any = [_json_line(line, n) for n, line in enumerate(stripped.split("\n"), 1) if line.strip()]
    elif not first.startswith(("-", "[", "{", "#")) and "," in first and ": " not in first:
        return [_of_row(row) for row in csv.DictReader(io.StringIO(stripped))]
    else:
        found = read_yaml(text, where)
    if isinstance(found, Mapping):
        found = found.get("tests", [found])
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        raise BadInput("is no list of tests.", field=where, mend='Write [{"vars": {...}, "assert": [...]}].')
    for number, item in enumerate(found, 1):
        if not isinstance(item.get("vars", {}), Mapping) or not item.keys() & {"vars", "assert"}:
            raise BadInput("has neither vars nor assert.", field=f"{where}: test {number}", mend="Write its vars.")
    return found


def _json_line(line: str, number: int) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadInput(f"is not JSON: {error}.", field=f"line {number}", mend="Write one test a line.") from None


def _of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of promptfoo's CSV: ``__expected`` holds assertions as ``type: value``, the rest are variables."""
    test: dict[str, Any] = {"vars": {}, "assert": []}
    for name, value in row.items():
        if name is None or value in (None, ""):
            continue
        name = name.strip()
        if _EXPECTED.match(name):
            test["assert"].append(_shorthand(str(value)))
        elif name == "__description":
            test["description"] = value
        elif name.startswith("__metadata:"):
            test.setdefault("metadata", {})[name.partition(":")[2].removesuffix("[]")] = value
        elif not name.startswith("__"):
            test["vars"][name] = value
    return test


def _shorthand(text: str) -> dict[str, Any]:
    kind, colon, rest = text.partition(":")
    match = re.fullmatch(r"([a-z-]+)(?:\(([\d.]+)\))?", kind.strip())
    if not colon or not match or match[1] not in (*ASSERTS, "grade", "fn", "eval", "javascript", "python"):
        bare = text.strip()
        return (
            {"type": bare} if bare in ("is-json", "contains-json", "is-refusal") else {"type": "equals", "value": text}
        )
    value = rest.strip()
    kind = {"grade": "llm-rubric", "fn": "javascript", "eval": "javascript"}.get(match[1], match[1])
    found: dict[str, Any] = {"type": kind, "value": value}
    if match[2]:
        found["threshold"] = float(match[2])
    if kind in ("cost", "latency"):
        found = {"type": kind, "threshold": match[2] or value}
    if kind.endswith(("-any", "-all")):
        found["value"] = [part.strip() for part in value.split(",")]
    return found


def case_of(test: Mapping[str, Any], default: Mapping[str, Any], number: int, judge: str, done: Converted) -> Case:
    variables = {
        name: RAW.sub(r"\1", value) if isinstance(value, str) else value
        for name, value in {**(default.get("vars") or {}), **(test.get("vars") or {})}.items()
    }
    expected = ""
    scorers: list[Any] = []
    for item in [*listed(default.get("assert")), *listed(test.get("assert"))]:
        if not isinstance(item, Mapping):
            done.without(f"assertion {item}")
            continue
        for one in _flat(item, done):
            made = read_assertion(one, variables, judge, done)
            if made is None:
                continue
            if one.get("type") in ("equals", "similar") and isinstance(made[1], str):
                if expected and expected != made[1]:
                    done.without(f"a second expected text in test {number}")
                    continue
                expected = made[1]
            scorers.append(made[0])
    for name in test:
        if name not in ("vars", "assert", "description", "metadata", "threshold", "options"):
            done.without(f"{name} of a test")
    tags = {str(k): str(v) for k, v in (test.get("metadata") or {}).items()}
    asked = variables.get("input") if isinstance(variables.get("input"), str) else ""
    kept = {k: v for k, v in variables.items() if k != "input" or not asked}
    if not asked and not kept:
        kept = {"prompt": ""}
    return Case(
        id=f"test-{number}", input=asked or "", variables=kept, expected=expected, scorers=_named(scorers), tags=tags,
        note=str(test.get("description") or ""), origin="promptfoo",
    )  # fmt: skip


def _flat(item: Mapping[str, Any], done: Converted) -> Sequence[Mapping[str, Any]]:
    if item.get("type") != "assert-set":
        return [item]
    if item.get("threshold") not in (None, 1):
        done.without("the threshold of an assert-set")
    return [one for one in listed(item.get("assert")) if isinstance(one, Mapping)]


def _named(scorers: list[Any]) -> list[Any]:
    """Scorers of one kind in one case get names of their own."""
    taken: dict[str, int] = {}
    found = []
    for scorer in scorers:
        name = scorer.get("name") or scorer["kind"]
        taken[name] = taken.get(name, 0) + 1
        found.append(scorer if taken[name] == 1 else {**scorer, "name": f"{name} {taken[name]}"})
    return found
