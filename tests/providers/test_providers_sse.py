from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core import ModelError
from trimtab.providers.sse import EVENT_LIMIT, Event, EventDecoder

ENDINGS = st.sampled_from(["\n", "\r\n", "\r"])
LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
# What one event may be made of: data lines, a name, comments, fields that nobody knows.
FIELD = st.one_of(
    st.tuples(st.just("data"), LINE),
    st.tuples(st.just("event"), LINE),
    st.tuples(st.just(""), LINE),  # a comment
    st.tuples(st.sampled_from(["id", "retry", "nonsense"]), LINE),
)
EVENTS = st.lists(st.lists(FIELD, min_size=1, max_size=4), max_size=6)


def written(events: list[list[tuple[str, str]]], ending: str) -> bytes:
    lines = [f"{name}: {value}" for event in events for name, value in [*event, ("END", "")]]
    return "".join(("" if line == "END: " else line) + ending for line in lines).encode()


def meant(events: list[list[tuple[str, str]]]) -> list[Event]:
    found = []
    for event in events:
        data = [value for name, value in event if name == "data"]
        names = [value for name, value in event if name == "event"]
        if data:
            found.append(Event(names[-1] if names else "", "\n".join(data)))
    return found


def decode(pieces: list[bytes]) -> list[Event]:
    decoder = EventDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


@given(EVENTS, ENDINGS, st.data())
def test_any_split_of_the_bytes_gives_the_events_that_were_written(
    events: list[list[tuple[str, str]]], ending: str, data: st.DataObject
) -> None:
    raw = written(events, ending)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    pieces = [raw[a:b] for a, b in pairwise([0, *cuts, len(raw)])]
    assert decode(pieces) == meant(events)
    assert decode([raw[i : i + 1] for i in range(len(raw))]) == meant(events)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_any_bytes_at_all_decode_alike_whole_and_split(raw: bytes, cuts: list[int]) -> None:
    ends = sorted(min(cut, len(raw)) for cut in cuts)
    assert decode([raw[a:b] for a, b in pairwise([0, *ends, len(raw)])]) == decode([raw])


def test_events_come_as_soon_as_they_are_complete() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: 1\n") == []
    assert decoder.feed(b"\n") == [Event("", "1")]
    assert decoder.feed(b"data: 2\r\n\r") == [Event("", "2")]
    assert decoder.feed(b"\ndata: 3") == []
    assert decoder.close() == [Event("", "3")]


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"\xef\xbb\xbfdata: x\n\n", [Event("", "x")]),
        (b": ping\n\ndata:x\n\n", [Event("", "x")]),
        (b"data\n\n", [Event("", "")]),
        (b"data:  two spaces\n\n", [Event("", " two spaces")]),
        (b"data: \xff\n\n", [Event("", "\ufffd")]),
        (b"data: a\xe2\x80\xa8b\n\n", [Event("", "a\u2028b")]),
    ],
)
def test_the_corners_of_the_format(raw: bytes, events: list[Event]) -> None:
    assert decode([raw]) == events


@pytest.mark.parametrize("piece", [b"x" * (1 << 20), b"data: " + b"x" * (1 << 20) + b"\n"])
def test_an_event_may_not_grow_without_end(piece: bytes) -> None:
    decoder = EventDecoder()
    for _ in range(EVENT_LIMIT // (1 << 20)):
        decoder.feed(piece)
    with pytest.raises(ModelError, match="more than"):
        decoder.feed(piece)
