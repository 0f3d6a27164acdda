"""What the library lost it says with the next export, once, and the server writes it down."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from trimtab.sdk import LiveSpan, Unreachable, outbox
from trimtab.sdk.connection import Answer
from trimtab.sdk.exporter import Exporter
from trimtab.sdk.outbox import Losses
from trimtab.sdk.wire import encode
from trimtab.traces.otlp import decode
from trimtab.traces.translation import translate

NOW = 1_800_000_000 * 10**9


def live(name: str, project: str = "shop") -> LiveSpan:
    span = LiveSpan(name=name, kind="chain", parent=None)
    span.start_ns, span.end_ns, span.project = NOW - 2, NOW - 1, project
    return span


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> Losses:
    own = Losses()
    monkeypatch.setattr(outbox, "LOSSES", own)
    return own


def told(body: bytes) -> list[object]:
    """What each span that arrives says of its export."""
    return [span.attributes.get("arrived") for span in translate(decode(body, json=True), NOW).spans]


def test_the_first_span_of_the_first_project_tells() -> None:
    spans = [live("a"), live("b", "other"), live("c")]
    assert told(encode(spans, 7)) == [{"sent": 2, "lost": 7}, None, {"sent": 1, "lost": 0}]
    assert told(encode(spans)) == [{"sent": 2, "lost": 0}, None, {"sent": 1, "lost": 0}]


@pytest.mark.parametrize(("said", "lost"), [("many", 0), (True, 0), (-5, 0), (1 << 60, 10**9), (3, 3)])
def test_what_no_count_is_counts_nothing(said: object, lost: int) -> None:
    body = json.loads(encode([live("a")]))
    value = (
        {"boolValue": said} if said is True else {"intValue": said} if isinstance(said, int) else {"stringValue": said}
    )
    body["resourceSpans"][0]["resource"]["attributes"][-1]["value"] = value
    assert told(json.dumps(body).encode()) == [{"sent": 1, "lost": lost}]


def test_other_senders_say_nothing_and_nobody_claims_it_by_an_attribute() -> None:
    body = json.loads(encode([live("a")]))
    body["resourceSpans"][0]["resource"]["attributes"].pop()
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"].append(
        {"key": "arrived", "value": {"stringValue": "x"}}
    )
    (span,) = translate(decode(json.dumps(body).encode(), json=True), NOW).spans
    assert "arrived" not in span.attributes
    assert span.attributes["client.arrived"] == "x"


def test_what_was_lost_is_told_by_the_next_export_that_arrives_and_once(
    losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[int] = []
    answers = iter([Answer(status=404, body=b"{}"), Answer(status=200, body=b"{}"), Answer(status=200, body=b"{}")])

    def encoded(spans: list[LiveSpan], lost: int) -> bytes:
        bodies.append(lost)
        return b"{}"

    monkeypatch.setattr(outbox, "encode", encoded)
    monkeypatch.setattr(outbox, "call", lambda *_, **__: next(answers))
    losses.gave_up([live("gone"), {"id": "feedback"}, live("gone")])
    for name in ("refused", "kept", "kept"):
        outbox._send([live(name)])
    assert bodies == [2, 3, 0]
    assert losses.spans == 0


def test_what_the_server_cannot_keep_is_told_too(losses: Losses, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = json.dumps({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "odd"}}).encode()
    monkeypatch.setattr(outbox, "call", lambda *_, **__: Answer(status=200, body=partial))
    outbox._send([live("a"), live("b"), live("c")])
    assert losses.spans == 2


def test_an_export_of_which_no_span_was_kept_told_nobody(losses: Losses, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = json.dumps({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "a clock that is wrong"}}).encode()
    monkeypatch.setattr(outbox, "call", lambda *_, **__: Answer(status=200, body=partial))
    losses.add(5)
    outbox._send([live("a"), live("b")])
    assert losses.spans == 7
    outbox._send([live("a"), live("b"), live("c")])
    assert losses.spans == 2


@pytest.mark.parametrize(("status", "told", "spans_lost"), [(200, [3], 0), (404, [3], 4)])
def test_spans_that_were_answered_are_not_counted_again_when_feedback_does_not_arrive(
    losses: Losses, monkeypatch: pytest.MonkeyPatch, status: int, told: list[int], spans_lost: int
) -> None:
    asked: list[str] = []
    said: list[int] = []

    def answered(_settings: object, _method: str, path: str, *_: object, **__: object) -> Answer:
        asked.append(path)
        if path == "/v1/traces":
            return Answer(status=status, body=b"{}")
        raise Unreachable("away")

    def encoded(spans: list[LiveSpan], lost: int) -> bytes:
        said.append(lost)
        return b"{}"

    monkeypatch.setattr(outbox, "encode", encoded)
    monkeypatch.setattr(outbox, "call", answered)
    exporter: Exporter[LiveSpan | outbox.Feedback] = Exporter(
        outbox._send, batch=2, interval=60.0, tries=3, first_pause=0.001, gave_up=losses.gave_up
    )
    monkeypatch.setattr(outbox, "EXPORTER", exporter)
    losses.add(3)
    exporter.offer(live("a"))
    exporter.offer({"id": "feedback"})
    assert exporter.flush(10)
    exporter.close(10)
    assert asked == ["/v1/traces", *["/api/scores"] * 3]
    assert said == told
    assert losses.spans == spans_lost
    assert exporter.dropped == (1 if status == 200 else 2)


def test_a_loss_within_a_count_does_not_hang(losses: Losses) -> None:
    """A signal, or the garbage collector, may end a span where the same thread is counting."""

    def within() -> None:
        with losses._lock:
            losses.gave_up([live("a")])

    thread = threading.Thread(target=within, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert losses.spans == 1


def test_a_full_queue_and_a_server_that_is_away_count(losses: Losses) -> None:
    def away(_: object) -> None:
        raise Unreachable("away")

    exporter: Exporter[LiveSpan | outbox.Feedback] = Exporter(
        away, limit=2, batch=10, interval=60.0, tries=2, first_pause=0.001, gave_up=losses.gave_up
    )
    assert [exporter.offer(live(str(at))) for at in range(3)] == [True, True, False]
    assert losses.spans == 1
    assert exporter.flush(10)
    assert losses.spans == 3
    assert exporter.dropped == 3
    exporter.close(10)


def test_a_child_of_a_fork_begins_without_losses() -> None:
    program = """
import os
from trimtab.sdk import outbox
outbox.LOSSES.add(3)
child = os.fork()
if not child:
    os._exit(outbox.LOSSES.spans)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), outbox.LOSSES.spans)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0", "3"]
