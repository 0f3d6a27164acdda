"""The verdict on one proposed tool call. Pure: the same call, history and rules give the same verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from trimtab.core import Later
from trimtab.guard.tool_texts import goes_beyond
from trimtab.guard.verdicts import SEVERITY, Action, Finding, Verdict, hardest

from .calls import History, Tool, ToolCall
from .provenance import Origin, addresses_in, origin_of
from .rules import DEFAULT_RULES, NO_ARGUMENT_RULE, NO_RULE, ActionRules, ArgumentRule, ToolRule
from .thoughts import quoted_orders
from .values import entity_of, leaves
from .wording import GRAVE, asks_for, effect_of, gives_orders, names_a_thing, says_where

if TYPE_CHECKING:
    import jsonschema_rs
else:
    jsonschema_rs = Later("jsonschema_rs")

SCANNER = "actions"
_DIRECTORY = ("user", "system", "lookup")
_THINGS = (*_DIRECTORY, "result")
_CONTENT = (*_THINGS, "document", "model")
#: Within a plan the links that a text carries may come from anywhere but from the prose of a text from outside.
_LINKS = (*_DIRECTORY, "field", "model")
#: Effects for which a plan trusts no destination in prose from outside: what they do is not taken back.
_FINAL = ("pay", "delete", "run")
#: Letters that a content must have before it counts that an order names it: short ones happen to be the same.
_TELLING = 4
_SHOWN = 60
#: Words with which a description puts itself before another tool.
_TURN = re.compile(r"(?i)\b(?:before|instead|always|first|must|never|do not|don't|rather than)\b")


class _Case(NamedTuple):
    """One call being judged."""

    call: ToolCall
    history: History
    rules: ActionRules
    rule: ToolRule
    effect: str


class _Fault(NamedTuple):
    """Something wrong with a call: what kind, what is to be done, why, and with which argument."""

    kind: str
    action: Action
    reason: str
    argument: str = ""


def screen(call: ToolCall, history: History, rules: ActionRules = DEFAULT_RULES) -> Verdict:
    """The verdict: allow, flag, escalate (a person must say) or block, with a finding for each thing that is wrong."""
    rule = rules.tools.get(call.tool, NO_RULE)
    case = _Case(call, history, rules, rule, rule.effect or effect_of(call.tool))
    faults = [_bounded(fault, rules) for check in _CHECKS for fault in check(case)]
    text = json.dumps(dict(call.arguments), ensure_ascii=False, default=str)
    findings = tuple(
        Finding(
            rule=call.tool, action=fault.action, start=0, end=len(text), reason=fault.reason, scanner=SCANNER,
            kind=fault.kind, note=fault.argument,
        )
        for fault in faults
    )  # fmt: skip
    action = hardest(findings)
    message = ""
    if action in ("block", "escalate"):
        first = next(finding for finding in findings if finding.action == action)
        message = f"The call of {call.tool} was {'stopped' if action == 'block' else 'held'}: {first.reason}"
    return Verdict(action=action, findings=findings, text="" if action == "block" else text, message=message)


def _bounded(fault: _Fault, rules: ActionRules) -> _Fault:
    """The fault with no harder action than the policy allows for its kind."""
    most = rules.at_most.get(fault.kind)
    return fault._replace(action=most) if most is not None and SEVERITY[most] < SEVERITY[fault.action] else fault


def _allowed(case: _Case) -> Iterator[_Fault]:
    call, history, rules, rule = case.call, case.history, case.rules, case.rule
    if not rule.allow:
        yield _Fault("not-allowed", "block", "The policy does not allow this tool.")
    if rule.routes and history.route not in rule.routes:
        yield _Fault("not-allowed", "block", f"This tool may not be called on the route {history.route or 'none'}.")
    if rule.users and history.user not in rule.users:
        yield _Fault("not-allowed", "block", "This tool may not be called for this user.")
    if call.tool not in rules.tools and rules.unnamed != "check":
        yield _Fault("not-allowed", rules.unnamed, "The policy does not name this tool.")
    if history.tools and call.tool not in history.declared:
        yield _Fault("unknown-tool", "block", "The application has not declared this tool.")


def _shape(case: _Case) -> Iterator[_Fault]:
    tool = case.history.declared.get(case.call.tool)
    if tool is None or tool.schema is None:
        return
    wrong = _misfit(tool, case.call.arguments)
    if wrong:
        yield _Fault("schema", "block", f"The arguments do not fit the tool's schema: {wrong}.")


def _misfit(tool: Tool, arguments: Any) -> str:
    check = _validator(msgspec.json.encode(tool.schema))
    if check is None:
        return ""
    error = next(iter(check.iter_errors(dict(arguments))), None)
    if error is None:
        return ""
    place = ".".join(str(part) for part in error.instance_path)
    return f"{place or 'they'}: {error.message[:160]}".rstrip(".")


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Any:
    """The validator of a schema; None for one that is not a schema, which is the application's to mend."""
    try:
        return jsonschema_rs.validator_for(schema.decode())
    except (ValueError, jsonschema_rs.ValidationError):
        return None


