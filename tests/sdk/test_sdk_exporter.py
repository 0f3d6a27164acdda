"""The background thread: bounded, patient, quiet, and gone when it is closed."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import chain

import pytest

from trimtab.core import TrimtabError
from trimtab.sdk import Unreachable
from trimtab.sdk.exporter import Exporter, Lost


class Server:
    """What the exporter sends to: fails as told, and can be held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failures: list[Exception] = []
        self.lost: Lost | None = None
        self.tries = 0
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()

    def send(self, items: Sequence[int]) -> Lost | None:
        self.tries += 1
        self.entered.set()
        assert self.free.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append(list(items))
        return self.lost


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def exporter(server: Server) -> Iterator[Exporter[int]]:
    running = Exporter(server.send, limit=10, batch=4, interval=60.0, tries=3, first_pause=0.001)
    yield running
    server.free.set()
    running.close(10)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "trimtab-export"]


def test_no_thread_until_the_first_item_and_none_after_close(server: Server, exporter: Exporter[int]) -> None:
    assert exporter.flush(0)
    assert not _threads()
    exporter.offer(1)
    assert len(_threads()) == 1
    exporter.close(10)
    assert not _threads()
    assert server.batches == [[1]]
    exporter.offer(2)
    exporter.close(10)
    assert server.batches == [[1], [2]]


def test_flush_sends_what_waits_in_order_and_in_batches(server: Server, exporter: Exporter[int]) -> None:
    server.free.clear()
    for number in range(10):
        exporter.offer(number)
    server.free.set()
    assert exporter.flush(10)
    assert [*chain(*server.batches)] == list(range(10))
    assert max(map(len, server.batches)) <= 4
    exporter.offer(10)
    assert exporter.flush(10)
    assert server.batches[-1] == [10]


def test_a_full_queue_drops_counts_and_says_so_once(
    server: Server, exporter: Exporter[int], caplog: pytest.LogCaptureFixture
) -> None:
    server.free.clear()
    for number in range(4):
        assert exporter.offer(number)
    assert server.entered.wait(10)
    with caplog.at_level(logging.WARNING, "trimtab"):
        taken = [exporter.offer(number) for number in range(13)]
    assert taken == [True] * 10 + [False] * 3
    assert exporter.dropped == 3
    assert len(caplog.records) == 1
    assert "queue is full" in caplog.text
    server.free.set()
    assert exporter.flush(10)
    assert sum(map(len, server.batches)) == 14


def test_an_absent_server_is_tried_again_and_nothing_is_lost(server: Server, exporter: Exporter[int]) -> None:
    server.failures = [Unreachable("away"), Unreachable("away", retry_after=0.001)]
    exporter.offer(1)
    assert exporter.flush(10)
    assert (server.tries, server.batches, exporter.dropped) == (3, [[1]], 0)


@pytest.mark.parametrize(
    ("failures", "tries"),
    [
        ([Unreachable("away")] * 3, 3),
        ([TrimtabError("401 no key")], 1),
        ([ValueError("a fault of ours")], 1),
    ],
)
def test_what_is_given_up_is_counted_said_once_and_the_thread_lives(
    server: Server, exporter: Exporter[int], caplog: pytest.LogCaptureFixture, failures: list[Exception], tries: int
) -> None:
    server.failures = [*failures, *failures]
    with caplog.at_level(logging.WARNING, "trimtab"):
        for _ in range(2):
            exporter.offer(1)
            exporter.offer(2)
            assert exporter.flush(10)
    assert (server.tries, exporter.dropped) == (2 * tries, 4)
    assert len(caplog.records) == 1
    assert str(failures[0].args[0]) in caplog.text
    exporter.offer(3)
    assert exporter.flush(10)
    assert server.batches == [[3]]
    server.failures = [*failures]
    with caplog.at_level(logging.WARNING, "trimtab"):
        exporter.offer(4)
        assert exporter.flush(10)
    # It worked in between, so that this is news again.
    assert len(caplog.records) == 2


def test_a_batch_that_is_wanted_in_part_counts_its_losses_only(
    server: Server, exporter: Exporter[int], caplog: pytest.LogCaptureFixture
) -> None:
    server.lost = Lost(1, "a bad id")
    with caplog.at_level(logging.WARNING, "trimtab"):
        exporter.offer(1)
        exporter.offer(2)
        assert exporter.flush(10)
    assert (exporter.dropped, server.tries) == (1, 1)
    assert "a bad id" in caplog.text


