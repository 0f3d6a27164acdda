"""What a fault does to the application: knobs, for whom, and from when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from .corpus import unit_draw

Onset = Literal["step", "ramp", "intermittent"]

#: Every knob of the application: what it is when all is well, and what it does. Most are shares of the requests that
#: they touch; an effect adds to them.
KNOBS: dict[str, tuple[float, str]] = {
    # The model.
    "wrong": (0.02, "share of answers that state another value than the passage"),
    "invent": (0.02, "share of answers with a sentence of the model's own"),
    "cut": (0.004, "share of answers that end at the token limit"),
    "err": (0.003, "share of calls that fail at the vendor"),
    "slow": (0.0, "factor by which everything takes longer, less one"),
    "narrow": (0.0, "share of requests whose first passage does not fit into the context"),
    "garble": (0.0, "share of answers in letters of another script"),
    "dear": (0.0, "factor by which tokens are more, less one"),
    "refuse": (0.003, "share of answers that decline although they could answer"),
    "tongue": (0.003, "share of answers in the other language"),
    "badjson": (0.005, "share of tool calls whose arguments are broken"),
    # Knowledge.
    "stale": (0.0, "share of facts of which the index holds an old value"),
    "aged": (0.0, "days by which all passages are older"),
    "missing": (0.0, "share of facts whose document is not in the index"),
    "poison": (0.0, "share of facts with a planted document on top"),
    "orders": (0.0, "1 when planted documents give orders"),
    "contradict": (0.0, "share of facts with a second document that says otherwise"),
    "mismatch": (0.0, "share of questions whose embedding finds strangers"),
    "demote": (0.0, "share of questions whose right passage falls out of the first four"),
    "chunk": (0.0, "share of documents cut before their value"),
    "empty": (0.002, "share of requests for which nothing is found"),
    "crowd": (0.0, "share of questions whose four passages are one"),
    "foreign": (0.0, "share of questions answered from the other language's documents"),
    "dim": (0.0, "share of requests with a lower top score, right passage all the same"),
    # The prompt.
    "uncited": (0.02, "share of answers without a citation that nobody asked for"),
    "careless": (0.0, "share of answers that are wrong and uncited, for the instruction is gone"),
    "example": (0.0, "share of questions answered with the example's value"),
    "unfilled": (0.0, "share of requests with a variable left unfilled"),
    "toolname": (0.0, "share of tool calls with arguments that the tool does not know"),
    "loop": (0.0, "share of tool requests that call again and again"),
    "forget": (0.0, "share of later turns that lost their history"),
    "misroute": (0.0, "share of questions that get the prompt of another intent"),
    "ramble": (0.0, "share of answers that are three times as long and then cut"),
    "wordy": (0.0, "share of answers that are twice as long and right"),
    "padded": (0.0, "share of requests whose prompt is half as long again"),
    # Safety.
    "attack": (0.03, "share of requests that are attacks"),
    "overblock": (0.004, "share of good requests that are refused"),
    "open": (0.0, "share of requests that no guard sees"),
    "leak": (0.001, "share of personal data that is let out"),
    "bypass": (0.05, "share of attacks that the guard lets through"),
    "holes": (0.0, "share of answers in which good words are blacked out"),
    "scannerfail": (0.001, "share of requests with a scanner that ran out of time"),
    "denytool": (0.0, "share of tool calls that the guard forbids"),
    # Operations.
    "lenient": (0.0, "share of bad answers that the judge lets pass, above the usual"),
    "strict": (0.0, "share of good answers that the judge fails, above the usual"),
    "null": (0.0, "share of verdicts that are the default, a pass"),
    "fallback": (0.0, "share of requests that go to the second model"),
    "weak": (0.0, "share of requests that a cheap model answers as the first choice"),
    "limited": (0.0, "share of requests that are refused for their rate"),
    "nocache": (0.05, "share of requests of whose prompt the vendor has nothing cached"),
    "lost": (0.001, "share of traces without their inner spans"),
    "blindspot": (0.0, "share of bad answers that are never drawn for the judge"),
    "retries": (0.0, "share of requests that are asked twice"),
    "unpriced": (0.0, "share of answers without a known price"),
    "oldcache": (0.0, "share of answers that an answer cache gives from another question"),
    "timeout": (0.0, "share of answers that are given up too early"),
}
HEALTHY: dict[str, float] = {name: value for name, (value, _) in KNOBS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Knobs that are added for the requests it reaches. ``since`` and ``ramp`` count requests of the run.

    ``slice`` narrows it to a slice (``tenant=acme``; intent, tenant or language), ``share`` to sessions drawn once,
    ``provider`` to what one vendor answers.
    """

    knobs: Mapping[str, float]
    since: int = 0
    onset: Onset = "step"
    ramp: int = 800
    slice: str = ""
    share: float = 1.0
    provider: str = ""
    salt: str = ""
    until: int = 10**9

    def strength(self, number: int, session: str, slices: Collection[str], provider: str) -> float:
        """How much of it reaches a request, 0 to 1."""
        if not self.since <= number < self.until or (self.provider and provider != self.provider):
            return 0.0
        if self.slice and self.slice not in slices:
            return 0.0
        if self.share < 1.0 and unit_draw("sticky", self.salt, session) >= self.share:
            return 0.0
        if self.onset == "ramp":
            return min(1.0, (number - self.since + 1) / self.ramp)
        if self.onset == "intermittent":
            # Fits of 80 requests, every other one, beginning at once.
            return float((number - self.since) // 80 % 2 == 0)
        return 1.0


def knobs_under(found: list[tuple[Effect, float]]) -> Mapping[str, float]:
    """The knobs of one request."""
    if not found:
        return HEALTHY
    knobs = dict(HEALTHY)
    for effect, strength in found:
        for name, value in effect.knobs.items():
            knobs[name] += value * strength
    return knobs
