"""The query language says what it means, and where it does not understand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput, Filter, SpanQuery
from trimtab.traces import QueryError, make_filter, parse_query


def test_conditions_and_text() -> None:
    assert parse_query("model=gpt-4o score:cites<1 tag:topic=gateway  refund   policy") == SpanQuery(
        filters=(
            Filter(column="model", op="=", value="gpt-4o"),
            Filter(column="score:cites", op="<", value=1.0),
            Filter(column="tag:topic", op="=", value="gateway"),
        ),
        text="refund policy",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prompt=support/7", Filter(column="stamp.prompt", op="=", value="support/7")),
        ("latency>=2s", Filter(column="duration_ms", op=">=", value=2000.0)),
        ("duration_ms<350", Filter(column="duration_ms", op="<", value=350.0)),
        ("name~retriev", Filter(column="name", op="contains", value="retriev")),
        ('tag:team!="two words"', Filter(column="tag:team", op="!=", value="two words")),
        (r'session="a\"b"', Filter(column="session", op="=", value='a"b')),
        ("session=a=b", Filter(column="session", op="=", value="a=b")),
        ("status=", Filter(column="status", op="=", value="")),
    ],
)
def test_one_condition(text: str, expected: Filter) -> None:
    assert parse_query(text) == SpanQuery(filters=(expected,))


def test_quotes_make_text_of_what_looks_like_a_condition() -> None:
    assert parse_query('"model=gpt" answer') == SpanQuery(text="model=gpt answer")


@pytest.mark.parametrize(
    ("text", "position", "word", "says"),
    [
        ("hello modle=gpt", 6, "modle=gpt", "Did you mean model?"),
        ("score:cites<high", 0, "score:cites<high", "not a number"),
        ("score:cites~1", 0, "score:cites~1", "holds numbers"),
        ("a model<b", 2, "model<b", "holds text"),
        ("a  tag:=x", 3, "tag:=x", "names no tag"),
        ('x tag:a="open', 2, 'tag:a="open', "not closed"),
        ("cost_usd>nan", 0, "cost_usd>nan", "not a number"),
        ('"model"=x z', 0, '"model"=x', ""),
    ],
)
def test_an_error_points_at_the_word(text: str, position: int, word: str, says: str) -> None:
    if not says:
        # A word that starts with a quote is text, whatever follows.
        assert parse_query(text).text == "model=x z"
        return
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    assert (caught.value.position, caught.value.word) == (position, word)
    assert says in str(caught.value)
    assert f"at {position + 1}" in str(caught.value)
    assert caught.value.field == "q"


@pytest.mark.parametrize(("column", "op", "value"), [("model", "like", "x"), ("cost_usd", "<", True), ("x", "=", "y")])
def test_a_filter_is_checked(column: str, op: str, value: str) -> None:
    with pytest.raises(BadInput) as caught:
        make_filter(column, op, value)
    assert caught.value.mend


@given(st.text())
def test_any_text_is_a_query_or_a_pointed_error(text: str) -> None:
    try:
        query, fault = parse_query(text), None
    except QueryError as error:
        query, fault = SpanQuery(), error
    assert len(query.filters) <= len(text.split())
    assert fault is None or text[fault.position :].startswith(fault.word)


@given(st.text(min_size=1))
def test_quoted_text_is_found_as_it_stands(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_query(f'"{escaped}"') == SpanQuery(text=text)
    assert parse_query(f'tag:a="{escaped}"').filters == (Filter(column="tag:a", op="=", value=text),)
