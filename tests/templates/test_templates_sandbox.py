"""A hostile template, or a hostile value, gets nothing: no attribute, no call, no file, and no time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core import BadInput
from trimtab.prompts import validate
from trimtab.templates import MAX_OUTPUT, MAX_STEPS, fill, parse

#: Escapes that open a shell, a file or an object in some engine. Here each is text, or a mistake that is named.
ESCAPES = {
    "jinja2 arithmetic": "{{7*7}}",
    "jinja2 classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "jinja2 globals": "{{ self.__init__.__globals__.__builtins__.__import__('os').popen('id').read() }}",
    "jinja2 cycler": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "jinja2 lipsum": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "jinja2 attr filter": "{{ request|attr('application')|attr('\\x5f\\x5fglobals\\x5f\\x5f') }}",
    "jinja2 statement": "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "jinja2 include": "{% include '/etc/passwd' %}",
    "django debug": "{% debug %}{{ settings.SECRET_KEY }}",
    "tornado import": "{% import os %}{{ os.popen('id').read() }}",
    "mako block": "<% import os; x = os.popen('id').read() %>${x}",
    "mako expression": "${self.module.cache.util.os.system('id')}",
    "chameleon": "<p tal:content=\"python: __import__('os').system('id')\"/>",
    "str.format": "{0.__class__.__init__.__globals__[CONFIG]}",
    "percent format": "%(password)s %s",
    "string.Template": "$password ${password}",
    "f-string": "{__import__('os').system('id')}",
    "mustache delimiters": "{{=<% %>=}}<% system %>",
    "mustache triple": "{{{name}}}",
    "mustache ampersand": "{{&name}}",
    "mustache file partial": "{{> ../../etc/passwd}}",
    "mustache absolute partial": "{{> /etc/passwd}}",
    "mustache partial address": "{{> file:///etc/passwd}}",
    "mustache dotted": "{{name.constructor}}",
    "handlebars constructor": '{{#with "s" as |string|}}{{string.sub.apply 0 codelist}}{{/with}}',
    "handlebars lookup": "{{lookup (lookup this 'constructor') 'name'}}",
    "handlebars each": "{{#each this}}{{@key}}{{/each}}",
    "liquid": "{{ 'x' | append: page.content }}{% capture x %}{% endcapture %}",
    "twig": "{{_self.env.registerUndefinedFilterCallback('exec')}}{{_self.env.getFilter('id')}}",
    "smarty": "{php}echo `id`;{/php}{system('id')}",
    "freemarker": '<#assign ex="freemarker.template.utility.Execute"?new()>${ ex("id") }',
    "velocity": "#set($e=\"e\")$e.getClass().forName('java.lang.Runtime')",
    "thymeleaf": "*{T(java.lang.Runtime).getRuntime().exec('id')}",
    "spring expression": "#{T(java.lang.System).getenv()}",
    "erb": "<%= `id` %><%= File.open('/etc/passwd').read %>",
    "slim": "#{ system('id') }",
    "ejs": "<%= global.process.mainModule.require('child_process').execSync('id') %>",
    "pug": "#{root.process.mainModule.require('child_process').spawnSync('cat', ['/etc/passwd']).stdout}",
    "nunjucks": "{{range.constructor(\"return global.process.mainModule.require('fs')\")()}}",
    "angular": "{{constructor.constructor('return process')()}}",
    "vue": "{{_c.constructor('alert(1)')()}}",
    "razor": '@(1+2)@{System.Diagnostics.Process.Start("id");}',
    "go": '{{ .Env }}{{ printf "%s" .Password }}{{ call .Exec "id" }}',
    "go template": '{{template "secret" .}}{{define "x"}}{{end}}',
    "dunder name": "{{__class__}}",
    "dunder section": "{{#__dict__}}{{.}}{{/__dict__}}",
    "unicode braces": "\uff5b\uff5b7*7\uff5d\uff5d",
    "zero width": "{\u200b{7*7}\u200b}",
    "null byte": "{{\x00name}}",
    "newline in tag": "{{\nname\n}}",
    "nested braces": "{{ {{name}} }}",
    "unclosed": "{{name",
    "server side include": '<!--#exec cmd="id" -->',
    "xxe": '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>&y;',
}


class Trap:
    """Anything that is looked up on it, called or tested is the end of the test."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":  # isinstance looks here, and nowhere else
            return type(self)
        raise AssertionError(f"the attribute {name!r} was touched")

    def __bool__(self) -> bool:
        raise AssertionError("it was tested")

    def __iter__(self) -> Any:
        raise AssertionError("it was iterated")

    def __str__(self) -> str:
        raise AssertionError("it was written")

    __len__ = __repr__ = __str__


