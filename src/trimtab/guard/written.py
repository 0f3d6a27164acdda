"""Reading a policy as people write it: every mistake is named with its rule, its pattern or option, and its mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import re2

from trimtab.core import BadInput

from .actions import ActionRules, read_rules
from .adapters import SHORT
from .catalogue import SCANNERS
from .checks import CHECKS
from .dialogue import Flows, read_flows
from .entries import Rule, ScannerEntry, Stage
from .expressions import Screen, checked
from .judge import JudgeSettings, read_judge
from .provenance import OUTSIDE, SOURCES
from .scanner import STAGES, Scanner
from .untrusted import MARKS, SCREEN, Untrusted, mark_of, read_untrusted
from .verdicts import ACTIONS

TIERS = ("low", "medium", "high")
_KEYS = ("stages", "fail", "note", "budget", "risk", "judge", "stream", "flows", "untrusted")
_RULE_KEYS = ("name", "patterns", "action", "reason", "message", "check")
_ENTRY_KEYS = (
    "scanner", "name", "action", "threshold", "fail", "within", "from", "sources", "options", "reason", "message",
    "restore", "reask",
)  # fmt: skip
#: Seconds that one scanner, and a whole stage, may take unless the policy says otherwise.
WITHIN = 2.0
BUDGET = 10.0


class Budget(NamedTuple):
    """``latency`` in seconds for one stage of one text; ``false_positives`` the share of good requests it may stop."""

    latency: float = BUDGET
    false_positives: float | None = None


class Risk(NamedTuple):
    """Risk tiers: of routes and tools by name, and of everything else."""

    default: str = "low"
    routes: Mapping[str, str] = {}
    tools: Mapping[str, str] = {}


class Written(NamedTuple):
    """A policy as written, checked and compiled."""

    stages: dict[str, Stage]
    fail: Literal["open", "closed"]
    budget: Budget
    risk: Risk
    judge: JudgeSettings | None
    stream: Literal["auto", "window", "hold"]
    actions: ActionRules | None
    flows: Flows | None
    untrusted: Untrusted


def read_policy(content: Mapping[str, Any]) -> Written:
    """Check and compile the content of a policy. Raises BadInput."""
    _known(content, _KEYS, "content")
    written = content.get("stages")
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field="stages", mend='Write {"input": [...], "output": [...]}.')
    _known(written, STAGES, "stages")
    fail = _choice(content, "fail", ("closed", "open"), "")
    stages: dict[str, Stage] = {}
    actions = None
    for stage, items in written.items():
        if stage == "action" and isinstance(items, Mapping):
            actions, items = read_rules(items), items.get("rules", [])
        if not isinstance(items, Sequence) or isinstance(items, str):
            raise BadInput("must be a list of rules", field=f"stages.{stage}", mend="Write [] for none.")
        stages[stage] = _stage(stage, items, fail)
    judge = read_judge(content["judge"]) if content.get("judge") is not None else None
    return Written(
        stages=stages,
        fail=fail,
        budget=_budget(content.get("budget")),
        risk=_risk(content.get("risk"), actions),
        judge=judge,
        stream=_choice(content, "stream", ("auto", "window", "hold"), ""),
        actions=actions,
        flows=read_flows(content["flows"]) if content.get("flows") is not None else None,
        untrusted=read_untrusted(content.get("untrusted")),
    )


def one_stage(content: Mapping[str, Any], stage: str, rules: Stage) -> dict[str, Any]:
    """A policy with one stage alone, and that without its large scanners."""
    items = content["stages"][stage]
    if isinstance(items, Mapping):
        items = items.get("rules", [])
    large = {entry.name for entry in rules.entries if entry.scanner.cost == "large"}
    kept = [item for item, name in zip(items, rules.names, strict=True) if name not in large]
    return {"stages": {stage: kept}, **{key: content[key] for key in ("fail", "budget") if key in content}}


def seconds(value: object, field: str) -> float:
    """A duration as written: a number of seconds, or text such as 20ms, 1.5s. Raises BadInput."""
    mend = "Write for example 20ms or 1.5s."
    if isinstance(value, str):
        number, scale = (value[:-2], 1000.0) if value.endswith("ms") else (value.removesuffix("s"), 1.0)
        try:
            value = float(number) / scale
        except ValueError:
            raise BadInput(f"{value!r} is not a duration", field=field, mend=mend) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 600:
        raise BadInput(f"{value!r} is not a duration of at most 600 seconds", field=field, mend=mend)
    return float(value)


def _stage(stage: str, items: Sequence[Any], fail: Literal["open", "closed"]) -> Stage:
    rules: list[Rule] = []
    entries: list[ScannerEntry] = []
    names: list[str] = []
    for position, item in enumerate(items):
        field = f"stages.{stage}[{position}]"
        if not isinstance(item, Mapping):
            mend = 'Write {"name", "patterns", "action", "reason"} or {"scanner", "action"}.'
            raise BadInput("must be an object", field=field, mend=mend)
        if "scanner" in item:
            entries.append(_entry(item, stage, field, fail))
            names.append(entries[-1].name)
        else:
            rules.append(_rule(item, field))
            names.append(rules[-1].name)
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"has two rules named {name!r}", field=f"stages.{stage}", mend="Give each its own name.")
    screen = Screen([pattern.pattern for rule in rules for pattern in rule.patterns])
    owners = tuple((rule, pattern) for rule in rules for pattern in rule.patterns)
    return Stage(rules=tuple(rules), entries=tuple(entries), screen=screen, owners=owners, names=tuple(names))


def _rule(rule: Mapping[str, Any], field: str) -> Rule:
    _known(rule, _RULE_KEYS, field)
    for key in ("name", "reason"):
        if not isinstance(rule.get(key), str) or not rule[key].strip():
            raise BadInput("must be text", field=f"{field}.{key}", mend=f"Give the rule a {key}.")
    name = rule["name"]
    check = rule.get("check")
    if check is not None and check not in CHECKS:
        raise BadInput(
            f"rule {name!r} has the unknown check {check!r}",
            field=f"{field}.check",
            mend=f"Use one of {', '.join(CHECKS)} or leave it out.",
        )
    patterns = rule.get("patterns")
    if not isinstance(patterns, Sequence) or isinstance(patterns, str) or not patterns:
        raise BadInput(
            f"rule {name!r} has no list of patterns", field=f"{field}.patterns", mend="Give it at least one pattern."
        )
    return Rule(
        name=name,
        action=_action(rule, name, field),
        reason=rule["reason"],
        message=_text(rule, "message", field),
        patterns=tuple(_pattern(pattern, name, f"{field}.patterns[{i}]") for i, pattern in enumerate(patterns)),
        check=CHECKS[check] if check is not None else None,
    )


def _entry(item: Mapping[str, Any], stage: str, field: str, fail: Literal["open", "closed"]) -> ScannerEntry:
    _known(item, _ENTRY_KEYS, field)
    item = _unfolded(item, field)
    scanner = SCANNERS.get(item["scanner"]) if isinstance(item["scanner"], str) else None
    if scanner is None:
        known = ", ".join(SCANNERS)
        raise BadInput(f"{item['scanner']!r} is not a scanner", field=f"{field}.scanner", mend=f"Use one of {known}.")
    if stage not in scanner.stages:
        mend = f"It is for {', '.join(scanner.stages)}."
        raise BadInput(f"{scanner.name} is not for the stage {stage}", field=f"{field}.scanner", mend=mend)
    name = item.get("name", scanner.name)
    if not isinstance(name, str) or not name.strip():
        raise BadInput("must be text", field=f"{field}.name", mend="Leave it out to use the scanner's name.")
    sources = item.get("sources", list(scanner.sources))
    if not isinstance(sources, Sequence) or isinstance(sources, str) or not set(sources) <= set(SOURCES):
        raise BadInput("must be a list of sources", field=f"{field}.sources", mend=f"Choose from {', '.join(SOURCES)}.")
    mark = _mark(item, sources, field)
    usual = {**item, "action": ("redact" if mark == SCREEN else "flag")} if mark else item
    return ScannerEntry(
        name=name,
        scanner=scanner,
        action=_action(usual, name, field),
        mark=mark,
        threshold=_share(item, "threshold", scanner.threshold, field),
        fail=_choice(item, "fail", (fail, "open", "closed"), f"{field}."),
        within=seconds(item["within"], f"{field}.within") if "within" in item else WITHIN,
        tier=TIERS.index(_choice(item, "from", TIERS, f"{field}.")),
        sources=tuple(sources),
        scan=_built(scanner, item.get("options", {}), f"{field}.options"),
        reason=_text(item, "reason", field) or scanner.description,
        message=_text(item, "message", field),
        restore=_flag(
            item, "restore", field, item.get("action") == "redact" and stage == "input", "Only redact at input."
        ),
        reask=_flag(item, "reask", field, stage == "output", "Only an output can be asked for again."),
    )


def _unfolded(item: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """An entry whose scanner is written short, as LIBRARY:PATH, with the scanner of that library and its option."""
    library, colon, path = str(item["scanner"]).partition(":")
    if not colon or library not in SHORT:
        return item
    options = item.get("options", {})
    if not isinstance(options, Mapping) or "use" in options:
        raise BadInput("name the class twice", field=f"{field}.options", mend="Leave `use` out of the options.")
    name = item.get("name", path.replace(":", ".").rpartition(".")[2])
    return {**item, "scanner": SHORT[library], "name": name, "options": {**options, "use": path}}


def _mark(item: Mapping[str, Any], sources: Sequence[str], field: str) -> str:
    """How an entry marks texts from outside; only such texts can be marked."""
    mark = mark_of(item.get("action"))
    if mark and (not sources or not set(sources) <= set(OUTSIDE)):
        mend = f"Name sources among {', '.join(OUTSIDE)}."
        raise BadInput(f"{mark} is for texts from outside only", field=f"{field}.action", mend=mend)
    return mark


def _built(scanner: Scanner, options: object, field: str) -> Any:
    if not isinstance(options, Mapping):
        raise BadInput("must be an object", field=field, mend="Write {option: value}.")
    try:
        return scanner.build(options)
    except BadInput as error:
        error.field = f"{field}.{error.field}" if error.field else field
        raise


def _action(item: Mapping[str, Any], name: str, field: str) -> Any:
    action = item.get("action")
    if action not in ACTIONS[1:] and not (action == "allow" and "scanner" in item):
        raise BadInput(
            f"rule {name!r} has the unknown action {action!r}",
            field=f"{field}.action",
            mend=f"Use one of {', '.join((*ACTIONS[1:], *((SCREEN, *MARKS) if 'scanner' in item else ())))}.",
        )
    return action


def _pattern(pattern: object, rule: str, field: str) -> Any:
    try:
        found = checked(pattern)  # type: ignore[arg-type]
        checked(f"(?:{pattern})")  # as it will stand among the others: an open quotation would swallow them
    except (re2.error, TypeError, UnicodeEncodeError) as error:
        reason = error.args[0] if isinstance(error, re2.error) and error.args else "it must be valid text"
        if isinstance(reason, bytes):
            reason = reason.decode(errors="replace")
        raise BadInput(
            f"pattern {pattern!r} of rule {rule!r} does not compile: {reason}",
            field=field,
            mend="RE2 has no look-around and no back-references; see its syntax page.",
        ) from None
    if found.search("") is not None:
        raise BadInput(
            f"pattern {pattern!r} of rule {rule!r} matches the empty text",
            field=field,
            mend="Make it need at least one character.",
        )
    return found


def _budget(written: object) -> Budget:
    if written is None:
        return Budget()
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field="budget", mend="Write {latency: 15ms, false_positives: 0.01}.")
    _known(written, ("latency", "false_positives"), "budget")
    latency = seconds(written["latency"], "budget.latency") if "latency" in written else BUDGET
    share = _share(written, "false_positives", 1.0, "budget") if "false_positives" in written else None
    return Budget(latency, share)


def _risk(written: object, actions: ActionRules | None) -> Risk:
    """The tiers; a tool's own in the action stage counts unless ``risk`` names it too."""
    of_tools = {name: rule.risk for name, rule in actions.tools.items() if rule.risk} if actions is not None else {}
    if written is None:
        return Risk(tools=of_tools)
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field="risk", mend="Write {default: low, routes: {...}, tools: {...}}.")
    _known(written, ("default", "routes", "tools"), "risk")
    tables: list[Mapping[str, str]] = []
    for key in ("routes", "tools"):
        table = written.get(key, {})
        if not isinstance(table, Mapping):
            raise BadInput("must be an object", field=f"risk.{key}", mend="Write {name: low|medium|high}.")
        tables.append({name: _choice(table, name, TIERS, f"risk.{key}.") for name in table})
    routes, tools = tables
    return Risk(_choice(written, "default", TIERS, "risk."), routes, {**of_tools, **tools})