def test_flush_and_close_do_not_wait_longer_than_told(server: Server, exporter: Exporter[int]) -> None:
    server.free.clear()
    exporter.offer(1)
    assert not exporter.flush(0.01)
    exporter.close(0.01)
    assert len(_threads()) == 1


def test_closing_does_not_wait_for_the_pause_between_tries(server: Server) -> None:
    patient = Exporter(server.send, interval=0.0, tries=5, first_pause=30.0)
    server.failures = [Unreachable("away")] * 5
    patient.offer(1)
    assert server.entered.wait(10)
    patient.close(10)
    assert not _threads()
    assert patient.dropped == 1


def test_a_forked_child_starts_empty(server: Server, exporter: Exporter[int]) -> None:
    server.free.clear()
    for number in range(6):
        exporter.offer(number)
    assert server.entered.wait(10)
    server.free.set()
    exporter.flush(10)
    sent = list(server.batches)
    exporter.reset()
    exporter.offer(9)
    assert exporter.flush(10)
    assert server.batches[len(sent) :] == [[9]]


def test_many_threads_lose_nothing(server: Server) -> None:
    wide = Exporter(server.send, limit=100_000, batch=50, interval=0.001)
    writers = [
        threading.Thread(target=lambda start=start: [wide.offer(start + n) for n in range(500)])  # type: ignore[misc]
        for start in range(0, 4000, 500)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert wide.flush(10)
    wide.close(10)
    assert sorted(chain(*server.batches)) == list(range(4000))


def _ends(records: Sequence[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records if "the process ends" in record.getMessage()]


def test_a_process_that_ends_says_how_much_did_not_arrive(
    server: Server, exporter: Exporter[int], caplog: pytest.LogCaptureFixture
) -> None:
    server.free.clear()
    for number in range(7):  # four of them are under way
        exporter.offer(number)
    assert server.entered.wait(10)
    exporter.end(0.01)
    assert _ends(caplog.records) == [
        "trimtab: the process ends, and 7 more spans or scores were not delivered: no answer within 0.01 seconds."
    ]
    server.failures += [TrimtabError("too late")] * 3
    server.free.set()
    exporter.close(10)
    assert len(caplog.records) == 1, "it was said"


def test_what_fails_as_the_process_ends_is_said_once_with_what_was_only_counted(
    server: Server, exporter: Exporter[int], caplog: pytest.LogCaptureFixture
) -> None:
    server.failures += [TrimtabError("no such key")] * 9
    for number in range(8):
        exporter.offer(number)
    assert exporter.flush(10)
    first = caplog.records[0].getMessage()
    assert first.startswith("trimtab: 4 spans or scores were not sent (4 so far): no such key")
    exporter.offer(8)
    exporter.end(10)
    assert [record.getMessage() for record in caplog.records[1:]] == [
        "trimtab: the process ends, and 5 more spans or scores were not delivered: no such key."
    ]


def test_a_batch_that_failed_in_the_last_moment_is_counted_once(
    server: Server, exporter: Exporter[int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled, go_on = threading.Event(), threading.Event()
    settle = exporter._settle

    def settle_and_wait(lost: Lost | None) -> None:
        settle(lost)
        settled.set()
        go_on.wait(10)

    def close(timeout: float) -> None:
        """Time runs out between the moment when the batch is given up and the end of the thread."""
        server.free.set()
        assert settled.wait(10)

    monkeypatch.setattr(exporter, "_settle", settle_and_wait)
    monkeypatch.setattr(exporter, "close", close)
    server.failures += [TrimtabError("no such key")]
    server.free.clear()
    for number in range(4):
        exporter.offer(number)
    assert server.entered.wait(10)
    exporter.end()
    go_on.set()
    assert _ends(caplog.records) == [
        "trimtab: the process ends, and 4 more spans or scores were not delivered: no such key."
    ]


def test_a_process_that_ends_with_everything_sent_says_nothing(
    server: Server, exporter: Exporter[int], caplog: pytest.LogCaptureFixture
) -> None:
    exporter.end(10)
    exporter.offer(1)
    exporter.end(10)
    assert server.batches == [[1]]
    assert caplog.records == []


def test_a_program_whose_spans_do_not_arrive_says_so_as_it_ends() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        code = f"""
import trimtab
trimtab.configure(url="http://127.0.0.1:{taken.getsockname()[1]}")
for n in range(3):
    with trimtab.start_span(f"step {{n}}"):
        pass
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("trimtab: the process ends, and 3 more spans or scores were not delivered: ")