def prompt(text: str, **rest: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": text}], **rest}


def tried(call: Callable[[], Any]) -> Any:
    """What comes out, or the BadInput that was raised; anything else that is raised fails the test."""
    try:
        return call()
    except BadInput as error:
        return error


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
def test_an_escape_in_a_template_is_text_or_a_mistake_that_is_named(escape: str) -> None:
    read = tried(lambda: parse(escape))
    if isinstance(read, BadInput):
        assert read.field == "template"
        assert read.mend
        return
    filled = tried(lambda: fill(prompt(escape), {}, [])[0]["content"])
    if isinstance(filled, BadInput):
        # It is a plain name: nothing but a variable that nobody gave.
        assert filled.field.startswith("variables.")
    else:
        assert filled == escape


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
def test_an_escape_in_a_value_stays_what_it_is(escape: str) -> None:
    content = prompt(
        "{{v}}|{{#l}}{{.}}{{/l}}|{{#o}}{{f}}{{/o}}|{{examples}}",
        variables={"v": {}, "l": {"type": "list"}, "o": {"type": "json"}},
        examples=[{"input": escape, "output": escape}],
    )
    validate(content)
    filled = fill(content, {"v": escape, "l": [escape], "o": {"f": escape}}, [])[0]["content"]
    assert filled == f"{escape}|{escape}|{escape}|Input: {escape}\nOutput: {escape}"


@pytest.mark.parametrize("escape", [e for e in ESCAPES.values() if "{{" in e or "{%" in e][:12])
def test_an_escape_in_a_partial_is_no_way_out_either(escape: str) -> None:
    filled = tried(lambda: fill(prompt("{{> part}}"), {}, [], lambda _: prompt(escape))[0]["content"])
    assert isinstance(filled, BadInput) or filled == escape


@pytest.mark.parametrize("type_", ["string", "number", "integer", "boolean", "json", "list"])
@pytest.mark.parametrize("wrapped", [lambda t: t, lambda t: [t], lambda t: {"a": [t]}])
def test_an_object_is_refused_before_anything_of_it_is_touched(type_: str, wrapped: Any) -> None:
    content = prompt("{{#v}}{{.}}{{/v}}{{^v}}{{v}}{{/v}}{{v}}", variables={"v": {"type": type_}})
    with pytest.raises(BadInput) as caught:
        fill(content, {"v": wrapped(Trap())}, [])
    assert caught.value.field == "variables.v"


PIECES = st.sampled_from(
    ["{{", "}}", "{{a}}", "{{b}}", "{{#a}}", "{{/a}}", "{{^a}}", "{{#b}}", "{{/b}}", "{{.}}", "{{> p}}", "{{> q}}",
     "\\", "\n", " ", "{", "}", "#", "/", "__class__", "{{__init__}}", "{{examples}}", "{{passages}}", "x"]
)  # fmt: skip
TEMPLATES = st.lists(PIECES | st.text(max_size=4), max_size=30).map("".join)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab_x"), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(TEMPLATES, TEMPLATES, TEMPLATES, VALUES, VALUES)
def test_whatever_the_template_and_the_values_it_fills_or_says_bad_input(
    text: str, first: str, second: str, a: Any, b: Any
) -> None:
    book = {"p": prompt(first), "q": prompt(second, examples=[{"input": "{{a}}", "output": b"x".decode()}])}
    content = prompt(text, variables={"a": {"type": "json"}, "b": {"type": "json"}})
    filled = tried(lambda: fill(content, {"a": a, "b": b, "passages": "[1]"}, [], book.__getitem__)[0]["content"])
    assert (isinstance(filled, BadInput) and filled.message) or len(filled) <= MAX_OUTPUT


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_a_text_that_passes_without_tags_comes_out_as_it_went_in(text: str) -> None:
    parsed = tried(lambda: parse(text))
    if isinstance(parsed, BadInput):
        assert "{{" in text
    elif not parsed.tags:
        assert fill(prompt(text), {}, [])[0]["content"] == text


JSON: dict[str, Any] = {name: {"type": "json"} for name in "ab"}
LONG = list(range(19_000))
BOMBS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "loops in loops": (prompt("{{#a}}" * 16 + "{{.}}" + "{{/a}}" * 16, variables=JSON), {"a": [1] * 100, "b": 0}),
    "loops with nothing in them": (prompt("{{#a}}{{/a}}" * 2000, variables=JSON), {"a": LONG, "b": 0}),
    "a list written again and again": (prompt("{{#b}}{{a}}{{/b}}", variables=JSON), {"a": LONG, "b": [1] * 900}),
    "many tags": (prompt("{{a}}" * 5000, variables=JSON), {"a": "xy", "b": 0}),
    "too many tags": (prompt("{{a}}" * 150_000, variables=JSON), {"a": "xy", "b": 0}),
    "sections alone on their lines": (prompt("  {{#a}}  \n  {{/a}}  \n" * 2500, variables=JSON), {"a": 1, "b": 0}),
    "a megabyte of almost tags": (prompt("{ {" * 349_000), {}),
    "a tag that never ends": (prompt("{{" + " " * 1_000_000), {}),
    "spaces before every tag": (prompt((" " * 200 + "{{#a}}{{/a}}") * 2500, variables=JSON), {"a": 0, "b": 0}),
    "partials in partials": (prompt("{{> p0}}" * 200), {}),
    "large partials": (prompt("".join(f"{{{{> large{n}}}}}" for n in range(50))), {}),
    "examples again and again": (
        prompt("{{#a}}{{examples}}{{/a}}", variables=JSON, examples=[{"input": "i" * 9000, "output": "o"}] * 50),
        {"a": [1] * 900, "b": 0},
    ),
    "a large value": (prompt("{{a}}", variables=JSON), {"a": [LONG] * 400, "b": 0}),
    "a long value": (prompt("{{a}}", variables=JSON), {"a": "x" * 30_000_000, "b": 0}),
    "a deep value": (prompt("{{a}}", variables=JSON), {"a": 0, "b": 0}),
}
deep: Any = 1
for _ in range(10_000):
    deep = [deep]
