"""Traces of an application that asks models, for benchmarks of span stores: five spans each, about 1.7 kB a span."""

from __future__ import annotations

import json
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trimtab.core import Score, Span, Stamp

SECOND = 10**9
DAY_NS = 86_400 * SECOND
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet", "gemini-flash", "llama-70b", "qwen-7b")
ROUTES = ("support", "search", "summarise", "extract", "classify", "rewrite", "sql", "judge")
VERSIONS = 12
#: Of a million spans about 200 have the rare version, and as many the rare model.
RARE_PROMPT, RARE_MODEL = "support/99", "gpt-rare"
RARE = 0.001
TOPICS = ("refund", "delivery", "invoice", "account", "warranty", "returns", "login", "prices")


def english(most: int) -> list[str]:
    """Sentences that people wrote: of the docstrings of Python's own library."""
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("**/*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        text = "\n".join(re.findall(r'"""(.*?)"""', path.read_text(errors="ignore"), re.DOTALL))
        for sentence in re.split(r"[.!?]\s", text):
            plain = " ".join(sentence.split())
            if 30 < len(plain) < 220:
                found[plain + "."] = None
        if len(found) >= most:
            break
    return list(found)[:most]


class Batch(NamedTuple):
    """What arrives together, and when."""

    now_ns: int
    spans: list[Span]
    scores: list[Score]


class World:
    """``traces`` traces that arrive evenly over ``days`` days up to ``end_ns``."""

    def __init__(self, *, traces: int, days: float, end_ns: int, seed: int = 7) -> None:
        self.traces = traces
        self.start_ns = end_ns - int(days * DAY_NS)
        self._step = int(days * DAY_NS) // max(1, traces)
        self._rng = random.Random(seed)
        self._sentences = english(7800)
        # The instructions of a prompt's version are the same in each of its calls.
        self._prompts = {f"{r}/{v}": self._text(5, 5) for r in ROUTES for v in range(1, VERSIONS + 1)}
        self._prompts[RARE_PROMPT] = self._text(5, 5)

    def batches(self, traces_each: int) -> Iterator[Batch]:
        """All of it, so many traces at once."""
        for first in range(0, self.traces, traces_each):
            spans: list[Span] = []
            scores: list[Score] = []
            for number in range(first, min(first + traces_each, self.traces)):
                its, judged = self.trace(number)
                spans += its
                scores += judged
            yield Batch(spans[-1].end_ns, spans, scores)

    def trace(self, number: int) -> tuple[list[Span], list[Score]]:
        """One trace: a root, a retriever, a guard and two calls, and sometimes a score."""
        rng = self._rng
        trace_id, start = f"{number + (1 << 100):032x}", self.start_ns + number * self._step
        rare = rng.random() < RARE
        model = RARE_MODEL if rare else rng.choice(MODELS)
        route = rng.choice(ROUTES)
        prompt = RARE_PROMPT if rare else f"{route}/{rng.randrange(1, VERSIONS + 1)}"
        stamp = Stamp(model=f"up/{model}", prompt=prompt, route=f"{route}/1", knowledge="docs/3", guard="default/1")
        took = int(rng.lognormvariate(0.5, 0.6) * SECOND)
        shared = {
            "trace_id": trace_id, "stamp": stamp, "session": f"s-{number // 4}", "project": "default",
            "tags": {"topic": rng.choice(TOPICS)},
        }  # fmt: skip
        question, answer = self._text(1, 3), self._text(5, 14)
        status = "error" if rng.random() < 0.02 else "ok"
        ids = [f"{number * 8 + place + (1 << 60):016x}" for place in range(5)]
        tokens, cost = rng.randrange(200, 3000), rng.random() / 100
        passages = [{"id": f"docs/{rng.randrange(900)}#{n}", "text": self._text(3, 6)} for n in range(3)]
        root = Span(
            span_id=ids[0], name=route, kind="chain", start_ns=start, end_ns=start + took, status=status,
            error="the model timed out" if status == "error" else "", model=model, provider="up", input_tokens=tokens,
            output_tokens=90, cost_usd=cost, ttft_ns=took // 4, input=question, output=answer,
            attributes={"passages": passages, "finish": "stop", "gateway": True}, **shared,
        )  # fmt: skip
        spans = [root]
        for place, (kind, name) in enumerate(
            (("retriever", "docs"), ("guardrail", "default"), ("llm", model), ("llm", model))
        ):
            call = kind == "llm"
            messages = [
                {"role": "system", "content": self._prompts[prompt]},
                {"role": "user", "content": question + self._text(4, 12)},
            ]
            spans.append(
                Span(
                    span_id=ids[place + 1], parent_id=ids[0], name=name, kind=kind, start_ns=start + place * took // 5,
                    end_ns=start + (place + 1) * took // 5, status=status if place == 3 else "ok",
                    model=model if call else "", provider="up" if call else "", layer=1 if call else 2,
                    input_tokens=tokens // 2 if call else None, output_tokens=45 if call else None,
                    cached_tokens=tokens // 8 if call else None, cost_usd=cost / 2 if call else None,
                    input=json.dumps(messages) if call else question,
                    output=answer if call else json.dumps(passages if kind == "retriever" else {"verdict": "allow"}),
                    attributes={"finish": "stop", "temperature": 0.2, "seed": number}, **shared,
                )
            )  # fmt: skip
        return spans, self._scores(trace_id, start + took, stamp)

    def _scores(self, trace_id: str, time_ns: int, stamp: Stamp) -> list[Score]:
        rng = self._rng
        if rng.random() > 0.5:
            return []
        value = 0.01 if rng.random() < RARE else round(rng.uniform(0.3, 1), 2)
        return [
            Score(
                id=f"{trace_id}:quality", trace_id=trace_id, name="quality", value=value, by="judge:quality",
                by_version="quality/3", time_ns=time_ns, stamp=stamp, slice=rng.choice(TOPICS),
            )
        ]  # fmt: skip

    def _text(self, least: int, most: int) -> str:
        """Some sentences."""
        return " ".join(self._rng.choices(self._sentences, k=self._rng.randrange(least, most + 1)))
