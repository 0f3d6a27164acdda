"""The tools of a policy's action stage, as written and checked. ``docs/actions.md`` tells every field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import re2

from trimtab.core import BadInput

from .wording import EFFECTS, Effect

Refusal = Literal["flag", "escalate", "block"]
REFUSALS = ("flag", "escalate", "block")
TIERS = ("low", "medium", "high")
#: Where a value may come from. ``lookup`` stands for every tool the policy lists under ``lookups``.
#: ``field`` is a result's field that is the value and nothing else; ``result`` any place in a result.
ORIGINS = ("user", "system", "model", "field", "result", "document", "lookup", "any")
#: What may be wrong with a call. ``dictated``: an order in a text from outside names the value.
FAULTS = (
    "not-allowed", "unknown-tool", "schema", "limit", "loop", "shadowing", "changed-tool", "plan", "intent", "argument",
    "provenance", "dictated", "thought-injection",
)  # fmt: skip
_KEYS = (
    "rules", "tools", "lookups", "unnamed", "intent", "plan", "provenance", "changed", "limits", "wait", "own",
    "at_most",
)  # fmt: skip
_TOOL_KEYS = ("risk", "effect", "allow", "arguments", "limit", "intent", "routes", "users", "otherwise")
_ARGUMENT_KEYS = ("from", "values", "pattern", "least", "most", "length", "otherwise", "addresses")
_LONGEST_WAIT = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentRule:
    """What one argument may be. ``origins`` empty: the defaults of its tool. ``addresses`` are the origins of every
    address and account that stands within a longer text."""

    origins: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    pattern: Any = None
    least: float | None = None
    most: float | None = None
    length: int | None = None
    otherwise: Refusal = "escalate"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """What one tool may do. ``effect`` empty: as its name says. ``intent`` are the words of which the user must have
    said one; ``limit`` the calls of one conversation; ``routes`` and ``users`` who may call it, all if empty."""

    effect: Effect | Literal[""] = ""
    risk: str = ""
    allow: bool = True
    arguments: Mapping[str, ArgumentRule] = field(default_factory=dict)
    limit: int | None = None
    intent: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    otherwise: Refusal = "escalate"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRules:
    """The whole of a policy about tool calls.

    ``unnamed`` says what is done with tools that the policy does not name: they are checked by the defaults, or
    refused. ``lookups`` are tools whose results are the owner's own directory. ``own`` are addresses that belong to
    the owner. ``calls`` and ``repeats`` bound a conversation and the same call in it. ``wait`` is seconds until an
    escalated call that nobody decided is refused. ``at_most`` bounds what is done about a kind of fault.
    """

    tools: Mapping[str, ToolRule] = field(default_factory=dict)
    lookups: tuple[str, ...] = ()
    unnamed: Literal["check", "escalate", "block"] = "check"
    intent: bool = False
    plan: Literal["optional", "required"] = "optional"
    provenance: bool = True
    changed: Refusal = "escalate"
    own: tuple[str, ...] = ()
    calls: int = 100
    repeats: int = 3
    wait: float = 900.0
    at_most: Mapping[str, Refusal] = field(default_factory=dict)


DEFAULT_RULES = ActionRules()
NO_RULE = ToolRule()
NO_ARGUMENT_RULE = ArgumentRule()


def read_rules(written: Mapping[str, Any], field: str = "stages.action") -> ActionRules:
    """The action stage of a policy. Raises BadInput naming the field and the mend."""
    _known(written, _KEYS, field)
    limits = _mapping(written, "limits", field)
    _known(limits, ("calls", "repeats"), f"{field}.limits")
    tools = {
        str(name): _tool(rule, f"{field}.tools.{name}") for name, rule in _mapping(written, "tools", field).items()
    }
    return ActionRules(
        tools=tools,
        lookups=_words(written, "lookups", field),
        unnamed=_one(written, "unnamed", ("check", "escalate", "block"), field),
        intent=_truth(written, "intent", False, field),
        plan=_one(written, "plan", ("optional", "required"), field),
        provenance=_truth(written, "provenance", True, field),
        changed=_one(written, "changed", ("escalate", "flag", "block"), field),
        own=_words(written, "own", field),
        calls=int(_number(limits, "calls", 100, f"{field}.limits", least=1)),
        repeats=int(_number(limits, "repeats", 3, f"{field}.limits", least=1)),
        wait=_number(written, "wait", 900.0, field, least=1, most=_LONGEST_WAIT),
        at_most=_bounds(written, field),
    )


def _bounds(written: Mapping[str, Any], field: str) -> Mapping[str, Refusal]:
    bounds = _mapping(written, "at_most", field)
    _known(bounds, FAULTS, f"{field}.at_most")
    return {str(kind): _one(bounds, kind, REFUSALS, f"{field}.at_most") for kind in bounds}


def _tool(written: object, field: str) -> ToolRule:
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field=field, mend=f"Its fields are {', '.join(_TOOL_KEYS)}.")
    _known(written, _TOOL_KEYS, field)
    arguments = _mapping(written, "arguments", field)
    otherwise = _one(written, "otherwise", ("escalate", "flag", "block"), field)
    return ToolRule(
        effect=_one(written, "effect", ("", *EFFECTS), field),
        risk=_one(written, "risk", ("", *TIERS), field),
        allow=_truth(written, "allow", True, field),
        arguments={
            str(name): _argument(rule, f"{field}.arguments.{name}", otherwise) for name, rule in arguments.items()
        },
        limit=int(_number(written, "limit", 0, field, least=0)) if "limit" in written else None,
        intent=_words(written, "intent", field),
        routes=_words(written, "routes", field),
        users=_words(written, "users", field),
        otherwise=otherwise,
    )


def _argument(written: object, field: str, otherwise: str) -> ArgumentRule:
    if not isinstance(written, Mapping):
        raise BadInput("must be an object", field=field, mend=f"Its fields are {', '.join(_ARGUMENT_KEYS)}.")
    _known(written, _ARGUMENT_KEYS, field)
    values = written.get("values", [])
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise BadInput("must be a list", field=f"{field}.values", mend="List the values that are allowed.")
    return ArgumentRule(
        origins=_origins(written, "from", field),
        addresses=_origins(written, "addresses", field),
        values=tuple(values),
        pattern=_pattern(written.get("pattern"), f"{field}.pattern"),
        least=_number(written, "least", 0, field) if "least" in written else None,
        most=_number(written, "most", 0, field) if "most" in written else None,
        length=int(_number(written, "length", 0, field, least=0)) if "length" in written else None,
        otherwise=cast(Refusal, written.get("otherwise", otherwise))
        if written.get("otherwise", otherwise) in REFUSALS
        else _one(written, "otherwise", REFUSALS, field),
    )


def _origins(written: Mapping[str, Any], key: str, field: str) -> tuple[str, ...]:
    names = _words(written, key, field)
    for name in names:
        if name.partition(":")[0] not in ORIGINS:
            mend = f"Use {', '.join(ORIGINS)}, or lookup:TOOL.FIELD."
            raise BadInput(f"{name!r} is not an origin", field=f"{field}.{key}", mend=mend)
    return names


def _pattern(written: object, field: str) -> Any:
    if written is None:
        return None
    try:
        return re2.compile(written)
    except (re2.error, TypeError) as error:
        raise BadInput(f"does not compile: {error}", field=field, mend="RE2 has no look-around.") from None


def _words(written: Mapping[str, Any], key: str, field: str) -> tuple[str, ...]:
    value = written.get(key, [])
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, Sequence) or not all(isinstance(each, str) and each for each in value):
        raise BadInput("must be a list of words", field=f"{field}.{key}", mend="Write [one, two].")
    return tuple(value)


def _mapping(written: Mapping[str, Any], key: str, field: str) -> Mapping[str, Any]:
    value = written.get(key) or {}
    if not isinstance(value, Mapping):
        raise BadInput("must be an object", field=f"{field}.{key}", mend="Write {name: {...}}.")
    return value


def _one(written: Mapping[str, Any], key: str, choices: Sequence[str], field: str) -> Any:
    value = written.get(key, choices[0])
    if value not in choices:
        mend = f"Write {', '.join(choice for choice in choices if choice)}."
        raise BadInput(f"{value!r} is not known", field=f"{field}.{key}", mend=mend)
    return value


def _truth(written: Mapping[str, Any], key: str, default: bool, field: str) -> bool:
    value = written.get(key, default)
    if not isinstance(value, bool):
        raise BadInput("must be true or false", field=f"{field}.{key}")
    return value


def _number(
    written: Mapping[str, Any], key: str, default: float, field: str, *, least: float = -1e18, most: float = 1e18
) -> float:
    value = written.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadInput(f"{value!r} is out of range", field=f"{field}.{key}", mend="Write a number.")
    return float(value)


def _known(written: Mapping[str, Any], known: Sequence[str], field: str) -> None:
    for key in written:
        if key not in known:
            raise BadInput("is not a known field", field=f"{field}.{key}", mend=f"Use {', '.join(known)}.")
