"""Shadow: what the base version served is asked again of the candidate, which serves nobody, and scored beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b

from trimtab.core import LAYER_OF_KIND, Score, Span, TrimtabError
from trimtab.store import Spans

from .feed import OWN_PROJECT, SHADOW, Run

log = logging.getLogger("trimtab.rollouts")

#: Asks one recorded request again with pins put in place and answers its scores; never recorded as traffic.
Again = Callable[[Span, Mapping[str, str]], Awaitable[Mapping[str, float]]]

AT_ONCE = 2
TIMEOUT_S = 120.0


async def ask_again(run: Run, again: Again, store: Spans) -> int:
    """Second answers for what waits, as far as the plan pays for them; their scores go into the store.

    Returns how many were had. A second answer that fails to come says nothing: it may have been our own fault.
    """
    due: list[Span] = []
    while run.waiting and run.asks:
        span = run.waiting.popleft()
        run.asked += 1
        run.spent += span.cost_usd or 0.0
        due.append(span)
    gate = asyncio.Semaphore(AT_ONCE)
    rollout = run.rollout
    pin = f"{rollout.name}/{rollout.candidate}"

    async def ask(span: Span) -> int:
        async with gate:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    values = await again(span, {rollout.kind: pin})
            except (TrimtabError, TimeoutError) as error:
                log.warning("no second answer of %s to %s: %s", pin, span.trace_id, error)
                return 0
        await store.write(scores=[_score(span, rollout.id, rollout.kind, pin, *item) for item in values.items()])
        return 1

    return sum(await asyncio.gather(*(ask(span) for span in due)))


def _score(span: Span, rollout_id: str, kind: str, pin: str, metric: str, value: float) -> Score:
    # A trace of its own: the answer that was served keeps its own scores, and only those.
    trace_id = blake2b(f"{rollout_id}\n{span.trace_id}".encode(), digest_size=16).hexdigest()
    return Score(
        id=f"{trace_id}:{metric}",
        trace_id=trace_id,
        name=f"{SHADOW}:{metric}",
        value=value,
        by=f"{SHADOW}:{rollout_id}",
        by_version=pin,
        label=span.trace_id,
        time_ns=span.end_ns,
        slice=span.tags.get("topic", ""),
        project=OWN_PROJECT,
        stamp=span.stamp.with_pin(LAYER_OF_KIND[kind], pin),
    )
