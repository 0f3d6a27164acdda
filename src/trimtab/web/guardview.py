"""What a guard policy stopped: the figures of its last measurement, and what it found in recent traffic. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core import Span
from trimtab.guard import ACTIONS, Policy
from trimtab.traces import question

from . import words
from .charts import Scale, Whisker, whisker

WIDTH = 120
#: Rows of recent findings on one page.
MOST_ROWS = 20
#: What the list of recent findings may show, and its words.
SHOWN = (("block", "Blocked"), ("escalate", "Escalated"), ("redact", "Redacted"), ("flag", "Flagged"))
#: The name under which the rules for tool calls stand in the table: they find by kind, not by rule.
TOOL_CALLS = "tool calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerRow:
    """One rule or scanner: where it stands, what it stops alone, and how often it found something lately."""

    rule: str
    where: str
    does: str
    share: str
    interval: str
    only: str
    caught: str
    p50: str
    p95: str
    hits: str
    over: bool
    whisker: Whisker | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """One thing that the guard did lately; ``wrong`` says that somebody called it a mistake."""

    time_ns: int
    trace_id: str
    what: str
    why: str
    where: str
    wrong: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The joint figures of a measurement, in words."""

    share: str
    interval: str
    budget: str
    over: bool
    good: str
    caught: str
    caught_interval: str
    attacks: str
    p50: str
    p95: str
    told: str
    again: str


def share_of(rate: Mapping[str, Any], digits: int = 2) -> str:
    """A measured share in percent, with enough decimals for a budget of one percent."""
    return f"{words.fixed(float(rate['share']) * 100, digits)} %" if rate.get("n") else "not measured"


def interval_of(rate: Mapping[str, Any], digits: int = 2) -> str:
    """Its interval, in percent."""
    if not rate.get("n"):
        return "not measured"
    return words.interval(float(rate["low"]) * 100, float(rate["high"]) * 100, digits)


def headline(report: Mapping[str, Any]) -> Headline:
    """The four figures on top, and what the sum of the scanners would have said."""
    joint, recall = report["false_positives"], report["recall"]
    summed = sum(row["false_positives"]["share"] for row in report["scanners"])
    mine = sum(s["stopped"]["n"] for s in report["sets"] if s["set"] == "traffic")
    wrongs = next((s["stopped"] for s in report["sets"] if s["set"] == "wrong blocks"), None)
    return Headline(
        share=share_of(joint), interval=interval_of(joint), budget=f"{words.fixed(report['budget'] * 100, 2)} %",
        over=bool(report["over_budget"]),
        good=f"{words.plural(joint['n'], 'benign text')}, {words.count(mine) if mine else 'none'} of them yours"
             + _with_answers(report.get("answered") or {}),
        caught=share_of(recall, 0), caught_interval=interval_of(recall, 0),
        attacks=words.plural(recall["n"], "attack"),
        p50=_ms(report["p50_ms"]), p95=_ms(report["p95_ms"]),
        told=f"The {len(report['scanners'])} add up to {words.fixed(summed * 100, 2)} %; together they stop "
             f"{share_of(joint)}. Independent mistakes would stop {words.fixed(report['independent'] * 100, 2)} %.",
        again=f"Of {words.plural(wrongs['n'], 'block')} called wrong it still stops {words.count(wrongs['hits'])}."
              if wrongs and wrongs["n"] else "",
    )  # fmt: skip


def _with_answers(rate: Mapping[str, Any]) -> str:
    """What is said of the requests that were measured with their answers; nothing where there are none."""
    return f"; with their answers {share_of(rate)} of {words.count(rate['n'])}" if rate.get("n") else ""


def scanner_rows(policy: Policy, report: Mapping[str, Any] | None, hits: Mapping[str, int]) -> tuple[ScannerRow, ...]:
    """A row for every rule of the policy, its tool calls, and all together."""
    measured = {row["rule"]: row for row in report["scanners"]} if report else {}
    budget = float(report["budget"]) if report else 0.0
    worst = max((row["false_positives"]["high"] for row in measured.values()), default=0.0)
    joint = report["false_positives"] if report else {}
    scale = Scale(low=0, high=max(2 * budget, joint.get("high", 0.0), min(worst, 0.2), 0.01), start=4, end=WIDTH - 4)
    rows = [_row(name, _does(policy, name), policy, measured.get(name), hits, scale, budget) for name in _names(policy)]
    if policy.actions is not None:
        rows.append(_blank(TOOL_CALLS, "action", "judges", words.count(hits.get(TOOL_CALLS, 0))))
    if report:
        rows.append(_together(report, scale, budget, hits))
    return tuple(rows)


def _names(policy: Policy) -> list[str]:
    return list(dict.fromkeys(name for stage in policy.stages.values() for name in stage.names))


