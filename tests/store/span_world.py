"""A few hundred spans and scores over three days of arrival, the same on every run, with every oddity that text and
numbers can have."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from moving_clock import DAY_NS, NOON

from trimtab.core import Score, Span, Stamp

SECOND = 10**9
WORDS = ("", "a", "A", "b", "ä", "Ä", "ab", "ß", "SS", "%", "a_b", "é\x00", "𝄞", "x'\"", "\\", "a\nb", "\u212a")
TAGS = ("topic", "x.y", '"', "0", "$", "ü")
MODELS = ("gpt-4o", "gpt-4o-mini", "", "claude")
PROMPTS = ("support/1", "support/2", "")
ROUTES = ("support", "search", "")


class Commit(NamedTuple):
    """What is written at once, and how long after the first commit."""

    after_ns: int
    spans: Sequence[Span]
    scores: Sequence[Score]


def commits() -> Iterator[Commit]:
    """Spans on the first two days, scores on all three, so that many a score lies apart from its span."""
    rng = random.Random(11)
    spans = [_span(rng, n) for n in range(330)]
    scores = [_score(rng, rng.choice(spans), n) for n in range(260)]
    for n in range(6):
        yield Commit(n * SECOND, spans[n * 40 : n * 40 + 40], scores[n * 20 : n * 20 + 20])
    yield Commit(DAY_NS, spans[240:], scores[120:180])
    yield Commit(DAY_NS + SECOND, spans[:20], scores[:10])  # A second try: nothing of it is new.
    yield Commit(2 * DAY_NS, (), scores[180:])


def _span(rng: random.Random, n: int) -> Span:
    def word() -> str:
        return rng.choice(WORDS)

    trace = rng.randrange(110)
    # Many starts are equal, and they lie on both sides of the borders of ten seconds, ten minutes, hours and days.
    start = NOON + rng.choice((-1, 0, 0, 1, 10 * SECOND, 600 * SECOND, 3600 * SECOND)) + rng.randrange(5) * 599 * SECOND
    start += rng.choice((0, 0, 0, DAY_NS // 2, -1))
    status = rng.choice(("ok", "ok", "ok", "error", "refused"))
    return Span(
        trace_id=f"{trace:032x}" if trace % 3 else f"odd {trace} {rng.choice('äA')}",
        span_id=f"{n:016x}" if n % 5 else f"span-{n}",
        parent_id=rng.choice(("", "", "ef" * 8, "nobody")),
        name=word(),
        kind=rng.choice(("llm", "chain", "tool")),
        project=rng.choice(("default", "other", word())),
        session=word(),
        status=status,
        error="" if status == "ok" else rng.choice(("timeout", "Überlast", word())),
        layer=rng.choice((None, 1, 2, 3, 4, 5)),
        model=rng.choice((*MODELS, word())),
        provider=word(),
        fingerprint=word(),
        stamp=Stamp(model=word(), knowledge=word(), prompt=rng.choice(PROMPTS), guard=word(), route=rng.choice(ROUTES)),
        start_ns=start,
        end_ns=start + rng.choice((-5, 0, 1, 1_000_000, 2_500_000, rng.randrange(10**10))),
        input_tokens=rng.choice((None, 0, 1, 7, 1 << 40)),
        output_tokens=rng.choice((None, 0, 1, 7, 1023, 1024)),
        cached_tokens=rng.choice((None, 0, 5)),
        reasoning_tokens=rng.choice((None, 0, 3)),
        cost_usd=rng.choice((None, 0.0, 0.1, 2.5, 1e-9, 0.30000000000000004)),
        ttft_ns=rng.choice((None, 0, 1_000_000, 2_500_000)),
        tags={rng.choice(TAGS): word() for _ in range(rng.randrange(3))},
        input=f"{word()} {word()} order {n % 7}",
        output=word() + word(),
        attributes={"unseen": "zzz", "n": n, "deep": {"list": [1, None, word()]}},
    )


def _score(rng: random.Random, span: Span, n: int) -> Score:
    return Score(
        id=f"score {rng.getrandbits(64):x}",
        trace_id=span.trace_id,
        span_id=rng.choice(("", span.span_id)),
        name=rng.choice(("q", "q", "thumb", "ä'\"")),
        value=rng.choice((0.0, 0.25, 0.5, 1.0, -3.0)),
        by=rng.choice(("judge:q", "human:mara")),
        by_version=rng.choice(("", "q/2")),
        label=rng.choice(WORDS),
        reason=rng.choice(WORDS),
        slice=rng.choice(("", "returns", "ß")),
        project=rng.choice(("default", "other")),
        time_ns=NOON + rng.randrange(40) * 7 * SECOND,
        stamp=Stamp(prompt=rng.choice(PROMPTS)),
    )
