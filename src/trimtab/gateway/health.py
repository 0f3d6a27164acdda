"""What the gateway knows of each route's targets: load, speed, failures, limits, and what they have read before.

All of it lives in memory, per process, and bounded. Times are seconds of the event loop's clock, passed in.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.core import Usage
from trimtab.providers import Deadlines, deadlines

from .balance import Sight
from .breaker import Breaker, Cause, State
from .cache import Answers, Embed, Meanings
from .moving import BOUNDS, NO_TIMES, Histogram, Quantiles, Times, added
from .prefix import PrefixMemory, Prompt
from .retry import Allowance
from .route import Route, Target
from .rules import CacheRules

#: Seconds after which an old measurement counts for a third.
FADES = 30.0
#: Tokens a second and tokens of prompt that stand for a target which nobody has measured.
USUAL_RATE, USUAL_TOKENS = 10_000.0, 50_000.0
#: What is kept of the measured speed with each answer, and from which factor on a target's own speed is believed.
KEPT, UNLIKE = 0.99, 1.5
#: Seconds that a vendor's wish to be left alone is kept in mind.
LONGEST_WAIT = 60.0
#: Hedges that may be made before any traffic has earned them.
HEDGES = 5.0
#: Routes remembered, the ones asked longest ago forgotten first.
ROUTES = 1024


class PeakEwma:
    """A moving average of seconds that rises at once with a bad value and comes down slowly with good ones."""

    def __init__(self) -> None:
        self._value = 0.0
        self._at = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """One more measurement."""
        if seconds >= self._value:
            self._value = seconds
        else:
            old = math.exp((self._at - now) / FADES)
            self._value = self._value * old + seconds * (1.0 - old)
        self._at = now

    def seconds(self, now: float) -> float:
        """The average now. It fades without news, so that a target that was slow once is tried again."""
        return self._value * math.exp((self._at - now) / FADES) if self._value else 0.0


class TargetState:
    """One target of one route."""

    def __init__(self, ref: str, breaker: Breaker | None) -> None:
        self.ref = ref
        self.breaker = breaker
        self.in_flight = 0
        self.asked_to_wait = 0.0  # its vendor said not to come back before then
        self.queue = 0.0  # tokens of prompts that were sent and not begun to be answered
        self.ttft = PeakEwma()
        self.asked = self.answered = self.hedges = self.cut = 0
        self.failures: Counter[str] = Counter()
        self.input_tokens = self.cached_tokens = 0
        self.prompt_tokens = self.answer_tokens = self.unpriced = 0
        self.cost_usd = 0.0
        self.first_tokens, self.whole_answers = Histogram(), Histogram()
        # Tokens of prompt that it had to compute, and the seconds that took, the older the less.
        self.work, self.seconds = USUAL_TOKENS, USUAL_TOKENS / USUAL_RATE
        self._sent: tuple[float, float] | None = None  # requests that may still be sent this minute, and as of when

    def usable(self, limits: Target | None, now: float) -> bool:
        """Whether a request may be sent now: the breaker lets it through, and no limit of the target is reached."""
        if self.breaker is not None and self.breaker.opened and not self.breaker.allows(now):
            return False
        if limits is None:
            return True
        if limits.max_parallel and self.in_flight >= limits.max_parallel:
            return False
        return not limits.rpm or self._allowed(limits.rpm, now) >= 1.0

    def began(self, limits: Target | None, work: float, now: float) -> None:
        """A request is sent, with ``work`` tokens that the target has to compute."""
        self.asked += 1
        self.in_flight += 1
        self.queue += work
        if self.breaker is not None:
            self.breaker.begin(now)
        if limits is not None and limits.rpm:
            self._sent = (self._allowed(limits.rpm, now) - 1.0, now)

    def first(self, ahead: float, seconds: float, now: float) -> None:
        """It began to answer after so many seconds, ``ahead`` being the tokens it had to compute until then."""
        self.ttft.observe(seconds, now)
        self.first_tokens.counts[bisect_left(BOUNDS, seconds)] += 1
        self.first_tokens.seconds += seconds
        self.work = self.work * KEPT + ahead
        self.seconds = self.seconds * KEPT + seconds

    def succeeded(self, usage: Usage | None, now: float, seconds: float | None = 0.0) -> None:
        """It answered to the end, after so many seconds; None where no model had to answer."""
        self.answered += 1
        if seconds is not None:
            self.whole_answers.counts[bisect_left(BOUNDS, seconds)] += 1
            self.whole_answers.seconds += seconds
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.cached_tokens += usage.cached_tokens
        if self.breaker is not None:
            self.breaker.succeeded(now)

    def failed(self, cause: Cause | None, seconds: float, now: float, wait: float = 0.0) -> None:
        """It failed, by its own fault or, with no cause, by that of the request. ``wait``: seconds its vendor named."""
        self.failures[cause or "request"] += 1
        self.asked_to_wait = max(self.asked_to_wait, now + min(wait, LONGEST_WAIT))
        if cause in ("timeout", "first_byte"):
            self.ttft.observe(seconds, now)
        if self.breaker is not None:
            if cause is None:
                self.breaker.abandoned()
            else:
                self.breaker.failed(now, cause)

    def used(self, usage: Usage, cost: float | None) -> None:
        """What an attempt used, however it ended, and US dollars for it."""
        self.prompt_tokens += usage.input_tokens
        self.answer_tokens += usage.output_tokens
        if cost is None:
            self.unpriced += 1
        else:
            self.cost_usd += cost

    def abandoned(self) -> None:
        """The request was cancelled."""
        self.cut += 1
        if self.breaker is not None:
            self.breaker.abandoned()

    def _allowed(self, rpm: int, now: float) -> float:
        left, since = self._sent or (float(rpm), now)
        return min(float(rpm), left + (now - since) * rpm / 60.0)


class RouteState:
    """One route: its targets, what they have read, and what may be spent on retries and hedges."""

    def __init__(self, route: Route, now: float) -> None:
        self.targets: dict[str, TargetState] = {}
        self.memory = PrefixMemory(route.prefix.blocks)
        self.retries = Allowance(route.retry.share, route.retry.reserve, now)
        self.hedges = Allowance(0.0, HEDGES, now)
        self.requests = self.prompt_tokens = self.known_tokens = 0
        # Of targets that are gone: a count that goes down would be taken for a restart, and counted twice.
        self.first_tokens, self.whole_answers = Histogram(), Histogram()
        self._begins = {True: Quantiles(), False: Quantiles()}
        self._deadlines: Deadlines | None = None
        self.answers: Answers | None = None
        self.meanings: Meanings | None = None
        self._last: OrderedDict[str, Route] = OrderedDict()
        self.follow(route)

    def follow(self, route: Route) -> None:
        """The route may have changed: take its rules, and forget the targets that no version in use has."""
        if self._last.get(route.pin) is route:
            return
        self._last[route.pin] = route
        while len(self._last) > 4:  # arms of a rollout, and what is still under way
            self._last.popitem(last=False)
        self.route = route
        self.memory.blocks = route.prefix.blocks
        self.retries.share, self.retries.most = route.retry.share, route.retry.reserve
        self.hedges.share = route.hedge.share if route.hedge else 0.0
        named = {ref for known in self._last.values() for ref in known.refs}
        self.memory.keep_only(named)
        for ref in [ref for ref, state in self.targets.items() if ref not in named and not state.in_flight]:
            gone = self.targets.pop(ref)
            self.first_tokens.add(gone.first_tokens)
            self.whole_answers.add(gone.whole_answers)
        for ref in route.refs:
            state = self.targets.setdefault(ref, TargetState(ref, None))
            if route.breaker is None:
                state.breaker = None
            elif state.breaker is None:
                state.breaker = Breaker(route.breaker)
            else:
                state.breaker.rules = route.breaker

    def sights(
        self, route: Route, prompt: Prompt | None, prices: Mapping[str, float | None], now: float
    ) -> dict[str, Sight]:
        """What is known of every model of the route. Nothing, where the strategy needs none and all are usable."""
        # One whose vendor asked to wait is not refused, since its limit may be of a kind that this request keeps, but
        # it comes after those that did not.
        usable = {
            ref: self.targets[ref].usable(route.limits_of.get(ref), now) and now >= self.targets[ref].asked_to_wait
            for ref in route.refs
        }
        if route.strategy in ("ordered", "weighted") and not route.sticky and all(usable.values()):
            return {}
        found = {}
        usual = sum(self.targets[ref].work for ref in usable) / sum(self.targets[ref].seconds for ref in usable)
        for ref, may in usable.items():
            state = self.targets[ref]
            found[ref] = Sight(
                usable=may,
                in_flight=state.in_flight,
                ttft=state.ttft.seconds(now),
                price=prices.get(ref),
                queue=state.queue,
                uncached=self.work(ref, prompt),
                rate=_rate(state, usual),
            )
        return found

    def work(self, ref: str, prompt: Prompt | None) -> float:
        """Tokens of a prompt that the target has to compute."""
        if prompt is None:
            return 0.0
        return prompt.tokens - prompt.cached(self.memory.known(ref, prompt.blocks))

    def hedge_after(self, route: Route, stream: bool) -> float | None:
        """Seconds after which a second target is asked too; None for never."""
        if route.hedge is None:
            return None
        return route.hedge.after or self._begins[stream].quantile(route.hedge.quantile)

    def answer_began(self, stream: bool, seconds: float) -> None:
        """An answer of the route began after so many seconds."""
        self._begins[stream].observe(seconds)

    def caches(self, rules: CacheRules, embed: Embed | None) -> tuple[Answers, Meanings | None]:
        """The caches of the route under these rules; the semantic one only where questions can be embedded."""
        if self.answers is None:
            self.answers = Answers(rules)
        self.answers.rules = rules
        semantic = rules.semantic
        if semantic is None or embed is None:
            self.meanings = None
        elif self.meanings is None or self.meanings.rules.model != semantic.model:
            self.meanings = Meanings(semantic, embed)
        else:  # the provider may be asked with another key by now
            self.meanings.rules, self.meanings.embed = semantic, embed
        return self.answers, self.meanings

    def asked(self, now: float) -> None:
        """A request came."""
        self.requests += 1
        self.retries.asked(now)
        if self.hedges.share:
            self.hedges.asked(now)

    def deadlines(self) -> Deadlines:
        """Those of the loop that asks."""
        if self._deadlines is None:
            self._deadlines = deadlines(asyncio.get_running_loop())
        return self._deadlines

    def sent(self, ref: str, prompt: Prompt | None, work: float) -> None:
        """A prompt goes to the target, which will have read it."""
        if prompt is not None:
            self.prompt_tokens += round(prompt.tokens)
            self.known_tokens += round(prompt.tokens - work)
            self.memory.remember(ref, prompt.blocks)


def _rate(target: TargetState, usual: float) -> float:
    """Tokens of prompt that a target computes in a second. Small differences are chance, and following them would
    send more to whoever was lucky, so only a target that is clearly faster or slower than usual counts as such."""
    rate = target.work / max(target.seconds, 1e-9)
    return rate if not usual / UNLIKE < rate < usual * UNLIKE else usual


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """One target as a screen shows it. ``share`` is its part of the route's attempts; ``cached_tokens`` of
    ``input_tokens`` came from its own cache, as it reported. ``prompt_tokens``, ``answer_tokens`` and ``cost_usd`` are
    of all attempts, cut ones by their estimate; ``unpriced`` of them had no price."""

    ref: str
    state: State
    opened_by: str
    seconds_left: float
    in_flight: int
    ttft: float
    share: float
    asked: int
    answered: int
    cut: int
    hedges: int
    failures: dict[str, int]
    input_tokens: int
    cached_tokens: int
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteHealth:
    """One route as a screen shows it. ``hit_rate`` and ``saved_tokens`` are what prefix affinity expects its targets
    to have had in their caches; ``cached_rate`` is what they reported. The caches of answers are counted apart, and
    their hits are requests too. The times are those of attempts that answered."""

    name: str
    pin: str
    strategy: str
    requests: int
    targets: tuple[TargetHealth, ...]
    hit_rate: float | None
    saved_tokens: int
    cached_rate: float | None
    retries_left: float
    cache_hits: int = 0
    cache_misses: int = 0
    prompt_tokens: int = 0
    first_tokens: Times = NO_TIMES
    whole_answers: Times = NO_TIMES


class Health:
    """Every route that was asked of late."""

    def __init__(self) -> None:
        self._routes: OrderedDict[str, RouteState] = OrderedDict()

    def of(self, route: Route, now: float) -> RouteState:
        """The state of a route, made when it is asked for the first time."""
        state = self._routes.get(route.name)
        if state is None:
            state = self._routes[route.name] = RouteState(route, now)
            while len(self._routes) > ROUTES:
                self._routes.popitem(last=False)
        else:
            self._routes.move_to_end(route.name)
            if state.route is not route:
                state.follow(route)
        return state

    def seen(self, now: float) -> list[RouteHealth]:
        """All of them, by name."""
        return [_route_health(state, now) for _, state in sorted(self._routes.items())]


def _route_health(state: RouteState, now: float) -> RouteHealth:
    targets = list(state.targets.values())
    read = sum(target.input_tokens for target in targets)
    return RouteHealth(
        name=state.route.name,
        pin=state.route.pin,
        strategy=state.route.strategy,
        requests=state.requests + (state.answers.hits if state.answers else 0),
        targets=tuple(_target_health(target, sum(t.asked for t in targets), now) for target in targets),
        hit_rate=state.known_tokens / state.prompt_tokens if state.prompt_tokens else None,
        saved_tokens=state.known_tokens,
        cached_rate=sum(target.cached_tokens for target in targets) / read if read else None,
        retries_left=state.retries.left,
        cache_hits=state.answers.hits if state.answers else 0,
        cache_misses=state.answers.misses if state.answers else 0,
        prompt_tokens=state.prompt_tokens,
        first_tokens=added([state.first_tokens, *(target.first_tokens for target in targets)]),
        whole_answers=added([state.whole_answers, *(target.whole_answers for target in targets)]),
    )


def _target_health(target: TargetState, asked: int, now: float) -> TargetHealth:
    breaker = target.breaker
    return TargetHealth(
        ref=target.ref,
        state=breaker.state(now) if breaker else "closed",
        opened_by=(breaker.cause or "") if breaker else "",
        seconds_left=breaker.left(now) if breaker else 0.0,
        in_flight=target.in_flight,
        ttft=target.ttft.seconds(now),
        share=target.asked / asked if asked else 0.0,
        asked=target.asked,
        answered=target.answered,
        cut=target.cut,
        hedges=target.hedges,
        failures=dict(target.failures),
        input_tokens=target.input_tokens,
        cached_tokens=target.cached_tokens,
        prompt_tokens=target.prompt_tokens,
        answer_tokens=target.answer_tokens,
        cost_usd=target.cost_usd,
        unpriced=target.unpriced,
    )
