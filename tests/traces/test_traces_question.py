"""Questions with groups mean what they say, point at the word they do not understand, and offer what may come next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import Breakdown, Filter, SpanQuery
from trimtab.traces import QueryError, complete, parse_query, parse_question, wanted
from trimtab.traces.language import CALLS, SHORT


def breakdown(**fields: Any) -> Breakdown:
    return Breakdown(**{"query": SpanQuery(), **fields})


def test_conditions_groups_measures_and_the_first_ten() -> None:
    asked = parse_question("model=gpt-4o cost>0.01 | by model, time:1h | p95 duration, sum cost | top 10")
    query = SpanQuery(
        filters=(Filter(column="model", op="=", value="gpt-4o"), Filter(column="cost_usd", op=">", value=0.01))
    )
    assert asked.query == query
    assert asked.breakdown == Breakdown(
        query=query,
        by=("model", "time:3600"),
        measures=("p95:duration_ms", "sum:cost_usd"),
        order="-p95:duration_ms",
        limit=10,
    )
    assert asked.versus is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("| by model", breakdown(by=("model",))),
        ("|count", None),  # A bar stands by itself: this is a word.
        ("| count", breakdown()),
        ("| errors,refused , count", breakdown(measures=("errors", "refused", "count"), order="-errors")),
        ("| by prompt,route | avg score:quality", breakdown(
            by=("stamp.prompt", "stamp.route"), measures=("avg:score:quality",), order="-avg:score:quality")),
        ("| by time:10m | count", breakdown(by=("time:600",), order="time:600", limit=10_000)),
        ("| by tag:team, time:1d | bottom 3 by sum cost", breakdown(
            by=("tag:team", "time:86400"), order="sum:cost_usd", limit=3)),
        ("| by kind | top 5 by errors | count, max latency", breakdown(
            by=("kind",), measures=("count", "max:duration_ms"), order="-errors", limit=5)),
        ("| bottom 2", breakdown(order="count", limit=2)),
    ],
)  # fmt: skip
def test_clauses(text: str, expected: Breakdown | None) -> None:
    if expected is None:
        assert parse_question(text).query.text == text
        return
    assert parse_question(text).breakdown == expected


def test_two_sides() -> None:
    assert parse_question("| count | compare previous").versus == "previous"
    assert parse_question("| errors | compare prompt=a/1 with prompt=a/2").versus == (
        Filter(column="stamp.prompt", op="=", value="a/1"),
        Filter(column="stamp.prompt", op="=", value="a/2"),
    )


@pytest.mark.parametrize(
    ("text", "word", "says"),
    [
        ("a | ", "|", "nothing stands after"),
        ("a || by x", "||", ""),
        ("| by modle", "modle", "not a column"),
        ("| by cost", "cost", "holds numbers"),
        ("| by score:q", "score:q", "holds numbers"),
        ("| by model, model", "model", "twice"),
        ("| by", "by", "no column"),
        ("| by time:1y", "time:1y", "length of time"),
        ("| by time:500d", "time:500d", "length of time"),
        ("| by name, kind, model, status, session", "session", "too many"),
        ("| p95", "p95", "of which column"),
        ("| p95 model", "model", "no numbers"),
        ("| p42 duration", "p42", "no clause"),
        ("| count errors", "errors", "too much"),
        ("| sum cost tokens", "tokens", "too much"),
        ("| top", "top", "how many"),
        ("| top 0", "0", "how many"),
        ("| top x", "x", "how many"),
        ("| top 10001", "10001", "how many"),
        ("| top 5 errors", "errors", "by MEASURE"),
        ("| top 5 | top 6", "top", "already"),
        ("| top 5 by count, errors", "count,", "one measure"),
        ("| compare", "compare", "what with"),
        ("| compare yesterday", "compare", "what with"),
        ("| compare a with b", "a", "no condition"),
        ("| compare previous | compare previous", "compare", "already"),
        ("modle=x | count", "modle=x", "Did you mean"),
        ("in:moon | count", "in:moon", "in:spans"),
        ("model=() | count", "model=()", "empty"),
        ("has:modle", "has:modle", "not a column"),
    ],
)
def test_an_error_points_at_the_word(text: str, word: str, says: str) -> None:
    if not says:
        assert parse_question(text).breakdown is None
        return
    with pytest.raises(QueryError) as caught:
        parse_question(text)
    assert (caught.value.word, says in str(caught.value)) == (word, True), str(caught.value)
    assert text[caught.value.position :].startswith(word)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ('model=(gpt-4o,"a, b",c)', (Filter(column="model", op="in", value=("gpt-4o", "a, b", "c")),)),
        ("cost=(0.1,2)", (Filter(column="cost_usd", op="in", value=(0.1, 2.0)),)),
        ("model!=(a,b)", (Filter(column="model", op="!=", value="a"), Filter(column="model", op="!=", value="b"))),
        ('model="(a,b)"', (Filter(column="model", op="=", value="(a,b)"),)),
        ("has:cost no:tag:team", (
            Filter(column="cost_usd", op="exists", value=1.0), Filter(column="tag:team", op="exists", value=0.0))),
        ("in:calls", (Filter(column="kind", op="in", value=CALLS),)),
        ("in:spans error~timeout", (Filter(column="error", op="contains", value="timeout"),)),
        ("layer=3 cached_tokens>0", (
            Filter(column="layer", op="=", value=3.0), Filter(column="cached_tokens", op=">", value=0.0))),
    ],
)  # fmt: skip
def test_lists_values_that_are_there_and_where_to_look(text: str, filters: tuple[Filter, ...]) -> None:
    query = parse_query(text)
    assert query.filters == filters
    assert query.roots == (not text.startswith("in:"))


def test_a_list_has_no_groups() -> None:
    with pytest.raises(QueryError, match="no groups"):
        parse_query("model=x | count")
    assert parse_query('model=x "|" y').text == "| y"


@given(st.text('abm |,:=<>()"\\1by top count errors p95 duration model compare previous', max_size=40))
def test_any_text_is_a_question_or_a_pointed_error(text: str) -> None:
    try:
        parse_question(text)
        fault = None
    except QueryError as error:
        fault = error
    assert fault is None or text[fault.position :].startswith(fault.word)


# -- completion ------------------------------------------------------------------------------------------------------

KNOWN = {
    "model": ("gpt-4o", "gpt-4o mini", 'o"1'), "stamp.prompt": ("support/1",), "tag:": ("team", "two words"),
    "score:": ("quality", "thumb"),
}  # fmt: skip


def offered(marked: str) -> list[str]:
    """What the text would be after each suggestion at ``^``."""
    cursor = marked.index("^")
    text = marked.replace("^", "")
    return [text[: one.start] + one.text + text[one.end :] for one in complete(text, cursor, KNOWN)]


@pytest.mark.parametrize(
    ("marked", "among"),
    [
        ("^", "model"),
        ("mo^", "model"),
        ("a mod^", "a model"),
        ("model^", "model="),
        ("cost^", "cost<"),
        ("model=^", "model=gpt-4o"),
        ("model=MINI^", 'model="gpt-4o mini"'),
        ("model=o^", 'model="o\\"1"'),
        ("model=gp^ x", "model=gpt-4o x"),
        ("prompt=^", "prompt=support/1"),
        ("tag:^", "tag:team"),
        ("tag:team^", "tag:team~"),
        ("score:q^", "score:quality"),
        ("score:quality^", "score:quality<"),
        ("has:co^", "has:cost"),
        ("no:tag:^", "no:tag:team"),
        ("in:^", "in:calls"),
        ("model=x ^", "model=x |"),
        ("| count ^", "| count |"),
        ("| ^", "| by"),
        ("| ^", "| p95"),
        ("| by ^", "| by time:1h"),
        ("| by mo^", "| by model"),
        ("| by model,ti^", "| by model,time:1h"),
        ("| by model, pr^", "| by model, prompt"),
        ("| p95 ^", "| p95 latency"),
        ("| avg sc^", "| avg score:quality"),
        ("| count, er^", "| count, errors"),
        ("| top ^", "| top 10"),
        ("| top 10 ^", "| top 10 by"),
        ("| top 10 by ^", "| top 10 by count"),
        ("| top 10 by sum ^", "| top 10 by sum cost"),
        ("| compare ^", "| compare previous"),
        ("| compare prompt=a ^", "| compare prompt=a with"),
        ("| count | ^", "| count | compare"),
    ],
)
def test_what_may_come_next(marked: str, among: str) -> None:
    assert among in offered(marked)


def test_every_suggested_condition_is_understood() -> None:
    for text in offered("^"):
        if text.rstrip("=<>!~") == text and not text.endswith(":") and text != "|" and ":" not in text:
            assert parse_query(f"{text}=1").filters or text in SHORT
    for text in offered("model=^"):
        assert parse_query(text).filters[0].value in KNOWN["model"]


@pytest.mark.parametrize(
    ("text", "column"),
    [("model=g", "model"), ("prompt=", "stamp.prompt"), ("tag:team=", "tag:team"), ("cost>", ""), ("mod", ""),
     ("tag:", "tag:"), ("has:tag:", "tag:"), ("score:q", "score:"), ("| by tag:", "tag:"), ("| avg score:", "score:"),
     ("nonsense=", ""), ('"a=', "")],
)  # fmt: skip
def test_which_values_would_help(text: str, column: str) -> None:
    assert wanted(text, len(text)) == column


@given(st.text('abm |,:=<>()"\\by top count p95 duration model', max_size=30), st.integers(-3, 40))
def test_completion_takes_any_text_and_place(text: str, cursor: int) -> None:
    wanted(text, cursor)
    for one in complete(text, cursor, KNOWN):
        assert 0 <= one.start <= one.end <= len(text)
        assert one.text
