"""What a template may say: values, sections, partials; everything else is a mistake that is named."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.templates import MAX_NESTING, MAX_TAGS, fill, parse


def said(text: str, **variables: Any) -> str:
    """One system message, its variables declared as plain JSON, filled."""
    content = {
        "messages": [{"role": "system", "content": text}],
        "variables": {name: {"type": "json"} for name in variables},
    }
    return str(fill(content, variables, [])[0]["content"])


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("{{#items}}[{{.}}]{{/items}}", {"items": ["a", 2, None]}, "[a][2][null]"),
        ("{{#items}}{{name}}={{n}};{{/items}}", {"items": [{"name": "a", "n": 1}, {"name": "b", "n": 2}]}, "a=1;b=2;"),
        ("{{#items}}{{n}}{{outer}}{{/items}}", {"items": [{"n": 1}], "outer": "!"}, "1!"),
        ("{{#a}}{{#b}}{{x}}{{/b}}{{/a}}", {"a": [{"b": [{"x": 1}, {"x": 2}]}, {"b": []}]}, "12"),
        ("{{#user}}Hi {{name}}{{/user}}{{^user}}Hi{{/user}}", {"user": {"name": "Mara"}}, "Hi Mara"),
        ("{{#user}}Hi {{name}}{{/user}}{{^user}}Hi{{/user}}", {"user": None}, "Hi"),
        ("{{#flag}}yes{{/flag}}{{^flag}}no{{/flag}}", {"flag": True}, "yes"),
        ("{{#flag}}{{.}}{{/flag}}", {"flag": "text"}, "text"),
        ("{{name}} {{#items}}{{name}}{{/items}}", {"name": "out", "items": [{"name": "in"}]}, "out in"),
        (r"\{{name}} {{name}}", {"name": "x"}, "{{name}} x"),
        ("{ {name} } {{name}}}", {"name": "x"}, "{ {name} } x}"),
    ],
)
def test_sections(text: str, variables: dict[str, Any], expected: str) -> None:
    assert said(text, **variables) == expected


@pytest.mark.parametrize("empty", [False, None, "", 0, [], {}])
def test_what_counts_as_not_there(empty: object) -> None:
    assert said("{{#x}}there{{/x}}{{^x}}not{{/x}}", x=empty) == "not"


@pytest.mark.parametrize("there", [True, " ", 1, -0.5, [0], {"a": None}])
def test_what_counts_as_there(there: object) -> None:
    assert said("{{#x}}there{{/x}}{{^x}}not{{/x}}", x=there) == "there"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("List:\n{{#items}}\n- {{.}}\n{{/items}}\nEnd", "List:\n- 1\n- 2\nEnd"),
        ("  {{#items}}  \r\n- {{.}}\r\n  {{/items}}", "- 1\r\n- 2\r\n"),
        ("a {{#items}}\n{{.}}\n{{/items}}", "a \n1\n\n2\n"),
        ("{{#items}}{{.}}\n{{/items}}\n", "1\n2\n"),
        ("x\n{{#items}}\n{{/items}}\ny", "x\ny"),
    ],
)
def test_a_sections_tag_alone_on_its_line_takes_the_line_with_it(text: str, expected: str) -> None:
    assert said(text, items=[1, 2]) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{#a}}", "never closed"),
        ("{{/a}}", "not open"),
        ("{{#a}}{{#b}}{{/a}}{{/b}}", "not open"),
        ("{{.}}", "outside of a section"),
        ("{{^a}}{{.}}{{/a}}", "outside of a section"),
        ("{{a.b}}", "not a placeholder"),
        ("{{{a}}}", "not a placeholder"),
        ("{{&a}}", "not a placeholder"),
        ("{{!note}}", "not a placeholder"),
        ("{{=<% %>=}}", "not a placeholder"),
        ("{{> ../secret}}", "not a placeholder"),
        ("{{> /etc/passwd}}", "not a placeholder"),
        ("{{>a@b@c}}", "not a placeholder"),
        ("{{ 1 }}", "not a placeholder"),
        ("{{" + "a" * 65 + "}}", "not a placeholder"),
        ("{{}}", "not a placeholder"),
        ("{{a\n}}", "not a placeholder"),
        ("{{#a}}" * (MAX_NESTING + 1), "inside each other"),
        ("{{a}}" * (MAX_TAGS + 1), "tags"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_mend(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        parse(text, "messages[0].content")
    assert caught.value.field == "messages[0].content"
    assert caught.value.mend


def test_uses_and_partials_are_told() -> None:
    parsed = parse("{{a}} {{#b}}{{c}} {{> tone@live}}{{^d}}{{> tone/3}}{{/d}}{{/b}} {{> tone@live}}")
    assert [(use.name, use.section, use.inside) for use in parsed.uses] == [
        ("a", False, ()), ("b", True, ()), ("c", False, ("b",)), ("d", True, ("b",)),
    ]  # fmt: skip
    assert parsed.partials == ("tone@live", "tone/3")
