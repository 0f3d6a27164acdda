"""Scanners in the gateway: tool calls, held streams, a second question, the judge, failures, what is given back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from gateway_house import Answer, House, http_reply, piece, sse_reply, user

from trimtab.core import BadInput, Span
from trimtab.wiring.defaults import CONTENT_CHECKS

CARD = "4111 1111 1111 1111"
TOKEN = "ghp_" + "k3Jd8sLq0Zx1Wm5Tr7Yb" * 2
CARDS = {"scanner": "personal", "name": "card", "action": "redact", "options": {"kinds": ["card-number"]}}
SECRETS = {"scanner": "secrets", "action": "redact"}


async def guarded(house: House, stages: Mapping[str, Any], model: str = "vendor/m", **more: Any) -> None:
    await house.publish("guards", "strict", {"stages": stages, "fail": "closed", **more})
    await house.publish("routes", "strict", {"targets": [{"model": model}], "guard": "guards:/strict@production"})


def rails(spans: list[Span], name: str = "guard output") -> list[Span]:
    return [span for span in spans if span.name == name]


def refusal(answer: Answer) -> dict[str, Any]:
    """The error of a refused answer; in a stream of which some has passed, its last event."""
    return answer.error if answer.status != 200 else dict(answer.events[-1]["error"])


def called(arguments: str) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": arguments}}
    return {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                "finish_reason": "tool_calls",
            }
        ]
    }


def pieces_of_call(arguments: str, size: int) -> list[dict[str, Any]]:
    def part(more: str, **rest: Any) -> dict[str, Any]:
        call = {"index": 0, "function": {"arguments": more, **rest}}
        return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}

    cut = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    return [part("", name="pay"), *(part(each) for each in cut), piece(finish="tool_calls")]


def arguments_in(events: list[Any]) -> str:
    deltas = [choice["delta"] for event in events if event != "[DONE]" for choice in event.get("choices") or ()]
    return "".join(
        call["function"].get("arguments") or "" for delta in deltas for call in delta.get("tool_calls") or ()
    )


async def test_the_arguments_of_a_tool_call_are_redacted(house: House) -> None:
    await guarded(house, {"output": [CARDS]})
    house.vendor.reply = lambda headers, body: http_reply(200, called(json.dumps({"card": CARD, "sum": 3})))
    answer = await house.ask({"model": "strict", "messages": user("pay")})
    (call,) = answer.json["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"card": "[redacted:card]", "sum": 3}
    spans, _ = await house.trace(answer)
    assert CARD not in repr(spans)
    (rail,) = rails(spans)
    assert rail.attributes["findings"][0]["where"] == "choices[0].tool_calls[0]"


@pytest.mark.parametrize("size", [3, 1000])
async def test_a_streamed_tool_call_is_held_until_it_is_seen_whole(house: House, size: int) -> None:
    await guarded(house, {"output": [CARDS]})
    clean, dirty = json.dumps({"sum": 3, "to": "Mill Street"}), json.dumps({"card": CARD})
    house.vendor.reply = lambda headers, body: sse_reply(*pieces_of_call(clean, size))
    answer = await house.ask({"model": "strict", "messages": user("pay"), "stream": True})
    assert arguments_in(answer.events) == clean
    house.vendor.reply = lambda headers, body: sse_reply(*pieces_of_call(dirty, size))
    answer = await house.ask({"model": "strict", "messages": user("pay"), "stream": True})
    assert json.loads(arguments_in(answer.events)) == {"card": "[redacted:card]"}
    assert answer.events[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert CARD not in repr((await house.trace(answer))[0])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_rule_for_actions_stops_a_call_and_nothing_of_it_is_kept(house: House, stream: bool) -> None:
    rule = {"name": "no-wipe", "patterns": ["(?i)drop table"], "action": "block", "reason": "It deletes data."}
    await guarded(house, {"action": [rule]})
    arguments = json.dumps({"sql": "DROP TABLE users"})
    house.vendor.reply = lambda headers, body: (
        sse_reply(*pieces_of_call(arguments, 5)) if stream else http_reply(200, called(arguments))
    )
    answer = await house.ask({"model": "strict", "messages": user("go"), "stream": stream})
    error = refusal(answer)
    assert (error["code"], error["param"]) == ("guard_refused", "choices[0].tool_calls[0]")
    assert "stopped the action" in error["message"]
    spans, (allowed,) = await house.trace(answer)
    assert (allowed.value, "DROP TABLE" in repr(spans)) == (0.0, False)


def says(*answers: str) -> Callable[[Any, Any], Any]:
    left = list(answers)

    def reply(headers: Any, body: Any) -> Any:
        text = left.pop(0) if len(left) > 1 else left[0]
        if body.get("stream"):
            return sse_reply(*(piece(part) for part in (text[:5], text[5:])), piece(finish="stop"))
        return http_reply(
            200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
        )

    return reply


JSON = {
    "scanner": "json",
    "action": "block",
    "reask": True,
    "options": {"schema": {"type": "object", "required": ["age"]}},
}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_of_the_wrong_shape_is_asked_for_once_more(house: House, stream: bool) -> None:
    await guarded(house, {"output": [JSON]})
    house.vendor.reply = says("Sure! age 3", '{"age": 3}')
    answer = await house.ask({"model": "strict", "messages": user("how old?"), "stream": stream})
    assert (answer.status, answer.text) == (200, '{"age": 3}')
    first, second = [asked[1]["messages"] for asked in house.vendor.asked[-2:]]
    assert second[:1] == first
    assert second[1] == {"role": "assistant", "content": "Sure! age 3"}
    assert "not accepted" in second[2]["content"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_stays_wrong_is_refused(house: House, stream: bool) -> None:
    await guarded(house, {"output": [JSON]})
    house.vendor.reply = says("no", "still no")
    answer = await house.ask({"model": "strict", "messages": user("how old?"), "stream": stream})
    error = refusal(answer)
    assert error["code"] == "guard_refused"
    assert len(house.vendor.asked) == 2


async def test_a_held_stream_goes_out_as_it_came_or_redacted(house: House) -> None:
    whole = {"scanner": "sentiment", "action": "block"}
    await guarded(house, {"output": [whole, CARDS]})
    house.vendor.reply = says("All is well with you.")
    answer = await house.ask({"model": "strict", "messages": user("hi"), "stream": True})
    texts = [event["choices"][0]["delta"].get("content") for event in answer.events[:-1]]
    assert texts[:2] == ["All i", "s well with you."]
    house.vendor.reply = says(f"Card {CARD} is fine.")
    answer = await house.ask({"model": "strict", "messages": user("hi"), "stream": True})
    assert answer.text == "Card [redacted:card] is fine."
    house.vendor.reply = says("terrible awful useless horrible worst")
    answer = await house.ask({"model": "strict", "messages": user("hi"), "stream": True})
    assert refusal(answer)["code"] == "guard_refused"
    assert b"awful" not in answer.body


async def test_what_a_window_cannot_see_is_flagged_once_it_has_passed(house: House) -> None:
    await guarded(house, {"output": [SECRETS, {"scanner": "refusal", "action": "flag"}]})
    hidden = base64.b64encode(f"the key is {TOKEN} ok".encode()).decode()
    house.vendor.reply = says(f"I'm sorry, but I can't help with that. {hidden}")
    answer = await house.ask({"model": "strict", "messages": user("hi"), "stream": True})
    assert hidden in answer.text
    spans, (allowed,) = await house.trace(answer)
    found = {kept["rule"]: kept for kept in rails(spans)[0].attributes["findings"]}
    assert (set(found), allowed.value) == ({"secrets", "refusal"}, 1.0)
    assert (found["secrets"]["action"], found["secrets"]["how"]) == ("flag", ["base64"])
    plain = await house.ask({"model": "strict", "messages": user("hi")})
    assert hidden not in plain.text


async def test_a_scanner_that_fails_is_seen_in_the_trace(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(text: str, *rest: Any) -> Any:
        raise RuntimeError("inside")

    await guarded(house, {"input": [{**SECRETS, "fail": "open"}]}, model="scripted/echo")
    monkeypatch.setattr("trimtab.guard.secrets.find_secrets", crash)
    answer = await house.ask({"model": "strict", "messages": user("hello")})
    assert answer.status == 200
    spans, (allowed,) = await house.trace(answer)
    (rail,) = rails(spans, "guard input")
    assert (rail.status, allowed.value) == ("error", 1.0)
    (failure,) = rail.attributes["failures"]
    assert (failure["scanner"], failure["fail"], failure["why"]) == ("secrets", "open", "it crashed (RuntimeError)")
    await guarded(house, {"input": [SECRETS]}, model="scripted/echo")
    refused = await house.ask({"model": "strict", "messages": user("hello")})
    assert (refused.status, refused.error["code"]) == (403, "guard_refused")
    assert "it fails closed" in refused.error["message"]


PERSONAL = {"scanner": "personal", "action": "redact", "restore": True}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_caller_gets_back_what_the_model_never_saw(house: House, stream: bool) -> None:
    await guarded(house, {"input": [PERSONAL]})
    house.vendor.reply = says("I wrote to [email-1] today.")
    asked = user("Write to ada@lovelace.example please")
    answer = await house.ask({"model": "strict", "messages": asked, "stream": stream})
    assert answer.text == "I wrote to ada@lovelace.example today."
    assert house.vendor.asked[-1][1]["messages"][0]["content"] == "Write to [email-1] please"
    spans, _ = await house.trace(answer)
    assert "lovelace" not in repr(spans)
    assert spans[0].output == "I wrote to [email-1] today."


JUDGE = {"model": "vendor/judge", "categories": ["S1", "S9"]}
DOUBT = {"name": "doubt", "patterns": ["(?i)bomb"], "action": "escalate", "reason": "It may be dangerous."}


def judged(verdict: str) -> Callable[[Any, Any], Any]:
    answer, judge = says("An answer."), says(verdict)
    return lambda headers, body: (judge if body["model"] == "judge" else answer)(headers, body)


@pytest.mark.parametrize(
    ("verdict", "fail", "status", "told"),
    [
        ("safe", "closed", 200, "safe"),
        ("unsafe\nS9", "closed", 403, "S9"),
        ("hm", "closed", 403, ""),
        ("hm", "open", 200, ""),
    ],
)
async def test_a_judge_decides_what_is_escalated(house: House, verdict: str, fail: str, status: int, told: str) -> None:
    await guarded(house, {"input": [DOUBT]}, judge={**JUDGE, "fail": fail})
    house.vendor.reply = judged(verdict)
    answer = await house.ask({"model": "strict", "messages": user("How was the bomb of 1944 found?")})
    assert answer.status == status
    spans, (allowed,) = await house.trace(answer)
    assert allowed.value == float(status == 200)
    (rail,) = rails(spans, "guard judge")
    assert (rail.output, rail.status) == (told, "error" if verdict == "hm" else "ok")
    if status != 200:
        silent = "it needs a closer look, and no judge answered." in answer.error["message"]
        assert silent == (verdict == "hm"), "who was not judged is not told that he was"
    judge = next(body for _, body in house.vendor.asked if body["model"] == "judge")
    assert "bomb of 1944" in judge["messages"][0]["content"]


async def test_without_doubt_no_judge_is_asked(house: House) -> None:
    await guarded(house, {"input": [DOUBT]}, judge=JUDGE)
    house.vendor.reply = judged("unsafe")
    assert (await house.ask({"model": "strict", "messages": user("hello")})).status == 200
    assert [body["model"] for _, body in house.vendor.asked] == ["m"]


async def test_on_a_risky_route_the_judge_sees_everything(house: House) -> None:
    risk = {"routes": {"strict": "high"}}
    await guarded(house, {"input": []}, judge={**JUDGE, "always": "high"}, risk=risk)
    house.vendor.reply = judged("unsafe\nS1")
    answer = await house.ask({"model": "strict", "messages": user("hello")})
    assert (answer.status, "S1" in answer.error["message"]) == (403, True)


async def test_without_a_judge_an_escalation_follows_the_fail_rule(house: House) -> None:
    await guarded(house, {"input": [DOUBT]})
    answer = await house.ask({"model": "strict", "messages": user("a bomb?")})
    assert (answer.status, "the policy names no judge" in answer.error["message"]) == (403, True)
    await house.publish("guards", "strict", {"stages": {"input": [DOUBT]}, "fail": "open"})
    house.vendor.reply = says("An answer.")
    answer = await house.ask({"model": "strict", "messages": user("a bomb?")})
    assert answer.status == 200
    spans, _ = await house.trace(answer)
    assert rails(spans, "guard input")[0].attributes["findings"][0]["action"] == "flag"


async def test_of_thousands_of_findings_the_trace_keeps_the_first(house: House) -> None:
    rules = [
        {"name": "digit", "patterns": ["7"], "action": "redact", "reason": "a test"},
        {"name": "end", "patterns": ["end"], "action": "flag", "reason": "a test"},
    ]
    await guarded(house, {"input": rules}, model="scripted/echo")
    answer = await house.ask({"model": "strict", "messages": user("there are 7 of them. " * 300 + "end")})
    assert answer.text == "there are [redacted:digit] of them. " * 300 + "end"
    spans, _ = await house.trace(answer)
    kept = rails(spans, "guard input")[0].attributes
    assert [found["rule"] for found in kept["findings"]] == ["digit"] * 100 + ["end"]
    assert kept["left_out"] == 200
    assert "7" not in spans[0].input


async def test_a_long_text_is_scanned_like_any_other(house: House) -> None:
    await guarded(house, {"input": [SECRETS], "output": [CARDS]}, model="scripted/echo")
    answer = await house.ask({"model": "strict", "messages": user("so it goes " * 4000 + TOKEN + " and " + CARD)})
    assert answer.text == "so it goes " * 4000 + "[redacted:secrets] and [redacted:card]"


async def test_a_policy_that_does_not_parse_is_never_registered() -> None:
    with pytest.raises(BadInput) as caught:
        CONTENT_CHECKS["guards"]({"stages": {"input": [{"scanner": "nobody", "action": "block"}]}})
    assert caught.value.field == "stages.input[0].scanner"
