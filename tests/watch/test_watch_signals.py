"""The signals of calls, of texts beside each other, and of requests beside their neighbours."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_watch_measures import DAY, NS, START, child, first, root, value

from trimtab.core import Score, Span, Stamp
from trimtab.watch import SIGNALS, Watch, default_monitors, is_score
from trimtab.watch.signals import ASKED_ONCE, FIRM, SPREAD

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def called(name: str, arguments: Any, *tools: Any) -> Span:
    """A request that offers tools, and the call that the model proposed."""
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return root(attributes={"tool_calls": [call], "ask": {"params": {"tools": list(tools)}, "messages": []}})


def test_a_tool_that_was_not_offered_and_arguments_that_its_schema_refuses() -> None:
    right = called("weather", '{"city": "Oslo"}', WEATHER)
    assert (value("known_tools", right), value("tool_arguments", right)) == (1.0, 1.0)
    assert value("known_tools", called("forecast", '{"city": "Oslo"}', WEATHER)) == 0.0
    for arguments in ('{"city": 7}', "{}", "[]", "no JSON"):
        assert value("tool_arguments", called("weather", arguments, WEATHER)) == 0.0, arguments
    assert value("known_tools", called("weather", "{}")) is None, "nobody knows what was offered"
    assert value("tool_arguments", called("weather", "{}")) == 1.0
    anthropic = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}
    assert value("tool_arguments", called("weather", '{"city": 7}', anthropic)) == 0.0


@pytest.mark.parametrize("schema", [{"$ref": "https://elsewhere.example/schema"}, {"type": 7}, [], "no", None, {}])
def test_a_schema_that_nobody_can_read_refuses_nothing(schema: Any) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    assert value("tool_arguments", called("weather", '{"city": 7}', tool)) == 1.0


def test_a_call_that_failed_before_the_answer_came() -> None:
    good, bad = child("llm"), child("llm", status="error", error="429")
    assert [value("first_try", root(), *calls) for calls in ((good,), (bad, good))] == [1.0, 0.0]
    hedged = child("llm", status="error", attributes={"hedge": "lost"})
    assert value("first_try", root(), hedged, good) == 1.0
    assert value("first_try", root(status="error"), bad) is None, "the answer never came: that is another signal"


def test_a_vendor_that_counts_other_tokens() -> None:
    assert value("token_size", root(), child("llm", input="x" * 400, input_tokens=100)) == 4.0
    assert value("token_size", root(), child("llm", input="x" * 40, input_tokens=10)) is None
    assert value("token_size", root(), child("llm", input="x" * 400)) is None


def test_the_parts_that_a_prompt_adds_to_a_conversation() -> None:
    asked = {"messages": [{"role": "user", "content": 'I say "role": twice'}]}
    span = root(attributes={"ask": asked})

    def sent(*more: dict[str, str]) -> Span:
        return child("llm", input=json.dumps([*more, *asked["messages"]], separators=(",", ":")))

    system, shown = {"role": "system", "content": "Be short."}, {"role": "assistant", "content": "Yes."}
    assert [value("prompt_parts", span, sent(*given)) for given in ((system, shown), (system,), ())] == [2.0, 1.0, 0.0]
    assert value("prompt_parts", span) is None


def test_the_time_before_the_model_is_asked_without_the_search() -> None:
    searched = child("retriever", start_ns=START, end_ns=START + 2 * NS)
    asked = child("llm", start_ns=START + 3 * NS, end_ns=START + 9 * NS)
    assert value("overhead", root(), searched, asked) == 1.0
    assert value("overhead", root(), searched) is None


def test_what_the_own_cache_answered_and_what_it_missed() -> None:
    assert [value("cache_hit", root(attributes={"cache": found})) for found in ("hit", "miss")] == [1.0, 0.0]
    assert value("cache_hit", root()) is None, "the route has none"
    missed = root(attributes={"cache": "miss"})
    assert value("first_token", missed) == 1.0, "the model answered what the cache did not have"
    assert value("first_token", root(attributes={"cache": "hit"})) is None


def test_whoever_hung_up_did_not_stay() -> None:
    assert value("stayed", root()) == 1.0
    assert value("stayed", root(status="error", error="client went away")) == 0.0
    assert value("stayed", root(status="error", error="timeout")) is None


def test_scores_of_all_passages_and_how_far_the_best_stands_out() -> None:
    assert [value(name, root()) for name in ("mean_score", "score_gap")] == pytest.approx([5.0, 2 / 3])
    one = root(attributes={"passages": [{"text": "A", "score": 3.0}]})
    assert (value("mean_score", one), value("score_gap", one)) == (3.0, None)


def test_documents_of_today_and_passages_that_disagree() -> None:
    assert value("established", root()) == 1.0
    young = root(attributes={"passages": [{"text": "A", "updated_ns": START - NS}, {"text": "B", "updated_ns": 1}]})
    assert value("established", young) == 0.0
    assert value("agreeing", root()) == 1.0
    said = "Members may cancel their yearly plan within {} days of signing up."
    torn = root(attributes={"passages": [{"text": said.format(14)}, {"text": said.format(30)}]})
    assert value("agreeing", torn) == 0.0
    assert value("agreeing", root(attributes={"passages": [{"text": said}]})) is None


@pytest.mark.parametrize(
    ("asked", "said", "same"),
    [
        ("How long can I return what I have bought from you?", "You can return it within thirty days of it.", 1.0),
        ("Wie lange kann ich das zurückgeben, was ich gekauft habe?", "You can return it within thirty days.", 0.0),
        ("Как долго можно вернуть заказанный товар?", "You can return it within thirty days of the order.", 0.0),
        ("OK", "You can return it within thirty days of the order.", None),
    ],
)
def test_an_answer_in_another_language(asked: str, said: str, same: float | None) -> None:
    assert value("same_language", root(input=asked, output=said)) == same


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.", "I cannot help with this.", "I am unable to do so.",
        "Es tut mir leid, aber ich kann dir dabei nicht helfen.", "Das weiß ich leider nicht.",
        "Je suis désolé, mais je ne peux pas vous aider.", "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, non posso aiutarti.", "As an AI language model, I have no opinion.", "**I can’t help with it.**",
    ],
)  # fmt: skip
def test_refusals_in_several_languages(text: str) -> None:
    assert value("willing", root(output=text)) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "You cannot return it after thirty days [1].", "Sorry for the wait: a refund takes five days.",
        "Ich kann Ihnen sagen, dass dreißig Tage gelten.", "No, refunds are not possible after that day [2].",
    ],
)  # fmt: skip
def test_answers_that_are_no_refusals(text: str) -> None:
    assert value("willing", root(output=text)) == 1.0


def found(*findings: dict[str, Any]) -> Span:
    return child("guardrail", attributes={"stage": "input", "findings": list(findings)})


def test_what_the_guard_found_and_whether_a_second_scanner_agrees() -> None:
    one = {"rule": "attack", "scanner": "injection", "kind": "injection", "score": 0.7}
    other = {"rule": "words", "scanner": "patterns", "kind": "attack"}
    names = ("unflagged", "scanners_agree", "attack_score")
    assert [value(name, root()) for name in names] == [1.0, None, 0.0]
    assert [value(name, root(), found(one)) for name in names] == [0.0, 0.0, 0.7]
    assert value("scanners_agree", root(), found(one, other)) == 1.0
    assert value("unflagged", root(stamp=Stamp(route="support/1"))) is None


def asked(draw: random.Random, n: int, *, poison: float = 0.0, again: float = 0.0) -> Iterator[Span]:
    """Sessions of four questions about one of forty documents each."""
    said = ""
    for i in range(n):
        about = draw.randrange(40)
        if i % 4 == 0 or draw.random() >= again:
            said = f"subject{draw.randrange(10**6)} matter{draw.randrange(10**6)} point{draw.randrange(10**6)}"
        documents = [about, (about + 1) % 40] if draw.random() >= poison else [about, 99]
        yield root(
            trace_id=f"{draw.getrandbits(128):032x}", session=f"s{draw.random()}" if i % 4 == 0 else "", input=said,
            start_ns=START + i * NS, end_ns=START + i * NS + NS // 2,
            attributes={"passages": [{"document": f"d{each}", "updated_ns": START - DAY} for each in documents]},
        )  # fmt: skip


def in_sessions(spans: Iterator[Span]) -> Iterator[Span]:
    session = ""
    for span in spans:
        session = span.session or session
        yield root(**{name: getattr(span, name) for name in ("trace_id", "input", "start_ns", "end_ns", "attributes")},
                   session=session)  # fmt: skip


def watch() -> Watch:
    return Watch(default_monitors(lambda layer: "somebody"), reference=200, measured_a_second=10**6)


def test_a_document_that_is_suddenly_in_many_contexts() -> None:
    draw, seen = random.Random(3), watch()
    assert [alarm.signal for alarm in seen.measure(asked(draw, 3000))] == []
    alarm = first(seen.measure(asked(draw, 300, poison=0.6)), SPREAD)
    assert alarm is not None
    assert alarm.monitor.action == "note", "it explains an incident and opens none"


def test_after_a_restart_no_document_is_sudden() -> None:
    draw, seen = random.Random(3), watch()
    seen.measure(asked(draw, 3000))
    again = watch()
    again.restore(seen.state())
    assert again.measure(asked(draw, 1000)) == []


def test_people_who_ask_the_same_again() -> None:
    draw, seen = random.Random(4), watch()
    assert seen.measure(in_sessions(asked(draw, 4000, again=0.05))) == []
    alarm = first(seen.measure(in_sessions(asked(draw, 600, again=0.5))), ASKED_ONCE)
    assert alarm is not None
    assert (alarm.monitor.action, SIGNALS[ASKED_ONCE].layer) == ("page", None)


def verdicts(draw: random.Random, n: int, lenient: float) -> Iterator[Score]:
    for i in range(n):
        doubtful = draw.random() < 0.2
        passes = draw.random() < lenient if doubtful else draw.random() < 0.95
        for name, said, by in (("grounded", not doubtful, "check:grounded"), ("quality", passes, "judge:quality")):
            trace = f"{i}-{n}-{lenient}"
            yield Score(id=f"{trace}:{name}", trace_id=trace, name=name, value=float(said), by=by, time_ns=i)


def test_a_judge_that_turned_lenient_passes_what_checks_fail() -> None:
    draw, seen = random.Random(5), watch()
    assert seen.observe(list(verdicts(draw, 8000, 0.1))) == []
    alarm = first(seen.observe(list(verdicts(draw, 2000, 0.9))), FIRM)
    assert alarm is not None
    assert alarm.monitor.action == "note"


def test_signals_of_neighbours_are_no_scores() -> None:
    assert [is_score(name) for name in (FIRM, SPREAD, ASKED_ONCE, "first_try", "quality")] == [False] * 4 + [True]


def test_the_docs_list_every_signal_with_its_layer_cost_and_action() -> None:
    page = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")
    listed: dict[str, tuple[str, str, str]] = {}
    heading = ""
    for line in page.splitlines():
        if line.startswith("## "):
            heading = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`"):
            listed[cells[0].strip("`")] = heading, cells[3], cells[4]
    actions = {monitor.signal: monitor.action for monitor in default_monitors(lambda _: "ilse")}
    assert listed == {
        name: (
            f"Layer {int(signal.layer)}: {signal.layer.title.lower()}" if signal.layer else "Outcomes",
            signal.cost, actions[name],
        )
        for name, signal in SIGNALS.items()
    }  # fmt: skip
