"""A run, and its gate, as JUnit XML: what every CI system shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from trimtab.core import Later

from .gate import GateResult
from .results import PASS
from .run_record import Run, kind_of

if TYPE_CHECKING:
    from xml.sax import saxutils
else:
    saxutils = Later("xml.sax.saxutils")

#: Characters that XML 1.0 cannot hold, however they are escaped.
_UNFIT = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TEXT = 2_000


def junit(run: Run, results: Iterable[Mapping[str, Any]], gate: GateResult | None = None) -> str:
    """One test case for each answer, failed by its scores; the gate, where there is one, is a test case before them."""
    kind = kind_of(run)
    cases = [_gate(gate, kind)] if gate is not None else []
    counts = {"failures": 0, "errors": 0}
    if gate is not None and gate.exit_code:
        counts["failures" if gate.exit_code == 1 else "errors"] += 1
    for result in results:
        text, wrong = _case(run, result)
        cases.append(text)
        if wrong:
            counts[wrong] += 1
    head = f'<testsuite name={_attribute(run.name)} tests="{len(cases)}" failures="{counts["failures"]}"'
    head += f' errors="{counts["errors"]}" id={_attribute(run.id)}>'
    told = {"dataset": run.dataset, "dataset_kind": kind}
    properties = "".join(f"<property name={_attribute(k)} value={_attribute(v)}/>" for k, v in told.items() if v)
    head += f"<properties>{properties}</properties>" if properties else ""
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", head, *cases, "</testsuite>",
                      "</testsuites>", ""])  # fmt: skip


def _gate(gate: GateResult, kind: str) -> str:
    head = f'<testcase classname="gate" name={_attribute(f"gate ({kind} set)" if kind else "gate")}>'
    why = " ".join(part for part in (gate.why, gate.about) if part)
    if not gate.exit_code:
        return f"{head}<system-out>{_text(why)}</system-out></testcase>"
    wrong = "failure" if gate.exit_code == 1 else "error"
    return f"{head}<{wrong} message={_attribute(why)}/></testcase>"


def _case(run: Run, result: Mapping[str, Any]) -> tuple[str, str]:
    name = f"{result['case']}" + (f" #{result['repeat'] + 1}" if result["repeat"] else "")
    head = f'<testcase classname={_attribute(run.name)} name={_attribute(name)} time="{result["latency_ms"] / 1e3:.3f}"'
    answer = f"<system-out>{_text(str(result['output'].get('text', '')))}</system-out>"
    wrong = [result["error"]] if result["error"] else [s["error"] for s in result["scores"] if s["error"]]
    if wrong:
        return f"{head}><error message={_attribute('; '.join(wrong))}/>{answer}</testcase>", "errors"
    low = [s for s in result["scores"] if s["value"] is not None and s["value"] < PASS]
    if low:
        said = "; ".join(f"{s['name']} {s['value']:g}" + (f": {s['reason']}" if s["reason"] else "") for s in low)
        return f"{head}><failure message={_attribute(said)}/>{answer}</testcase>", "failures"
    return f"{head}/>", ""


def _text(text: str) -> str:
    return saxutils.escape(_UNFIT.sub("\ufffd", text[:_TEXT]))


def _attribute(text: str) -> str:
    return saxutils.quoteattr(_UNFIT.sub("\ufffd", " ".join(text.split())[:_TEXT]))
