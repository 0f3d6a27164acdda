"""The ways to choose a replica: Trimtab's own, called as the gateway calls it, and those it is measured against."""

from __future__ import annotations

import bisect
import hashlib
import math
import random
from collections.abc import Iterable

from recording import BLOCK, Request
from replicas import CACHE_BLOCKS

from trimtab.core import Usage
from trimtab.gateway.balance import order
from trimtab.gateway.health import RouteState
from trimtab.gateway.prefix import PrefixMemory, Prompt
from trimtab.gateway.route import read_route


class Counting:
    """What all have in common: the requests in flight at each replica."""

    def __init__(self, replicas: int, seed: int = 1) -> None:
        self.load = [0] * replicas
        self.rng = random.Random(seed)

    def choose(self, now: float, number: int, request: Request) -> int:
        place = self.pick(now, number, request)
        self.load[place] += 1
        return place

    def pick(self, now: float, number: int, request: Request) -> int:
        raise NotImplementedError

    def began(self, now: float, number: int, request: Request, replica: int) -> None:
        pass

    def ended(self, now: float, number: int, request: Request, replica: int) -> None:
        self.load[replica] -= 1

    def least(self, places: Iterable[int] | None = None) -> int:
        among = list(range(len(self.load)) if places is None else places)
        fewest = min(self.load[place] for place in among)
        return self.rng.choice([place for place in among if self.load[place] == fewest])


class Random(Counting):
    def pick(self, now: float, number: int, request: Request) -> int:
        return self.rng.randrange(len(self.load))


class LeastLoad(Counting):
    def pick(self, now: float, number: int, request: Request) -> int:
        return self.least()


class LeastTokens(Counting):
    """The fewest tokens of prompts that wait to be computed; it knows the replica's cache no better than anybody."""

    def __init__(self, replicas: int) -> None:
        super().__init__(replicas)
        self.waiting = [0] * replicas

    def pick(self, now: float, number: int, request: Request) -> int:
        places = range(len(self.load))
        place = min(places, key=lambda p: (self.waiting[p], self.load[p], self.rng.random()))
        self.waiting[place] += request.input
        return place

    def began(self, now: float, number: int, request: Request, replica: int) -> None:
        self.waiting[replica] -= request.input


class Radix(Counting):
    """Cache-aware with a load switch, as in the routers of SGLang and vLLM."""

    THRESHOLD, ABSOLUTE, RELATIVE = 0.3, 64, 1.5

    def __init__(self, replicas: int, *, smallest_tree: bool = False) -> None:
        super().__init__(replicas)
        self.memory = PrefixMemory(CACHE_BLOCKS)  # block for block what a radix tree of that size knows
        self.smallest_tree = smallest_tree
        self.names = [str(place) for place in range(replicas)]

    def pick(self, now: float, number: int, request: Request) -> int:
        most, fewest = max(self.load), min(self.load)
        if most - fewest > self.ABSOLUTE and most > self.RELATIVE * fewest:
            place = self.least()
        else:
            matched = [self.memory.known(name, request.blocks) for name in self.names]
            best = max(matched)
            if best / len(request.blocks) > self.THRESHOLD:
                place = self.least(p for p, found in enumerate(matched) if found == best)
            elif self.smallest_tree:
                sizes = [self.memory.size(name) for name in self.names]
                place = self.rng.choice([p for p, size in enumerate(sizes) if size == min(sizes)])
            else:
                place = self.least()
        self.memory.remember(self.names[place], request.blocks)
        return place


class BoundedHash(Counting):
    """Consistent hashing of the first two blocks, nobody above ``BOUND`` times the mean load."""

    BOUND, POINTS, BLOCKS = 1.25, 160, 2

    def __init__(self, replicas: int) -> None:
        super().__init__(replicas)
        points = ((place, point) for place in range(replicas) for point in range(self.POINTS))
        self.ring = sorted((_hash(f"{place}/{point}"), place) for place, point in points)

    def pick(self, now: float, number: int, request: Request) -> int:
        most = math.ceil((sum(self.load) + 1) / len(self.load) * self.BOUND)
        start = bisect.bisect(self.ring, (_hash(repr(request.blocks[: self.BLOCKS])),))
        for step in range(len(self.ring)):
            place = self.ring[(start + step) % len(self.ring)][1]
            if self.load[place] < most:
                return place
        raise RuntimeError("somebody is always below the mean")


class Prefix(Counting):
    """Trimtab's prefix strategy: the gateway's own choice and the gateway's own memory."""

    def __init__(self, replicas: int, *, memory: int = CACHE_BLOCKS, **settings: float) -> None:
        super().__init__(replicas)
        targets = [{"model": f"replica/{place}"} for place in range(replicas)]
        content = {"targets": targets, "strategy": "prefix", "prefix": {"blocks": memory, **settings}}
        self.route = read_route("bench", "bench/1", content, {})
        self.state = RouteState(self.route, 0.0)
        self.sent: dict[int, tuple[float, float, float]] = {}

    def pick(self, now: float, number: int, request: Request) -> int:
        prompt = Prompt(blocks=request.blocks, tokens=request.input, block_tokens=BLOCK)
        ref = order(self.route, self.rng.random(), self.state.sights(self.route, prompt, {}, now))[0]
        target, work = self.state.targets[ref], self.state.work(ref, prompt)
        self.sent[number] = (work, target.queue + work, now)
        target.began(None, work, now)
        self.state.sent(ref, prompt, work)
        return int(ref.rpartition("/")[2])

    def began(self, now: float, number: int, request: Request, replica: int) -> None:
        work, ahead, since = self.sent.pop(number)
        target = self.state.targets[f"replica/{replica}"]
        target.queue -= work
        target.first(ahead, now - since, now)

    def ended(self, now: float, number: int, request: Request, replica: int) -> None:
        super().ended(now, number, request, replica)
        target = self.state.targets[f"replica/{replica}"]
        target.in_flight -= 1
        target.succeeded(Usage(input_tokens=request.input), now)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
