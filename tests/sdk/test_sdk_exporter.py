"""The background thread: bounded, patient, quiet, and gone when it is closed."""

from __future__ import annotations

import logging
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
