"""What a prompt may hold: every mistake is named with its field and its mend."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.prompts import Variable, assertions_of, cases_address, cases_of, params_of, validate, variables_of


def prompt(**changes: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "system", "content": "Answer {{ product }} questions in {{language}}.\n{{passages}}"}],
        "variables": {"product": {"type": "string"}, "language": {"type": "string", "default": "English"}},
        "corpus": "docs",
        "passages": 4,
        "params": {"temperature": 0},
        "note": "first",
        **changes,
    }


def test_a_whole_prompt_is_right() -> None:
    validate(prompt())


def test_the_smallest_prompt_is_right() -> None:
    validate({"messages": [{"role": "user", "content": "Hello"}]})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "{{ no name }}"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "{{open"}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "{{prodcut}}"}]}]},
            "messages[0].content[0].text",
        ),
        ({"variables": ["product"]}, "variables"),
        ({"variables": {"product": "string", "language": {}}}, "variables.product"),
        ({"variables": {"product": {"type": "text"}, "language": {}}}, "variables.product.type"),
        ({"variables": {"product": {"type": "integer", "default": "x"}, "language": {}}}, "variables.product.default"),
        ({"variables": {"product": {"kind": "string"}, "language": {}}}, "variables.product.kind"),
        ({"variables": {"product": {}, "language": {}, "two words": {}}}, "variables.two words"),
        ({"variables": {"product": {}, "language": {}, "passages": {"type": "json"}}}, "variables.passages.type"),
        ({"corpus": 7}, "corpus"),
        ({"corpus": "prompts:/docs"}, "corpus"),
        ({"corpus": "docs/0"}, "corpus"),
        ({"passages": 0}, "passages"),
        ({"passages": True}, "passages"),
        ({"passages": 51}, "passages"),
        ({"corpus": None}, "passages"),
        ({"params": [1]}, "params"),
        ({"params": {"model": "x"}}, "params.model"),
        ({"note": 1}, "note"),
        ({"template": "x"}, "template"),
        ({"messages": [{"role": "user", "content": "{{#rows}}{{.}}{{/rows}}"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "{{#product}}{{naem}}{{/product}}"}]}, "messages[0].content"),
        ({"variables": {"product": {"enum": []}, "language": {}}}, "variables.product.enum"),
        ({"variables": {"product": {"enum": ["a", 1]}, "language": {}}}, "variables.product.enum[1]"),
        ({"variables": {"product": {"enum": ["a"], "default": "b"}, "language": {}}}, "variables.product.default"),
        ({"variables": {"product": {"description": 1}, "language": {}}}, "variables.product.description"),
        ({"examples": [{"input": "a"}]}, "examples[0].output"),
        ({"examples": [{"input": "a", "output": "b", "why": "c"}]}, "examples[0].why"),
        ({"examples": [{"input": "a", "output": "b"}] * 51}, "examples"),
        (
            {"examples": [{"input": "a", "output": "b"}], "variables": {"product": {}, "language": {}, "examples": {}}},
            "variables.examples",
        ),
        ({"model": ""}, "model"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"function": {"name": ""}}]}, "tools[0].function.name"),
        (
            {"tools": [{"function": {"name": "a", "parameters": {"type": "objekt"}}}]},
            "tools[0].function.parameters",
        ),
        ({"tools": [], "params": {"tools": []}}, "params.tools"),
        ({"output_schema": "object"}, "output_schema"),
        ({"output_schema": {"type": "objekt"}}, "output_schema"),
        ({"output_schema": {"$ref": "https://example.org/schema.json"}}, "output_schema"),
        ({"output_schema": {"$ref": "file:///etc/passwd"}}, "output_schema"),
        ({"output_schema": {}, "params": {"response_format": {"type": "json_object"}}}, "params.response_format"),
        ({"cases": "prompts:/x"}, "cases"),
        ({"cases": [{}]}, "cases[0].input"),
        ({"cases": [{"input": "a", "expect": "b"}]}, "cases[0].expect"),
        ({"cases": [{"input": "a", "variables": []}]}, "cases[0].variables"),
        ({"cases": [{"input": "a", "assertions": [{"name": "x"}]}]}, "cases[0].assertions[0].kind"),
        ({"assertions": {}}, "assertions"),
        ({"assertions": [{"name": "a b", "kind": "json"}]}, "assertions[0].name"),
        ({"assertions": [{"name": "a", "kind": "vibes"}]}, "assertions[0].kind"),
        ({"assertions": [{"name": "a", "kind": "json"}, {"name": "a", "kind": "json"}]}, "assertions[1].name"),
        ({"assertions": [{"name": "a", "kind": "json", "words": 3}]}, "assertions[0].words"),
        ({"assertions": [{"name": "a", "kind": "max_words"}]}, "assertions[0].words"),
        ({"assertions": [{"name": "a", "kind": "max_words", "words": 0}]}, "assertions[0].words"),
        ({"assertions": [{"name": "a", "kind": "language", "language": "English"}]}, "assertions[0].language"),
        ({"assertions": [{"name": "a", "kind": "contains", "text": []}]}, "assertions[0].text"),
        ({"assertions": [{"name": "a", "kind": "contains", "text": ["x", ""]}]}, "assertions[0].text[1]"),
        ({"assertions": [{"name": "a", "kind": "regex", "pattern": "(a"}]}, "assertions[0].pattern"),
        ({"assertions": [{"name": "a", "kind": "regex", "pattern": "(?=a)"}]}, "assertions[0].pattern"),
        ({"assertions": [{"name": "a", "kind": "json_schema"}]}, "assertions[0].schema"),
        ({"assertions": [{"name": "a", "kind": "must_cite", "at_least": True}]}, "assertions[0].at_least"),
        ({"assertions": [{"name": "a", "kind": "no_refusal", "ignore_case": 1}]}, "assertions[0].ignore_case"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate(prompt(**changes))
    assert caught.value.field == field
    assert caught.value.mend


def test_a_misspelt_placeholder_is_found_when_variables_are_declared() -> None:
    content = prompt(messages=[{"role": "system", "content": "For {{prodcut}} in {{language}}"}])
    with pytest.raises(BadInput, match="prodcut"):
        validate(content)


def test_without_declarations_the_placeholders_are_the_variables() -> None:
    content = {"messages": [{"role": "system", "content": "{{b}} {{a}} {{b}} {{passages}}"}]}
    validate(content)
    assert variables_of(content) == {"b": Variable(name="b"), "a": Variable(name="a")}


def test_a_default_makes_a_variable_optional() -> None:
    variables = variables_of(prompt())
    assert variables["product"].required
    assert not variables["language"].required
    assert variables["language"].default == "English"


WHOLE: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "{{> tone@production}}\n{{#rows}}{{label}}{{^last}}, {{/last}}{{/rows}}"},
        {"role": "user", "content": "{{#examples}}{{input}}{{/examples}} {{style}}"},
    ],
    "variables": {
        "rows": {"type": "list", "default": [], "description": "What to list."},
        "style": {"enum": ["short", "long"], "default": "short"},
    },
    "examples": [{"input": "a", "output": {"b": 1}}],
    "model": "openai/gpt-4o-mini",
    "params": {"temperature": 0},
    "tools": [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}],
    "output_schema": {"type": "object", "$defs": {"x": {"type": "string"}}, "properties": {"b": {"$ref": "#/$defs/x"}}},
    "assertions": [
        {"name": "cites", "kind": "must_cite", "at_least": 2},
        {"name": "short", "kind": "max_words", "words": 50, "note": "they read on a phone"},
        {"name": "no-price", "kind": "not_contains", "text": ["$", "EUR"], "ignore_case": False},
        {"name": "id", "kind": "regex", "pattern": r"(?i)\bid-\d+\b"},
    ],
    "cases": [
        {"input": "hi", "variables": {"style": "long"}, "assertions": [{"name": "polite", "kind": "no_refusal"}]}
    ],
}


def test_everything_a_prompt_may_hold() -> None:
    validate(WHOLE)
    style = variables_of(WHOLE)["style"]
    assert (style.enum, style.required) == (("short", "long"), False)
    assert variables_of(WHOLE)["rows"].description == "What to list."


def test_a_field_of_an_item_needs_no_declaration_and_a_name_beside_it_does() -> None:
    declared = {"rows": {"type": "list"}, "flag": {"type": "boolean"}}
    rows = "{{#rows}}{{label}}{{#inner}}{{deep}}{{/inner}}{{/rows}}"
    validate({"messages": [{"role": "user", "content": rows}], "variables": declared})
    for text in ("{{label}}", "{{#flag}}{{label}}{{/flag}}", "{{^rows}}{{label}}{{/rows}}"):
        with pytest.raises(BadInput, match="'label', which is not declared"):
            validate({"messages": [{"role": "user", "content": text}], "variables": declared})


def test_the_call_gets_parameters_tools_and_the_schema() -> None:
    assert params_of(WHOLE) == {
        "temperature": 0,
        "tools": WHOLE["tools"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": WHOLE["output_schema"]},
        },
    }
    assert params_of({"messages": []}) == {}


def test_the_output_schema_is_an_assertion_unless_one_is_made_of_it() -> None:
    assert [a.name for a in assertions_of(WHOLE)] == ["cites", "short", "no-price", "id", "output_schema"]
    own = {**WHOLE, "assertions": [{"name": "shape", "kind": "json_schema", "fenced": True}]}
    validate(own)
    (shape,) = assertions_of(own)
    assert shape.arguments == {"fenced": True, "schema": WHOLE["output_schema"]}


def test_cases_are_the_prompts_own_or_a_datasets() -> None:
    (case,) = cases_of(WHOLE)
    assert (case.id, case.input, case.variables) == ("case 1", "hi", {"style": "long"})
    assert case.assertions[0].kind == "no_refusal"
    assert cases_address(WHOLE) == ""
    elsewhere = {**WHOLE, "cases": "datasets:/support@production"}
    validate(elsewhere)
    assert cases_of(elsewhere) == []
    assert cases_address(elsewhere) == "datasets:/support@production"
