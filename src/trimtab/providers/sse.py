"""Server-sent events, read from bytes that may be split anywhere."""

from __future__ import annotations

from typing import NamedTuple

from trimtab.core import ModelError

#: One event may not be larger than this many bytes.
EVENT_LIMIT = 16 << 20


class Event(NamedTuple):
    """One event: its name (empty when the sender gave none) and its data, lines joined by line feeds."""

    name: str
    data: str


def _whole_events(data: bytes) -> list[Event]:
    """The events of the usual case: whole ones of one ``data`` line each, UTF-8, ended by LF. Empty for any other."""
    if not data.endswith(b"\n\n") or b"\r" in data or len(data) > EVENT_LIMIT:
        return []
    try:
        blocks = data[:-2].decode().split("\n\n")
    except UnicodeDecodeError:
        return []
    if not all(block.startswith("data: ") and "\n" not in block for block in blocks):
        return []
    return [Event("", block[6:]) for block in blocks]


class EventDecoder:
    """Feed it the bytes of a stream in any pieces; it gives back the events that are complete.

    Lines may end in LF, CR or CRLF; comments and unknown fields are passed over; a byte-order mark is dropped;
    invalid UTF-8 becomes U+FFFD. As in the HTML standard, except that an event at the very end of a stream counts
    even without the empty line after it (some vendors end so).
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Event]:
        """The events completed by ``data``. Raises ModelError when one grows beyond EVENT_LIMIT."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\n" not in data and b"\r" not in data:
            self._keep(data)
            return []
        plain = not (self._rest or self._first or self._data or self._name)
        if plain and (whole := _whole_events(data)):
            return whole
        self._keep(data)
        lines = b"".join(self._rest).splitlines(keepends=True)
        self._rest, self._rest_size = [], 0
        if not lines[-1].endswith((b"\n", b"\r")):
            self._keep(lines.pop())
        else:
            self._after_cr = lines[-1].endswith(b"\r")
        events: list[Event] = []
        for line in lines:
            self._line(line.rstrip(b"\r\n"), events)
        return events

    def close(self) -> list[Event]:
        """The stream is over: the event that was still open, if it had data."""
        events: list[Event] = []
        if self._rest:
            self._line(b"".join(self._rest), events)
            self._rest, self._rest_size = [], 0
        self._line(b"", events)
        return events

    def _keep(self, data: bytes) -> None:
        if data:
            self._rest.append(data)
            self._rest_size += len(data)
            self._check(self._rest_size)

    def _check(self, size: int) -> None:
        if size > EVENT_LIMIT:
            raise ModelError(f"the stream holds an event of more than {EVENT_LIMIT} bytes.", retryable=False)

    def _line(self, raw: bytes, events: list[Event]) -> None:
        line = raw.decode("utf-8", "replace")
        if self._first:
            self._first = False
            line = line.removeprefix("\ufeff")
        if not line:
            if self._data:
                events.append(Event(self._name, "\n".join(self._data)))
            self._name, self._data, self._size = "", [], 0
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._size += len(value)
            self._check(self._size)
            self._data.append(value)
        elif field == "event":
            self._name = value
