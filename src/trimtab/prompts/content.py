"""What a prompt version may hold.

``{"messages": [{"role", "content"}], "variables"?: {name: {"type", "default"?, "enum"?, "description"?}},
"examples"?, "corpus"?, "passages"?, "model"?, "params"?, "tools"?, "output_schema"?, "assertions"?, "cases"?,
"note"?}``.

Without ``variables`` every placeholder is a required string; with it, each placeholder must be declared, so that a
misspelt one is found when the prompt is written and not when it is served. A section's name must be declared in any
case, because its type says what the section means. ``{{passages}}`` and, with ``examples``, ``{{examples}}`` need no
declaration: Trimtab fills them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import BadInput, parse_address
from trimtab.templates import (
    EXAMPLES,
    PASSAGES,
    TYPES,
    Allowance,
    Sizes,
    Use,
    filled_in,
    has_type,
    one_of,
    parse,
    texts_of,
)

from .assertions import OUTPUT_SCHEMA, check_assertions
from .cases import check_cases
from .fields import a_count, a_list, a_text, an_object, known_keys
from .schemas import check_schema

ROLES = ("system", "developer", "user", "assistant")
MAX_PASSAGES = 50
MAX_MESSAGES = 200
MAX_EXAMPLES = 50
MAX_VARIABLES = 200
MAX_TOOLS = 128
_KEYS = (
    "messages", "variables", "examples", "corpus", "passages", "model", "params", "tools", OUTPUT_SCHEMA,
    "assertions", "cases", "note",
)  # fmt: skip
_RESERVED_PARAMS = ("model", "messages", "stream", "trimtab")
_SPEC = ("type", "default", "enum", "description", "note")


def validate(content: Mapping[str, Any]) -> None:
    """Raise BadInput, with the field's path and the mend, unless ``content`` is a prompt that can be filled."""
    known_keys(content, _KEYS, "")
    uses = _uses(content)
    _examples(content)
    _variables(content)
    _declared(content, uses)
    _retrieval(content)
    _model(content)
    if OUTPUT_SCHEMA in content:
        check_schema(content[OUTPUT_SCHEMA], OUTPUT_SCHEMA)
    check_assertions(content.get("assertions", ()), "assertions", output_schema=OUTPUT_SCHEMA in content)
    if "cases" in content:
        check_cases(content["cases"], "cases")
    if not isinstance(content.get("note", ""), str):
        raise BadInput("must be text", field="note", mend="Write the note as a string.")


