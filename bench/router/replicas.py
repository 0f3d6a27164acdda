"""Simulated replicas of one model: a discrete-event model, described in README.md."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from recording import BLOCK, Request

CACHE_BLOCKS = 4000
DECODE_RATE, DECODE_HALF = 40.0, 32
SLOWED, SLOWEST = 0.01, 0.5


class Policy(Protocol):
    """A way to choose. It learns what a router could: when an answer begins and when it ends."""

    def choose(self, now: float, number: int, request: Request) -> int: ...

    def began(self, now: float, number: int, request: Request, replica: int) -> None: ...

    def ended(self, now: float, number: int, request: Request, replica: int) -> None: ...


@dataclass(slots=True)
class Served:
    """What became of a request."""

    at: float
    replica: int
    hit: int
    blocks: int
    ttft: float = 0.0


@dataclass(slots=True)
class Replica:
    """One server: its queue of prompts, its cache, and the answers that it is writing."""

    rate: float
    queue: deque[int] = field(default_factory=deque)
    busy: bool = False
    writing: int = 0
    cache: OrderedDict[int, None] = field(default_factory=OrderedDict)
    pinned: dict[int, int] = field(default_factory=dict)
    unnamed: int = 0  # blocks of answers, which nobody will ask for

    def fits(self, request: Request) -> bool:
        new = sum(block not in self.pinned for block in request.blocks) + answer_blocks(request)
        return not self.writing or len(self.pinned) + self.unnamed + new <= CACHE_BLOCKS

    def take(self, request: Request) -> tuple[int, float]:
        """Begin a prompt: how many blocks were there already, and how long the rest takes."""
        hit = 0
        for block in request.blocks:
            if block not in self.cache:
                break
            hit += 1
        uncached = request.input - min(hit * BLOCK, request.input - 1)
        for block in reversed(request.blocks):
            self.cache[block] = None
            self.cache.move_to_end(block)
            self.pinned[block] = self.pinned.get(block, 0) + 1
        self.unnamed += answer_blocks(request)
        self._evict()
        return hit, uncached / (self.rate * (1 - min(SLOWEST, SLOWED * self.writing)))

    def release(self, request: Request) -> None:
        """The answer is written."""
        self.writing -= 1
        self.unnamed -= answer_blocks(request)
        for block in request.blocks:
            left = self.pinned[block] - 1
            if left:
                self.pinned[block] = left
            else:
                del self.pinned[block]

    def _evict(self) -> None:
        over = len(self.cache) + self.unnamed - CACHE_BLOCKS
        for block in list(self.cache) if over > 0 else ():
            if over <= 0:
                break
            if block not in self.pinned:
                del self.cache[block]
                over -= 1


def answer_blocks(request: Request) -> int:
    """Blocks that an answer fills."""
    return -(-request.output // BLOCK)


ARRIVES, BEGINS, ENDS = range(3)


def replay(requests: Sequence[Request], policy: Policy, replicas: int, rate: float) -> list[Served]:
    """Serve every request, and say how each fared, in their order."""
    servers = [Replica(rate) for _ in range(replicas)]
    served: dict[int, Served] = {}
    events = [(request.at, ARRIVES, number, 0) for number, request in enumerate(requests)]
    heapq.heapify(events)

    def start(now: float, place: int) -> None:
        server = servers[place]
        if server.busy or not server.queue or not server.fits(requests[server.queue[0]]):
            return
        number = server.queue.popleft()
        request = requests[number]
        hit, seconds = server.take(request)
        server.busy = True
        served[number] = Served(request.at, place, hit, len(request.blocks))
        heapq.heappush(events, (now + seconds, BEGINS, number, place))

    while events:
        now, kind, number, place = heapq.heappop(events)
        request = requests[number]
        if kind == ARRIVES:
            place = policy.choose(now, number, request)
            servers[place].queue.append(number)
        elif kind == BEGINS:
            server = servers[place]
            server.busy = False
            server.writing += 1
            served[number].ttft = now - request.at
            policy.began(now, number, request, place)
            seconds = request.output * (1 + server.writing / DECODE_HALF) / DECODE_RATE
            heapq.heappush(events, (now + seconds, ENDS, number, place))
        else:
            servers[place].release(request)
            policy.ended(now, number, request, place)
        start(now, place)
    return [served[number] for number in range(len(requests))]
