"""What is measured of a server that takes traces in."""

from __future__ import annotations

import http.client
import itertools
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from load import SPANS, Request, requests
from peers import NotHere, Server

SENDERS = 4
#: Traces that are made at a time, outside of what is timed.
CHUNK = 2500
Say = Callable[[str], None]


class Sender:
    """One connection that stays open."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)

    def __call__(self, request: Request) -> int:
        """Send it; the status of the answer, 0 when there was none. What asks to come back is sent again."""
        fresh = self._connection.sock is None
        for _ in range(40):
            try:
                self._connection.request(
                    "POST", "/v1/traces", request.body,
                    {"content-type": "application/x-protobuf", **self._server.headers},
                )  # fmt: skip
                answer = self._connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if fresh:
                    return 0
                fresh = True  # The server may have closed a connection that lay idle.
                continue
            if answer.status not in (429, 503):
                return answer.status
            time.sleep(0.25)
        return answer.status


@dataclass
class Ingest:
    """What taking spans in costs. Rates are over the time in which something was to be sent or stored."""

    spans: int
    wire_bytes_per_span: int
    durable_spans_per_s: float = 0.0
    answered_spans_per_s: float = 0.0
    cpu_s_per_1000_spans: float = 0.0
    rss_mb_idle: float = 0.0
    rss_mb_peak: float = 0.0
    #: Resident memory after each tenth of the spans.
    rss_mb_by_tenth: list[float] = field(default_factory=list)
    #: Of its folder once it has stopped.
    disk_bytes_per_span: float = 0.0
    readable_ms: list[float] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}


def ingest(server: Server, traces: int, seed: int, say: Say, *, wait_s: float = 120) -> Ingest:
    """Send the traces and wait until the server itself counts them all."""
    found = Ingest(traces * SPANS, 0)
    found.rss_mb_idle = server.rss_mb()
    peak, done, size, sending_s = _Peak(server), 0, 0, 0.0
    before, cpu = server.count(), server.cpu_s()
    idle = 0.0
    with ThreadPoolExecutor(SENDERS) as pool, peak:
        local = threading.local()

        def send(request: Request) -> int:
            if not hasattr(local, "sender"):
                local.sender = Sender(server)
            return int(local.sender(request))

        while done < traces:
            at = server.cpu_s()
            load = list(requests(seed, done, min(CHUNK, traces - done), time.time_ns()))
            idle += server.cpu_s() - at
            start = time.perf_counter()
            statuses = list(pool.map(send, load))
            sending_s += time.perf_counter() - start
            if set(statuses) != {200}:
                raise NotHere(f"{server.name} answered {sorted(set(statuses))}; 0 is no answer")
            size += sum(len(request.body) for request in load)
            done += sum(len(request.traces) for request in load)
            if done * 10 // traces > len(found.rss_mb_by_tenth):
                found.rss_mb_by_tenth.append(round(server.rss_mb(), 1))
            say(f"{server.name}: {done * SPANS:,} of {traces * SPANS:,} spans answered")
        start = time.perf_counter()
        while (stored := server.count() - before) < done * SPANS and time.perf_counter() - start < wait_s:
            say(f"{server.name}: {stored:,} of {done * SPANS:,} spans stored")
            time.sleep(0.2)
        storing_s = time.perf_counter() - start
    found.spans, found.wire_bytes_per_span = stored, round(size / (done * SPANS))
    found.answered_spans_per_s = done * SPANS / sending_s
    found.durable_spans_per_s = stored / (sending_s + (storing_s if stored < done * SPANS or storing_s > 0.5 else 0))
    found.cpu_s_per_1000_spans = (server.cpu_s() - cpu - idle) / stored * 1000
    found.rss_mb_peak = peak.mb
    found.readable_ms = readable(server, seed + 1)
    return found


class _Peak:
    """The largest resident memory, looked at ten times a second."""

    def __init__(self, server: Server) -> None:
        self._server, self._over = server, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mb = 0.0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.mb = max(self.mb, self._server.rss_mb())


def readable(server: Server, seed: int, times: int = 7) -> list[float]:
    """Milliseconds from sending one trace to a quiet server until its own API shows it whole: least, median, most."""
    send, took = Sender(server), []
    for request in itertools.islice(requests(seed, 0, times, time.time_ns(), each=1), times):
        start = time.perf_counter()
        send(request)
        while not server.has(request.traces[0]) and time.perf_counter() - start < 30:
            time.sleep(0.002)
        took.append((time.perf_counter() - start) * 1000)
        time.sleep(0.1)
    return [round(value, 1) for value in (min(took), statistics.median(took), max(took))]


def kills(server: Server, rounds: int, seed: int, say: Say) -> dict[str, int]:
    """``kill -9`` at a random moment under load, then a new start: how many rounds lost nothing that was answered."""
    rng, whole, answered_in_all, lost_in_all = random.Random(seed), 0, 0, 0
    for round_ in range(rounds):
        server.start()
        answered: list[str] = []
        load = list(requests(seed + round_, 0, 1000, time.time_ns()))
        stop = threading.Event()

        threads = [
            threading.Thread(target=_send_until, args=(server, load[n::SENDERS], answered, stop))
            for n in range(SENDERS)
        ]
        for thread in threads:
            thread.start()
        wanted = rng.randrange(1, 800)
        while len(answered) < wanted and any(thread.is_alive() for thread in threads):
            time.sleep(0.001)
        server.kill()
        stop.set()
        for thread in threads:
            thread.join()
        server.start()
        lost = sum(not server.has(trace) for trace in answered)
        server.stop()
        whole += not lost
        answered_in_all, lost_in_all = answered_in_all + len(answered), lost_in_all + lost
        say(f"{server.name}: killed {round_ + 1} of {rounds} times, {lost_in_all} of {answered_in_all} traces lost")
    return {"rounds": rounds, "whole": whole, "answered_traces": answered_in_all, "lost_traces": lost_in_all}


def _send_until(server: Server, own: Iterable[Request], answered: list[str], stop: threading.Event) -> None:
    """Send one request after the other until told to stop; note the traces of those that were answered with 200."""
    sender = Sender(server)
    for request in own:
        if stop.is_set() or sender(request) != 200:
            return
        answered.extend(request.traces)