BOMBS["a deep value"][1]["a"] = deep


def bomb_part(address: str) -> Mapping[str, Any]:
    if address.startswith("large"):
        return prompt(address + "y" * 1_000_000)
    level = int(address[1:])
    return prompt("".join(f"{{{{> p{level + 1}}}}}" for _ in range(200)) if level < 4 else "x")


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_bomb_takes_50_ms(bomb: str) -> None:
    """Processor time, first reading of the template included; the best of three, for the machine's sake."""
    content, variables = BOMBS[bomb]
    took = []
    for n in range(3):
        # Another text each time: what was read once is remembered.
        fresh = {**content, "messages": [{**m, "content": f"{n}{m['content']}"} for m in content["messages"]]}
        since = time.process_time()
        filled = tried(lambda fresh=fresh: fill(fresh, variables, [], bomb_part))
        took.append(time.process_time() - since)
        assert isinstance(filled, BadInput) or sum(len(m["content"]) for m in filled) <= MAX_OUTPUT
    assert min(took) < 0.050


def test_the_bounds_are_where_they_are_said_to_be() -> None:
    rows = prompt("{{#a}}{{.}}{{/a}}", variables={"a": {"type": "list"}})
    fits = (MAX_STEPS - 1) // 2  # the section is a step, and so are each turn and the value put in it
    assert fill(rows, {"a": [1] * fits}, [])[0]["content"] == "1" * fits
    with pytest.raises(BadInput, match="steps"):
        fill(rows, {"a": [1] * (fits + 1)}, [])
    text = prompt("{{a}}{{a}}")
    half = "x" * (MAX_OUTPUT // 2)
    assert len(fill(text, {"a": half}, [])[0]["content"]) == MAX_OUTPUT
    with pytest.raises(BadInput, match="grows over"):
        fill(text, {"a": half + "x"}, [])
