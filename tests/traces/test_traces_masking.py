"""What is masked, what only looks like it, and that nothing is written before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import BadInput, Score, Span, now_ns
from trimtab.store import SpanStore
from trimtab.traces import KINDS, Masking, Receiver, Recorder, logs_app, otlp_app
from trimtab.traces.masking import _card, _iban

ALL = Masking(kinds=KINDS, salt=b"salt")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to a.b+c@mail.example.co.uk now", "write to [email] now"),
        ("call +49 170 1234567 today", "call [phone] today"),
        ("(030) 123 4567", "[phone]"),
        ("555-123-4567", "[phone]"),
        ("card 4111 1111 1111 1111, thanks", "card [card], thanks"),
        ("5500-0000-0000-0004", "[card]"),
        ("DE89 3704 0044 0532 0130 00 PLEASE", "[iban] PLEASE"),
        ("gb82west12345698765432", "[iban]"),
        ("key sk-proj-abcdefghijklmnop1234", "key [secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        ("my password is hunter22.", "my password is [secret]"),
        ('{"password": "hunter22"}', '{"password": "[secret]"}'),
        ("Authorization: Bearer abcdefghijklmnopqrstuvwxyz", "Authorization: [secret]"),
        ("postgres://user:pass@host/db", "[secret]host/db"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[secret]"),
    ],
)
def test_what_is_masked(text: str, masked: str) -> None:
    assert ALL.text(text, KINDS) == masked


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112 of today",  # fails Luhn's check
        "2026-11-25 20:24:12 and 25.11.2026",
        "0af7651916cd43dd8448eb211c80319c",
        "started at 1795638610837498511",
        "version 1.2.3, 10 of 12, 99.5 %",
        "the password is required; secrets of the trade",
        "@home at 5",
        "task-management and risk-averse",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert ALL.text(text, KINDS) == text


def test_only_what_was_asked_for() -> None:
    text = "a@b.de 4111111111111111"
    assert ALL.text(text, ("email",)) == "[email] 4111111111111111"
    with pytest.raises(BadInput, match="secret, email"):
        Masking(kinds=("mail",))


def _span(**fields: Any) -> Span:
    now = now_ns()
    return Span(
        **{"trace_id": "a" * 32, "span_id": "b" * 16, "name": "n", "kind": "chain", "start_ns": now, "end_ns": now,
           **fields}
    )  # fmt: skip


def test_every_text_of_a_span_and_a_score() -> None:
    mail = "a@b.de"
    span = _span(
        name=mail, session=mail, error=mail, input=mail, output=mail, tags={"user": mail, "topic": "x"},
        attributes={"deep": [{"to": mail, "n": 1}], mail: True}, input_tokens=5,
    )  # fmt: skip
    score = Score(id="s", trace_id="a" * 32, name="n", value=1, by=f"human:{mail}", time_ns=1, reason=mail, label=mail)
    spans, scores = ALL([span], [score])
    told = json.dumps([repr(spans), repr(scores)])
    assert mail not in told
    assert spans[0].attributes == {"deep": [{"to": "[email]", "n": 1}], "[email]": True}
    assert (spans[0].input_tokens, spans[0].tags["topic"], spans[0].trace_id) == (5, "x", span.trace_id)
    # Sessions and users stay apart, and the same one stays the same; without the salt nobody can look them up.
    other = ALL([_span(session="c@d.de")], ())[0][0]
    assert spans[0].session.startswith("[email] ")
    assert spans[0].session == ALL([span], ())[0][0].session != other.session
    assert Masking(kinds=KINDS, salt=b"other")([span], ())[0][0].session != spans[0].session


def test_half_a_character_is_no_error() -> None:
    assert ALL.text("a@b.de \ud800", KINDS) == "[email] ?"


def test_a_project_has_its_own_rules() -> None:
    masking = Masking(kinds=("email",), projects={"open": (), "bank": ("iban",)})
    text = "a@b.de DE89370400440532013000"
    spans, _ = masking([_span(project=name, input=text) for name in ("any", "open", "bank")], ())
    assert [span.input for span in spans] == ["[email] DE89370400440532013000", text, "a@b.de [iban]"]


async def test_nothing_is_written_before(ask: Any, store: SpanStore) -> None:
    mail = "a@b.de"
    Recorder(store, mask=ALL).record([_span(input=mail)])
    now = str(now_ns())
    sent = {"traceId": "c" * 32, "spanId": "d" * 16, "name": mail, "startTimeUnixNano": now, "endTimeUnixNano": now,
            "attributes": [{"key": "input.value", "value": {"stringValue": mail}}]}  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]}
    headers = {"content-type": "application/json"}
    await ask(otlp_app(Receiver(store, mask=ALL)), "POST", "/v1/traces", json.dumps(body).encode(), headers)
    event = {"traceId": "c" * 32, "spanId": "d" * 16, "eventName": "gen_ai.user.message", "timeUnixNano": now,
             "body": {"stringValue": mail}}  # fmt: skip
    verdict = {**event, "eventName": "gen_ai.evaluation.result", "attributes": [
        {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 1.0}},
        {"key": "gen_ai.evaluation.explanation", "value": {"stringValue": mail}},
    ]}  # fmt: skip
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [event, verdict]}]}]}
    answer = await ask(logs_app(Receiver(store, mask=ALL)), "POST", "/v1/logs", json.dumps(logs).encode(), headers)
    assert answer.json() == {}
    await store.flush()
    batch = await store.tail("")
    assert (len(batch.spans), len(batch.scores)) == (3, 1)
    assert mail not in repr(batch)


@given(st.text(max_size=60), st.sampled_from(["a@b.de", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"]))
def test_it_is_found_between_anything(around: str, secret: str) -> None:
    assert secret not in ALL.text(f"{around} ; {secret} ; {around}", KINDS)


@given(st.text(alphabet="0123456789 -", max_size=40))
def test_the_checks_never_fail(text: str) -> None:
    assert 0 <= _card(text) <= len(text)
    assert _iban("DE" + text) in (0, *range(len(text) + 3))
