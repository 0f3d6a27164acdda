"""The sample application: people in sessions who ask a support assistant, over real HTTP, and now and then vote."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from trimtab.core import TrimtabError
from trimtab.providers import HttpClient

from .questions import QUESTIONS, Question

#: Share of each topic among the questions, before and after the mix shifts.
CALM = {
    "gateway": 22,
    "registry": 20,
    "traces": 18,
    "guard": 12,
    "incidents": 12,
    "operations": 12,
    "other": 3,
    "attack": 1,
}
SHIFTED = {
    "gateway": 6,
    "registry": 6,
    "traces": 8,
    "guard": 10,
    "incidents": 26,
    "operations": 30,
    "other": 9,
    "attack": 5,
}
VOTES = 0.3
TIMEOUT_S = 30.0


@dataclass
class Traffic:
    """Asks ``rate`` questions a second, at most ``parallel`` at a time, until stopped.

    ``asked`` counts the answers and refusals that came back, ``broken`` what did not.
    """

    base_url: str
    key: str
    http: HttpClient
    rate: float = 20.0
    parallel: int = 8
    seed: int = 7
    mix: Mapping[str, int] = field(default_factory=lambda: CALM)
    asked: int = 0
    broken: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._by_topic: dict[str, list[Question]] = {}
        for question in QUESTIONS:
            self._by_topic.setdefault(question.topic, []).append(question)
        self._session, self._left = "", 0
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; what is under way then still ends."""
        gate = asyncio.Semaphore(self.parallel)
        due = time.monotonic()
        with suppress(asyncio.CancelledError):
            while True:
                await gate.acquire()
                task = asyncio.create_task(self._one())
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                task.add_done_callback(lambda _: gate.release())
                due = max(due + 1.0 / self.rate, time.monotonic() - 0.5)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _one(self) -> None:
        question = self._next()
        body = {"model": "support", "messages": [{"role": "user", "content": question.text}]}
        headers = {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            "x-trimtab-session": self._session,
            "x-trimtab-tags": f"topic={question.topic},app=support-assistant",
        }
        try:
            answer = await self.http.request(
                "POST", f"{self.base_url}/v1/chat/completions", headers, json.dumps(body).encode(), timeout=TIMEOUT_S
            )
            reply = json.loads(await answer.read())
            trace = answer.headers.get("x-trimtab-trace-id", "")
            self.asked += 1
            if answer.status == 200 and question.answer_contains and self._rng.random() < VOTES:
                await self._vote(question, reply["choices"][0]["message"]["content"], trace)
        except (TrimtabError, ValueError, KeyError):
            self.broken += 1

    async def _vote(self, question: Question, text: str, trace: str) -> None:
        right = any(fact.lower() in text.lower() for fact in question.answer_contains)
        score = {"trace_id": trace, "name": "thumb", "value": 1.0 if right else 0.0, "by": "user"}
        answer = await self.http.request(
            "POST",
            f"{self.base_url}/api/scores",
            {"authorization": f"Bearer {self.key}", "content-type": "application/json"},
            json.dumps(score).encode(),
            timeout=TIMEOUT_S,
        )
        await answer.read()

    def _next(self) -> Question:
        """The next question; a session asks one to three."""
        if self._left == 0:
            self._session, self._left = f"s-{self._rng.getrandbits(48):012x}", self._rng.choice((1, 1, 2, 3))
        self._left -= 1
        topic = self._rng.choices(list(self.mix), weights=list(self.mix.values()))[0]
        return self._rng.choice(self._by_topic[topic])
