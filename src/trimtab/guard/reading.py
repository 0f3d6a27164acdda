"""Reading a policy as people write it: every mistake is named with its rule, its pattern and its mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import re2

from trimtab.core import BadInput

from .checks import CHECKS

_KEYS = ("stages", "fail", "note")
_RULE_KEYS = ("name", "patterns", "action", "reason", "message", "check")
#: RE2's budget for one compiled pattern and its cache, bytes.
_MEMORY = 64 << 20
#: One rule's fields, ready for ``Rule``.
RuleFields = dict[str, Any]


def read_policy(
    content: Mapping[str, Any], stages: Sequence[str], actions: Sequence[str]
) -> tuple[dict[str, tuple[list[RuleFields], Any]], Literal["open", "closed"]]:
    """The rules of each stage with the stage's screen, and what to do when the guard fails."""
    _known(content, _KEYS, "content")
    written = content.get("stages")
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field="stages", mend='Write {"input": [...], "output": [...]}.')
    _known(written, stages, "stages")
    fail = content.get("fail", "closed")
    if fail not in ("open", "closed"):
        raise BadInput(f"{fail!r} is neither open nor closed", field="fail", mend="Write open or closed.")
    read: dict[str, tuple[list[RuleFields], Any]] = {}
    for stage, rules in written.items():
        if not isinstance(rules, Sequence) or isinstance(rules, str):
            raise BadInput("must be a list of rules", field=f"stages.{stage}", mend="Write [] for none.")
        fields = [_rule(rule, f"stages.{stage}[{position}]", actions) for position, rule in enumerate(rules)]
        _no_repeats([rule["name"] for rule in fields], f"stages.{stage}")
        read[stage] = (fields, _screen(fields))
    return read, fail


def _rule(rule: object, field: str, actions: Sequence[str]) -> RuleFields:
    if not isinstance(rule, Mapping):
        raise BadInput("must be an object", field=field, mend='Write {"name", "patterns", "action", "reason"}.')
    _known(rule, _RULE_KEYS, field)
    for key in ("name", "reason"):
        if not isinstance(rule.get(key), str) or not rule[key].strip():
            raise BadInput("must be text", field=f"{field}.{key}", mend=f"Give the rule a {key}.")
    name = rule["name"]
    action = rule.get("action")
    if action not in actions:
        raise BadInput(
            f"rule {name!r} has the unknown action {action!r}",
            field=f"{field}.action",
            mend=f"Use one of {', '.join(actions)}.",
        )
    message = rule.get("message", "")
    if not isinstance(message, str):
        raise BadInput("must be text", field=f"{field}.message", mend="Write what the caller is told.")
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
    compiled = [_pattern(pattern, name, f"{field}.patterns[{i}]") for i, pattern in enumerate(patterns)]
    return {
        "name": name,
        "action": action,
        "reason": rule["reason"],
        "message": message,
        "patterns": tuple(compiled),
        "check": CHECKS[check] if check is not None else None,
    }


def _pattern(pattern: object, rule: str, field: str) -> Any:
    if not isinstance(pattern, str) or not pattern:
        raise BadInput(f"a pattern of rule {rule!r} is no text", field=field, mend="Write an RE2 expression.")
    try:
        compiled = re2.compile(pattern, _options())
        re2.compile(f"(?:{pattern})", _options())  # an unclosed \\Q compiles alone, but not inside the screen
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error, re2.error) else "not valid Unicode"
        raise BadInput(
            f"pattern {pattern!r} of rule {rule!r} does not compile: {reason}",
            field=field,
            mend="RE2 has no look-around and no back-references; see its syntax page.",
        ) from None
    if compiled.search("") is not None:
        raise BadInput(
            f"pattern {pattern!r} of rule {rule!r} matches the empty text",
            field=field,
            mend="Make it need at least one character.",
        )
    return compiled


def _screen(rules: Sequence[RuleFields]) -> Any:
    """All patterns of a stage as one alternation. Not a ``re2.Set``: that one answers "no match" when its memory ends,
    an alternation falls back to a slower engine."""
    patterns = [f"(?:{compiled.pattern})" for rule in rules for compiled in rule["patterns"]]
    if not patterns:
        return None
    options = _options()
    options.never_capture = True
    return re2.compile("|".join(patterns), options)


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    return options


def _known(mapping: object, known: Sequence[str], field: str) -> None:
    if not isinstance(mapping, Mapping):
        raise BadInput("must be an object", field=field, mend=f"Its fields are {', '.join(known)}.")
    for key in mapping:
        if key not in known:
            raise BadInput("is not a known field", field=f"{field}.{key}", mend=f"Use {', '.join(known)}.")


def _no_repeats(names: Sequence[str], field: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"has two rules named {name!r}", field=field, mend="Give each rule its own name.")