def _limits(case: _Case) -> Iterator[_Fault]:
    call, made, rules = case.call, case.history.made, case.rules
    if len(made) >= rules.calls:
        yield _Fault("limit", "block", f"The conversation has used its {rules.calls} calls.")
    mine = [each for each in made if each.tool == call.tool]
    if case.rule.limit is not None and len(mine) >= case.rule.limit:
        yield _Fault("limit", case.rule.otherwise, f"The tool may be called {case.rule.limit} times in a conversation.")
    if len(mine) >= rules.repeats and sum(each.digest == call.digest for each in mine) >= rules.repeats:
        yield _Fault("loop", "block", f"The same call was already made {rules.repeats} times.")


def _hijack(case: _Case) -> Iterator[_Fault]:
    history, name = case.history, case.call.tool
    same = [tool for tool in history.tools if tool.name == name]
    if len(same) > 1:
        yield _Fault("shadowing", "block", "Two tools have this name.")
    for tool in same[:1]:
        if name in history.pins and history.pins[name] != tool.digest:
            yield _Fault("changed-tool", case.rules.changed, "The tool is no longer described as it was at first.")
    others = frozenset(tool.name for tool in history.tools) - {name}
    if any(goes_beyond(tool.description, others) for tool in same):
        yield _Fault("shadowing", "escalate", "The description of the tool gives orders about more than the tool.")
    for tool in history.tools:
        if tool.name != name and _speaks_of(tool.description, name):
            yield _Fault(
                "shadowing", "escalate", f"The description of {tool.name[:_SHOWN]} gives orders about this tool."
            )


@lru_cache(maxsize=1024)
def _speaks_of(description: str, tool: str) -> bool:
    """Whether a description gives orders about another tool."""
    if tool.casefold() not in description.casefold():
        return False
    about = [line for line in description.split(". ") if tool.casefold() in line.casefold()]
    return any(gives_orders(line) or _TURN.search(line) is not None for line in about)


def _agreed(case: _Case) -> Iterator[_Fault]:
    call, history, rules, rule = case.call, case.history, case.rules, case.rule
    if history.plan is None:
        if rules.plan == "required" and case.effect != "read":
            yield _Fault("plan", "escalate", "There is no plan that this call belongs to.")
    elif call.tool not in history.plan:
        yield _Fault("plan", "block", "The call is not in the plan.")
    elif case.effect != "read" and sum(m.tool == call.tool for m in history.made) >= history.plan.count(call.tool):
        yield _Fault("plan", "block", "The plan has no further call of this tool.")
    elif not rule.intent:
        return
    wanted = bool(rule.intent) or (rules.intent and case.effect in GRAVE)
    if wanted and history.plan is None and not _meant(case):
        yield _Fault("intent", rule.otherwise, "The user has asked for nothing of the kind.")


def _meant(case: _Case) -> bool:
    effect = case.rule.effect or effect_of(case.call.tool)
    return any(asks_for(text, effect, case.rule.intent) for text in case.history.said)


def _values(case: _Case) -> Iterator[_Fault]:
    for name, rule in case.rule.arguments.items():
        for place, value in leaves(case.call.arguments.get(name), name):
            wrong = _off(rule, value)
            if wrong:
                yield _Fault("argument", rule.otherwise, f"{place} {wrong}.", place)