def _share(item: Mapping[str, Any], key: str, default: float, field: str) -> float:
    value = item.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadInput(f"{value!r} is not between 0 and 1", field=f"{field}.{key}", mend="Write for example 0.5.")
    return float(value)


def _flag(item: Mapping[str, Any], key: str, field: str, possible: bool, mend: str) -> bool:
    value = item.get(key, False)
    if not isinstance(value, bool) or (value and not possible):
        raise BadInput(f"cannot be {value!r} here", field=f"{field}.{key}", mend=mend)
    return value


def _text(item: Mapping[str, Any], key: str, field: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str):
        raise BadInput("must be text", field=f"{field}.{key}", mend="Write what is told.")
    return value


def _choice(item: Mapping[str, Any], key: str, choices: Sequence[str], prefix: str) -> Any:
    """One of the choices; the first where nothing is written."""
    value = item.get(key, choices[0])
    if value not in choices:
        known = list(dict.fromkeys(choices))
        wrong = f"{value!r} is neither {known[0]} nor {known[1]}" if len(known) == 2 else f"{value!r} is not known"
        raise BadInput(wrong, field=f"{prefix}{key}", mend=f"Write {' or '.join(known)}.")
    return value


def _known(mapping: object, known: Sequence[str], field: str) -> None:
    if not isinstance(mapping, Mapping):
        raise BadInput("must be an object", field=field, mend=f"Its fields are {', '.join(known)}.")
    for key in mapping:
        if key not in known:
            raise BadInput("is not a known field", field=f"{field}.{key}", mend=f"Use {', '.join(known)}.")
