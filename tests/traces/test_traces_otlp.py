"""OTLP's two encodings say the same, and what is no span is named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from trimtab.core import BadInput
from trimtab.traces.otlp import decode, encode_response, encode_status
from trimtab.traces.translation import TEXT_LIMIT, translate

NOW = 1_790_000_000 * 10**9
TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def _request(**changes: Any) -> dict[str, Any]:
    """One span in OTLP's JSON."""
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "answer",
        "startTimeUnixNano": str(NOW),
        "endTimeUnixNano": str(NOW + 1000),
        **changes,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def _read(request: dict[str, Any]) -> tuple[list[Any], list[str]]:
    return translate(decode(json.dumps(request).encode(), json=True), NOW)[:2]


values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _json_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case list():
            return {"arrayValue": {"values": [_json_value(item) for item in value]}}
        case _:
            return {"kvlistValue": {"values": [{"key": k, "value": _json_value(v)} for k, v in value.items()]}}


def _proto_value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
    found = AnyValue()
    if isinstance(value, list):
        found.array_value.values.extend(_proto_value(item) for item in value)
        found.array_value.SetInParent()
    else:
        found.kvlist_value.values.extend(KeyValue(key=k, value=_proto_value(v)) for k, v in value.items())
        found.kvlist_value.SetInParent()
    return found


@given(st.dictionaries(st.text(), values, max_size=4), st.text(), st.integers(0, 2**64 - 1))
def test_json_and_protobuf_say_the_same(attributes: dict[str, Any], name: str, start: int) -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name", value=AnyValue(string_value="shop"))
    scoped = group.scope_spans.add()
    scoped.scope.name = "lib"
    span = scoped.spans.add(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(SPAN),
        parent_span_id=bytes.fromhex(PARENT),
        name=name,
        start_time_unix_nano=start,
        end_time_unix_nano=start,
    )
    span.attributes.extend(KeyValue(key=k, value=_proto_value(v)) for k, v in attributes.items())
    span.status.code, span.status.message = 2, "broken"
    span.events.add(name="exception", time_unix_nano=5)
    span.links.add(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN))
    as_json = _request(
        parentSpanId=PARENT.upper(),
        name=name,
        startTimeUnixNano=str(start),
        endTimeUnixNano=start,
        attributes=[{"key": k, "value": _json_value(v)} for k, v in attributes.items()],
        status={"code": 2, "message": "broken"},
        events=[{"name": "exception", "timeUnixNano": "5"}],
        links=[{"traceId": TRACE, "spanId": SPAN}],
    )
    as_json["resourceSpans"][0]["resource"] = {
        "attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]
    }
    as_json["resourceSpans"][0]["scopeSpans"][0]["scope"] = {"name": "lib"}
    from_json = decode(json.dumps(as_json).encode(), json=True)
    assert decode(request.SerializeToString(), json=False) == from_json
    assert from_json[0].attributes == attributes


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"resourceSpans": 3}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\xff"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "99999999999999999999"}]}]}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_request_in_json_is_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        decode(body, json=True)
    assert caught.value.field == "body"
    assert caught.value.mend


def test_deep_nesting_is_bad_input() -> None:
    deep = '{"arrayValue": {"values": [' * 5000 + "]}}" * 5000
    body = '{"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": [{"key": "a", "value": ' + deep + "}]}]}]}]}"
    with pytest.raises(BadInput):
        decode(body.encode(), json=True)


@given(st.binary(max_size=200))
def test_any_bytes_are_spans_or_bad_input(body: bytes) -> None:
    for as_json in (True, False):
        try:
            spans, field = translate(decode(body, json=as_json), NOW)[0], "body"
        except BadInput as error:
            spans, field = [], error.field
        assert field == "body"
        assert all(len(span.trace_id) == 32 for span in spans)


def test_invalid_utf8_in_protobuf_is_bad_input() -> None:
    body = ScopeSpans(schema_url="abc").SerializeToString().replace(b"abc", b"\xff\xfe\xfd")
    wrapped = bytes((0x12, len(body))) + body
    with pytest.raises(BadInput):
        decode(bytes((0x0A, len(wrapped))) + wrapped, json=False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"traceId": "0af7"}, "trace id '0af7'"),
        ({"traceId": "0" * 32}, "all zero"),
        ({"traceId": "g" * 32}, "trace id"),
        ({"spanId": ""}, "span id"),
        ({"spanId": "0" * 16}, "all zero"),
        ({"parentSpanId": "abc"}, "parent span id"),
        ({"startTimeUnixNano": "0"}, "no start time"),
        ({"endTimeUnixNano": str(NOW + 2 * 86_400 * 10**9)}, "in the future"),
        ({"startTimeUnixNano": str(2**64 - 1)}, "in the future"),
    ],
)
def test_a_bad_span_is_refused_with_its_reason_and_the_others_are_kept(changes: dict[str, Any], says: str) -> None:
    request = _request(**changes)
    request["resourceSpans"] += _request(name="good")["resourceSpans"]
    spans, reasons = _read(request)
    assert [span.name for span in spans] == ["good"]
    assert len(reasons) == 1
    assert "'answer'" in reasons[0]
    assert says in reasons[0]