def _off(rule: ArgumentRule, value: Any) -> str:
    if value is None:
        return ""
    if rule.values and value not in rule.values:
        return "is not one of the allowed values"
    if rule.pattern is not None and rule.pattern.fullmatch(str(value)) is None:
        return "does not match its pattern"
    if rule.length is not None and len(str(value)) > rule.length:
        return f"is longer than {rule.length} characters"
    if (rule.least, rule.most) == (None, None):
        return ""
    number = _as_number(value)
    if number is None:
        return "is not a number"
    if (rule.least is not None and number < rule.least) or (rule.most is not None and number > rule.most):
        return "is out of its range"
    return ""


def _as_number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _provenance(case: _Case) -> Iterator[_Fault]:
    if not case.rules.provenance:
        return
    for name, given in case.call.arguments.items():
        rule = case.rule.arguments.get(name, NO_ARGUMENT_RULE)
        otherwise = rule.otherwise if name in case.rule.arguments else case.rule.otherwise
        for place, value in leaves(given, name):
            if value is None or isinstance(value, bool) or value == "":
                continue
            for said, origin in _origins(case, rule, name, value):
                if not origin.trusted:
                    action: Action = "block" if origin.order and otherwise != "flag" else otherwise
                    kind = "dictated" if origin.order else "provenance"
                    yield _Fault(kind, action, f"{place} {said}: {origin.words}.", place)


def _origins(case: _Case, rule: ArgumentRule, name: str, value: Any) -> Iterator[tuple[str, Origin]]:
    """What to ask about one value: itself, and the addresses within a longer text."""
    entity = entity_of(value) if isinstance(value, str) else None
    allowed = _from(case, rule, name, entity.kind if entity is not None else "")
    if allowed is None:
        if case.effect != "read" and isinstance(value, str):
            yield from _content(case, rule, value)
        return
    yield "is not from whom it may be", _asked(case, value, allowed)


def _content(case: _Case, rule: ArgumentRule, value: str) -> Iterator[tuple[str, Origin]]:
    """A text that the model writes: it may be made of anything, but not on the order of a text from outside."""
    if sum(letter.isalpha() for letter in value[:1000]) >= _TELLING:
        found = _asked(case, value, _CONTENT)
        if found.order:
            yield "is dictated", found
    allowed = rule.addresses or (_LINKS if _planned(case) else _CONTENT)
    for address in addresses_in(value):
        found = _asked(case, address, allowed)
        if not found.trusted:
            yield "holds an address that may not stand there", found


def _planned(case: _Case) -> bool:
    return case.history.plan is not None and case.call.tool in case.history.plan


def _asked(case: _Case, value: Any, allowed: Sequence[str]) -> Origin:
    return origin_of(value, case.history, allowed, case.rules.lookups, case.rules.own)


def _from(case: _Case, rule: ArgumentRule, name: str, entity: str) -> tuple[str, ...] | None:
    """Where the value of an argument may come from; None where its name and value do not matter. ``entity`` is what
    kind of address or account the value is, if it is one."""
    if rule.origins:
        allowed = rule.origins
    elif case.effect == "read":
        return _CONTENT if entity else None
    elif not (entity or says_where(name)):
        return None
    else:
        allowed = _THINGS if names_a_thing(name) and not entity else _DIRECTORY
    if not _planned(case):
        return allowed
    # The step is agreed, its arguments are not: what an attacker may write to be read is prose.
    return (*allowed, "field" if case.effect in _FINAL or entity == "link" else "result")


def _thoughts(case: _Case) -> Iterator[_Fault]:
    """Orders from outside that the model quotes: in what it thought before the call, or within the call."""
    if case.call.reasoning and quoted_orders(case.call.reasoning, case.history.untrusted, case.history.said):
        action: Action = "flag" if case.effect == "read" else "escalate"
        yield _Fault("thought-injection", action, "The model's reasoning repeats an order from outside.")
    if case.effect == "read":
        return
    for place, value in leaves(dict(case.call.arguments)):
        if isinstance(value, str) and quoted_orders(value, case.history.untrusted, case.history.said):
            yield _Fault("thought-injection", "escalate", f"{place} repeats an order from outside.", place)


_CHECKS: tuple[Callable[[_Case], Iterator[_Fault]], ...] = (
    _allowed, _shape, _limits, _hijack, _agreed, _values, _provenance, _thoughts,
)  # fmt: skip