def _does(policy: Policy, name: str) -> str:
    found = [rule.action for stage in policy.stages.values() for rule in stage.rules if rule.name == name]
    found += [entry.action for stage in policy.stages.values() for entry in stage.entries if entry.name == name]
    return max(found, key=ACTIONS.index, default="flag")


def _where(policy: Policy, name: str) -> str:
    return ", ".join(stage for stage, held in policy.stages.items() if name in held.names)


def _blank(rule: str, where: str, does: str, hits: str) -> ScannerRow:
    none = "not measured"
    return ScannerRow(
        rule=rule, where=where, does=does, share=none, interval="", only="", caught="", p50="", p95="", hits=hits,
        over=False, whisker=None,
    )  # fmt: skip


def _row(
    name: str, does: str, policy: Policy, row: Mapping[str, Any] | None, hits: Mapping[str, int], scale: Scale,
    budget: float,
) -> ScannerRow:  # fmt: skip
    seen = words.count(hits.get(name, 0))
    if row is None or not row["false_positives"]["n"]:
        return _blank(name, _where(policy, name), does, seen)
    rate, alone = row["false_positives"], row["only_it_false"]
    return ScannerRow(
        rule=name, where=_where(policy, name), does=does, share=share_of(rate), interval=interval_of(rate),
        only=words.count(alone["hits"]), caught=share_of(row["recall"], 0), p50=_ms(row.get("p50_ms")),
        p95=_ms(row.get("p95_ms")) if row.get("p95_ms") is not None else "", hits=seen,
        over=rate["share"] > budget, whisker=_whisker(rate, scale, budget),
    )  # fmt: skip


def _together(report: Mapping[str, Any], scale: Scale, budget: float, hits: Mapping[str, int]) -> ScannerRow:
    joint = report["false_positives"]
    only = sum(row["only_it_false"]["hits"] for row in report["scanners"])
    return ScannerRow(
        rule="All together", where="", does="", share=share_of(joint), interval=interval_of(joint),
        only=words.count(only), caught=share_of(report["recall"], 0), p50=_ms(report["p50_ms"]),
        p95=_ms(report["p95_ms"]), hits=words.count(sum(hits.values())), over=bool(report["over_budget"]),
        whisker=_whisker(joint, scale, budget),
    )  # fmt: skip


def _ms(value: float | None) -> str:
    return words.fixed(value, 1 if value is None or value >= 0.095 else 2) if value is not None else "in one pass"


def _whisker(rate: Mapping[str, Any], scale: Scale, budget: float) -> Whisker:
    css = "bad" if rate["low"] > budget else "ok" if rate["high"] <= budget else ""
    return whisker(rate["share"], rate["low"], rate["high"], scale=scale, reference=budget, css=css)


def hits_by_rule(spans: Sequence[Span]) -> Counter[str]:
    """How many requests each rule found something in; every rule of tool calls counts as one."""
    seen = {(_rule_of(one), span.trace_id) for span in spans for one in findings_of(span)}
    return Counter(rule for rule, _ in seen)


def _rule_of(finding: Mapping[str, Any]) -> str:
    return TOOL_CALLS if finding.get("scanner") == "actions" else str(finding.get("rule") or "")


def findings_of(span: Span) -> Iterator[Mapping[str, Any]]:
    """The findings that a guard's span carries."""
    found = span.attributes.get("findings")
    for one in found if isinstance(found, list) else ():
        if isinstance(one, Mapping):
            yield one


def found_rows(
    spans: Sequence[Span], action: str, asked: Mapping[str, str], wrong: Collection[str]
) -> tuple[FoundRow, ...]:
    """What was done lately, newest first: one row for each stage of a request, by its surest finding."""
    rows = []
    for span in spans:
        found = [one for one in findings_of(span) if one.get("action") == action]
        if not found:
            continue
        first = max(found, key=lambda one: float(one.get("score") or 1.0))
        score = first.get("score")
        why = f"{_rule_of(first)} {words.fixed(float(score))}" if isinstance(score, int | float) else _rule_of(first)
        rows.append(
            FoundRow(
                time_ns=span.start_ns, trace_id=span.trace_id, what=asked.get(span.trace_id, ""),
                why=f"{why}: {first.get('reason') or first.get('kind') or ''}",
                where=str(span.attributes.get("stage") or ""), wrong=span.trace_id in wrong,
            )
        )  # fmt: skip
    return tuple(rows[:MOST_ROWS])


def traces_with(spans: Sequence[Span], action: str, most: int | None = MOST_ROWS) -> list[str]:
    """The newest traces in which something of this kind was done; ``most`` None: all of them."""
    found = dict.fromkeys(
        span.trace_id for span in spans if any(one.get("action") == action for one in findings_of(span))
    )
    return list(found)[:most]


def questions(roots: Sequence[Span]) -> dict[str, str]:
    """What was asked, by trace."""
    return {root.trace_id: question(root.input) for root in roots}