def params_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the call that the prompt asks for: its params, tools, and the schema as ``response_format``."""
    params = dict(content.get("params") or {})
    if tools := content.get("tools"):
        params["tools"] = list(tools)
    if (schema := content.get(OUTPUT_SCHEMA)) is not None:
        params["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return params


def _uses(content: Mapping[str, Any]) -> list[tuple[Use, str]]:
    """Each use of a name with the field in which it stands."""
    messages = content.get("messages")
    example = '[{"role": "system", "content": "..."}]'
    if not a_list(messages, "messages", example, MAX_MESSAGES):
        raise BadInput("must have at least one message", field="messages", mend=f"Write {example}.")
    found: list[tuple[Use, str]] = []
    allowance = Allowance()
    for position, message in enumerate(messages or ()):
        field = f"messages[{position}]"
        _check_message(message, field)
        for path, text in texts_of(message, field):
            found += [(use, path) for use in allowance.read(text, path).uses]
    return found


def _check_message(message: object, field: str) -> None:
    if not isinstance(message, Mapping):
        raise BadInput("must be an object", field=field, mend='Write {"role": "system", "content": "..."}.')
    if message.get("role") not in ROLES:
        raise BadInput(
            f"{message.get('role')!r} is not a role", field=f"{field}.role", mend=f"Use one of {', '.join(ROLES)}."
        )
    content = message.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not all(isinstance(part, Mapping) and "type" in part for part in content):
        raise BadInput(
            "must be text or a list of parts",
            field=f"{field}.content",
            mend='Write a string or [{"type": "text", ...}].',
        )


def _examples(content: Mapping[str, Any]) -> None:
    sample = '[{"input": "Hi", "output": "Hello"}]'
    sizes = Sizes()
    for position, example in enumerate(a_list(content.get("examples", ()), "examples", sample, MAX_EXAMPLES)):
        field = f"examples[{position}]"
        known_keys(example, ("input", "output"), field)
        for name in ("input", "output"):
            if name not in example:
                raise BadInput("is missing", field=f"{field}.{name}", mend=f"Write {sample}.")
            sizes.take(example[name], f"{field}.{name}")


def _variables(content: Mapping[str, Any]) -> None:
    declared = content.get("variables")
    if declared is None:
        return
    if len(an_object(declared, "variables", '{"name": {"type": "string"}}')) > MAX_VARIABLES:
        raise BadInput(f"has {len(declared)} variables", field="variables", mend=f"Use at most {MAX_VARIABLES}.")
    for name, spec in declared.items():
        field = f"variables.{name}"
        an_object(spec, field, '{"type": "string"}')
        known_keys(spec, _SPEC, field)
        if not _is_name(name):
            raise BadInput("is not a name", field=field, mend="Use letters, digits and underscores.")
        type_ = spec.get("type", "string")
        if type_ not in TYPES:
            raise BadInput(f"{type_!r} is not a type", field=f"{field}.type", mend=f"Use one of {', '.join(TYPES)}.")
        if name == PASSAGES and type_ != "string":
            raise BadInput("is filled by the gateway, as text", field=f"{field}.type", mend='Write "string".')
        if name == EXAMPLES and content.get("examples"):
            raise BadInput("is filled by the prompt's own examples", field=field, mend="Use another name.")
        _values(spec, type_, field)


def _values(spec: Mapping[str, Any], type_: str, field: str) -> None:
    for name in ("description", "note"):
        if not isinstance(spec.get(name, ""), str):
            raise BadInput("must be text", field=f"{field}.{name}", mend="Write a string.")
    allowed = a_list(spec.get("enum", ()), f"{field}.enum", '["short", "long"]', 200)
    if "enum" in spec and not allowed:
        raise BadInput("allows nothing", field=f"{field}.enum", mend="Name the allowed values or leave it out.")
    for position, value in enumerate(allowed):
        if not has_type(value, type_):
            mend = "Change the value or the type."
            raise BadInput(f"is not of type {type_}", field=f"{field}.enum[{position}]", mend=mend)
    if "default" not in spec:
        return
    if not has_type(spec["default"], type_):
        raise BadInput(f"is not of type {type_}", field=f"{field}.default", mend="Change the default or the type.")
    Sizes().take(spec["default"], f"{field}.default")
    if allowed and not one_of(spec["default"], allowed):
        raise BadInput("is not among the allowed values", field=f"{field}.default", mend="Add it to enum.")


def _is_name(name: object) -> bool:
    try:
        return isinstance(name, str) and [use.name for use in parse(f"{{{{{name}}}}}").uses] == [name]
    except BadInput:
        return False


def _declared(content: Mapping[str, Any], uses: list[tuple[Use, str]]) -> None:
    """Names inside a section over a list or an object may be fields of its items, which nobody declares."""
    declared = content.get("variables")
    own = filled_in(content)
    for use, path in uses:
        known = use.name in own or (declared is not None and use.name in declared)
        if known or (declared is None and not use.section and not use.inside):
            continue
        if any(_has_fields(name, declared or {}, own) for name in use.inside):
            continue
        if use.section:
            mend = f'Add {{"{use.name}": {{"type": "list"}}}} to variables, or the type it has.'
            raise BadInput(f"has a section over {use.name!r}, which is not declared", field=path, mend=mend)
        if declared is not None:
            mend = f"Add {use.name!r} to variables or correct it."
            raise BadInput(f"uses {use.name!r}, which is not declared", field=path, mend=mend)


def _has_fields(name: str, declared: Mapping[str, Any], own: tuple[str, ...]) -> bool:
    """Whether the items of a section over this name may be objects; a name that is itself a field may be anything."""
    spec = declared.get(name)
    return (spec is None and name not in own) or name == EXAMPLES or (spec or {}).get("type") in ("json", "list")


def _retrieval(content: Mapping[str, Any]) -> None:
    corpus = content.get("corpus")
    if corpus is not None:
        if not isinstance(corpus, str):
            raise BadInput("must be text", field="corpus", mend="Write a corpus name such as docs or docs@production.")
        try:
            address = parse_address(corpus, "corpora")
        except BadInput as error:
            raise BadInput(error.message, field="corpus", mend=error.mend) from None
        if address.kind != "corpora":
            raise BadInput(f"{corpus!r} is no corpus", field="corpus", mend="Write corpora:/name@label.")
    passages = content.get("passages")
    if passages is None:
        return
    a_count(passages, "passages", MAX_PASSAGES)
    if corpus is None:
        raise BadInput("needs a corpus to take them from", field="passages", mend="Add corpus or leave passages out.")


def _model(content: Mapping[str, Any]) -> None:
    """The model that is suggested, its parameters, and the tools it is given."""
    if "model" in content:
        a_text(content["model"], "model", "openai/gpt-4o-mini or a route's name")
    params = an_object(content.get("params", {}), "params", '{"temperature": 0}')
    for name in params:
        if name in _RESERVED_PARAMS:
            raise BadInput(
                "is set by the request, not by a prompt", field=f"params.{name}", mend="Leave it out of params."
            )
    for name, twin in (("tools", "tools"), ("response_format", OUTPUT_SCHEMA)):
        if name in params and twin in content:
            raise BadInput(f"is said by {twin} already", field=f"params.{name}", mend="Keep one of the two.")
    sample = '[{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]'
    for position, tool in enumerate(a_list(content.get("tools", ()), "tools", sample, MAX_TOOLS)):
        field = f"tools[{position}]"
        function = an_object(an_object(tool, field, sample).get("function"), f"{field}.function", sample)
        a_text(function.get("name"), f"{field}.function.name", "search")
        if "parameters" in function:
            check_schema(function["parameters"], f"{field}.function.parameters")