def test_a_zero_parent_is_a_root_and_time_never_runs_back() -> None:
    spans, _ = _read(_request(parentSpanId="0" * 16, endTimeUnixNano=str(NOW - 5)))
    assert spans[0].parent_id == ""
    assert spans[0].end_ns == spans[0].start_ns


def _exception(**attributes: str) -> dict[str, Any]:
    return {
        "name": "exception",
        "timeUnixNano": str(NOW),
        "attributes": [{"key": f"exception.{k}", "value": {"stringValue": v}} for k, v in attributes.items()],
    }


@pytest.mark.parametrize(
    ("status", "events", "expected"),
    [
        ({}, [], ("ok", "")),
        ({"code": 1}, [_exception(type="E", message="handled")], ("ok", "")),
        ({}, [_exception(type="ValueError", message="no")], ("error", "ValueError: no")),
        ({"code": 2, "message": "timeout"}, [], ("error", "timeout")),
        ({"code": 2, "message": "told"}, [_exception(type="E", message="why")], ("error", "E: why")),
        ({"code": 2}, [], ("error", "error")),
    ],
)
def test_status_and_exceptions(status: dict[str, Any], events: list[Any], expected: tuple[str, str]) -> None:
    spans, _ = _read(_request(status=status, events=events))
    assert (spans[0].status, spans[0].error) == expected


@pytest.mark.parametrize(
    ("resource", "project"),
    [
        ({}, "default"),
        ({"service.name": "shop"}, "shop"),
        ({"service.name": "unknown_service:python"}, "default"),
        ({"service.name": "shop", "openinference.project.name": "support"}, "support"),
    ],
)
def test_the_project_comes_from_the_resource(resource: dict[str, str], project: str) -> None:
    request = _request()
    request["resourceSpans"][0]["resource"] = {
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in resource.items()]
    }
    spans, _ = _read(request)
    assert spans[0].project == project
    if resource:
        assert spans[0].attributes["resource"] == resource


def test_long_attributes_are_cut_and_a_note_says_how_long_they_were() -> None:
    long = "é" * TEXT_LIMIT
    attributes = [
        {"key": "big", "value": {"stringValue": long}},
        {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "x" * TEXT_LIMIT}]}}},
        {"key": "input.value", "value": {"stringValue": long}},
        {"key": "small", "value": {"stringValue": "é"}},
    ]
    spans, _ = _read(_request(attributes=attributes))
    span = spans[0]
    assert span.attributes["small"] == "é"
    for text in (span.input, span.attributes["big"], span.attributes["list"]):
        assert len(text.encode()) == TEXT_LIMIT
    assert span.attributes["truncated"] == {
        "big": 2 * TEXT_LIMIT,
        "list": TEXT_LIMIT + 4,
        "input": 2 * TEXT_LIMIT,
    }


def test_a_sender_cannot_claim_to_be_the_gateway() -> None:
    attributes = [{"key": "gateway", "value": {"boolValue": True}}, {"key": "ask", "value": {"stringValue": "{}"}}]
    spans, _ = _read(_request(attributes=attributes))
    assert spans[0].attributes == {"client.gateway": True, "client.ask": "{}"}


def test_bytes_and_endless_numbers_become_text(as_pairs: Callable[..., list[KeyValue]]) -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.extend(as_pairs({"b": b"\x00\xff", "n": float("nan"), "i": float("-inf"), "none": None}))
    raw = decode(request.SerializeToString(), json=False)[0]
    assert raw.attributes == {"b": base64.b64encode(b"\x00\xff").decode(), "n": "nan", "i": "-inf", "none": None}


def test_answers() -> None:
    partial = ExportTraceServiceResponse.FromString(encode_response(2, "why", json=False)).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, "why")
    assert encode_response(0, "", json=False) == b""
    assert json.loads(encode_response(2, "why", json=True)) == {
        "partialSuccess": {"rejectedSpans": "2", "errorMessage": "why"}
    }
    assert encode_response(0, "", json=True) == b"{}"


@given(st.integers(0, 16), st.text(max_size=400))
def test_status_is_a_google_rpc_status(code: int, message: str) -> None:
    # google.rpc.Status has the field numbers and types of KeyValue's first field and of a varint; read it by hand.
    encoded = encode_status(code, message, json=False)
    assert encoded[:2] == bytes((0x08, code))
    read = KeyValue.FromString(bytes((0x0A,)) + encoded[3:])
    assert read.key == message


def test_each_sender_in_a_request_keeps_its_own_project() -> None:
    groups = []
    for number, service in enumerate(("shop", "search", "")):
        group = _request(spanId=f"{number + 1:016x}")["resourceSpans"][0]
        attributes = [{"key": "service.name", "value": {"stringValue": service}}] if service else []
        groups.append({**group, "resource": {"attributes": attributes}})
    spans, rejected = _read({"resourceSpans": [*groups, groups[0]]})
    assert not rejected
    assert [span.project for span in spans] == ["shop", "search", "default", "shop"]
