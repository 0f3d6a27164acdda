"""Reading a request: what is wrong is named, and nothing crashes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway_house import user
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput, Forbidden, TooLarge
from trimtab.gateway import Ask, Key, read_ask

MEMBER = Key(id="key_1", name="app", prefix="tt-abcd")
ADMIN = Key(id="key_2", name="root", prefix="tt-abcd", role="admin")
OK = {"model": "support", "messages": user("hi")}


def read(body: Any, headers: dict[str, str] | None = None, key: Key = MEMBER) -> Ask:
    return read_ask(body if isinstance(body, bytes) else json.dumps(body).encode(), headers or {}, key)


def test_every_other_field_of_the_body_is_kept_untouched() -> None:
    ask = read(
        {**OK, "stream": True, "temperature": 0.5, "x_unknown": {"deep": [1, None]}, "trimtab": {"session": "s"}}
    )
    assert ask.params == {"temperature": 0.5, "x_unknown": {"deep": [1, None]}}
    assert (ask.model, ask.stream, ask.session, ask.messages) == ("support", True, "s", tuple(user("hi")))


def test_headers_and_body_give_prompt_session_and_tags_and_the_body_wins() -> None:
    headers = {"x-trimtab-prompt": "a@live", "x-trimtab-session": "s1", "x-trimtab-tags": "topic=gateway, app=demo"}
    ask = read(OK, headers)
    assert (ask.prompt, ask.session, ask.tags) == ("a@live", "s1", {"topic": "gateway", "app": "demo"})
    ask = read(
        {**OK, "trimtab": {"prompt": "b", "session": "s2", "tags": {"topic": "x"}, "variables": {"a": 1}}}, headers
    )
    assert (ask.prompt, ask.session, ask.tags) == ("b", "s2", {"topic": "x", "app": "demo"})
    assert ask.variables == {"a": 1}


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (b"", "body", "empty"),
        (b"{", "body", "not valid JSON"),
        (b"[1]", "body", "must be a JSON object, not a list"),
        (b'{"model": "a\xff"}', "body", "not valid UTF-8 (byte 12)"),
        (b"\xff", "body", "not valid UTF-8 (byte 0)"),
        (b'{"model": "\\ud800 and on"}', "body", "not valid JSON"),
        (b"[" * 100_000, "body", "nested too deeply"),
        ({"messages": user("hi")}, "model", "missing"),
        ({**OK, "model": 3}, "model", "not text"),
        ({"model": "a"}, "messages", "missing"),
        ({"model": "a", "messages": []}, "messages", "empty"),
        ({"model": "a", "messages": "hi"}, "messages", "must be a list, not text"),
        ({"model": "a", "messages": ["hi"]}, "messages[0]", "must be an object"),
        ({"model": "a", "messages": [{"content": "hi"}]}, "messages[0].role", "missing"),
        ({"model": "a", "messages": [*user("hi"), {"role": "robot"}]}, "messages[1].role", "'robot'"),
        ({"model": "a", "messages": [{"role": ["user"], "content": ""}]}, "messages[0].role", "a list"),
        ({"model": "a", "messages": [{"role": "user"}]}, "messages[0].content", "missing"),
        ({"model": "a", "messages": [{"role": "user", "content": 7}]}, "messages[0].content", "not a number"),
        ({"model": "a", "messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", "an object"),
        (
            {"model": "a", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "",
        ),
        ({"model": "a", "messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type", ""),
        ({**OK, "stream": "yes"}, "stream", "must be true or false, not text"),
        ({**OK, "temperature": "hot"}, "temperature", "must be a number"),
        ({**OK, "max_tokens": True}, "max_tokens", "must be a whole number"),
        ({**OK, "tools": {}}, "tools", "must be a list"),
        ({**OK, "trimtab": []}, "trimtab", "must be an object"),
        ({**OK, "trimtab": {"promt": "x"}}, "trimtab.promt", "not known"),
        ({**OK, "trimtab": {"prompt": 1}}, "trimtab.prompt", "must be text"),
        ({**OK, "trimtab": {"variables": [1]}}, "trimtab.variables", "must be an object"),
        ({**OK, "trimtab": {"tags": {"topic": 1}}}, "trimtab.tags.topic", "must be text"),
        ({**OK, "trimtab": {"tags": {"topic": "x" * 201}}}, "trimtab.tags.topic", "too long"),
        ({**OK, "trimtab": {"tags": {str(n): "x" for n in range(33)}}}, "trimtab.tags", "more than 32"),
        ({**OK, "trimtab": {"session": "s" * 201}}, "trimtab.session", "too long"),
    ],
)
def test_bad_input_names_its_field(body: Any, field: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(body)
    assert (caught.value.field, caught.value.status) == (field, 400)
    assert says in caught.value.message


def test_a_tag_header_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BadInput, match="x-trimtab-tags"):
        read(OK, {"x-trimtab-tags": "topic"})


def test_the_limit_of_a_body_is_ten_mebibytes() -> None:
    size = 10 * 1024 * 1024
    body = json.dumps({**OK, "pad": ""}).encode()
    full = body.replace(b'"pad": ""', b'"pad": "' + b"x" * (size - len(body)) + b'"')
    assert len(full) == size
    assert read(full).model == "support"
    with pytest.raises(TooLarge, match="10 MiB"):
        read(full + b" ")


def test_pins_are_for_admin_keys_and_known_kinds() -> None:
    pins = {"prompts": "support-answer/2", "models": "scripted/weak"}
    assert read({**OK, "trimtab": {"pins": pins}}, key=ADMIN).pins == pins
    with pytest.raises(Forbidden, match=r"trimtab\.pins"):
        read({**OK, "trimtab": {"pins": pins}})
    with pytest.raises(BadInput, match=r"trimtab\.pins\.prompt: "):
        read({**OK, "trimtab": {"pins": {"prompt": "x/1"}}}, key=ADMIN)


def test_an_assistant_message_may_have_tool_calls_and_no_content() -> None:
    messages = [*user("hi"), {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]
    assert read({"model": "a", "messages": messages}).messages == tuple(messages)


def read_or_refused(body: Any) -> Ask | BadInput:
    try:
        return read(body)
    except BadInput as error:
        return error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(["model", "messages", "stream", "trimtab", "tools", "n", "temperature"])


@given(st.dictionaries(FIELDS, JSON), st.binary(max_size=40))
def test_whatever_is_sent_is_read_or_refused_with_a_named_field(fields: dict[str, Any], junk: bytes) -> None:
    for body in (json.dumps(fields).encode(), json.dumps({**OK, **fields}).encode(), junk):
        found = read_or_refused(body)
        if isinstance(found, BadInput):
            assert found.field
            assert found.status == 400
        else:
            assert found.model
            assert found.messages


@given(JSON.filter(lambda value: value is not None))
def test_any_content_is_read_or_refused(content: Any) -> None:
    found = read_or_refused({"model": "a", "messages": [{"role": "user", "content": content}]})
    if isinstance(found, BadInput):
        assert found.field.startswith("messages[0].content")
    else:
        assert found.messages[0]["content"] == content
