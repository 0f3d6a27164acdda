"""The vendor probe: does another model answer behind the name?

It goes through three phases, within its budget: a search for border inputs, a reference of each chosen input, and the
watch. An endpoint that shows no border inputs (it answers the same every time) is watched on ordinary inputs: a larger
change is still seen there, a tiny one is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput, TrimtabError
from trimtab.evals import cases_of

from .asking import AT_ONCE, Said, Spent
from .drift import VAGUE, Answer, Drift, Input, frozen, is_far
from .fall import Fall
from .found import Found, Job, Verdict, standing

#: How often a candidate is asked, calls of one run while it learns, and answers of one run while evidence grows.
TRIED, LEARNS_AT_ONCE, DECIDES_WITHIN = 3, 600, 50
#: Evidence above which a run goes on asking until it is decided.
CURIOUS = 30.0
#: Answers after an alarm from which it may be told that the old model is back.
BACK_AFTER = 30
#: Golden answers that make the reference.
GOLDEN_REFERENCE = 30
#: Failed calls in a row after which a run gives up.
GIVES_UP = 4
_PLAIN_WORDS = """
hike table river seven Monday copper window blue mirror anchor bread silent orbit winter forty lantern garden
paper north violin stone bridge cloud engine candle harbor velvet basket thunder meadow signal pepper island
ribbon planet marble rocket feather canyon helmet saddle compass turtle pillow ladder walnut glacier magnet
puzzle hammer carpet spider tunnel butter camera dragon falcon ginger hollow insect jacket kettle lemon market
needle onion parrot quiver rabbit sailor tablet uncle valley wagon yellow zipper almond button circus desert
eleven forest guitar honey iron jungle knight ledger mosaic nectar oyster prism quartz raven shadow timber
umbrella vapor willow xenon yogurt zenith agenda barrel cactus dinner elbow fabric goblet hazel icicle jasmine
"""
_WORDS = _PLAIN_WORDS.split()
_SHAPES = ("{}", " {}", "{} {}", "{}:", "{}?", "The {}", "{} and", "1 {}", "{}\n", "not {}", "{}, {},")


def candidates(count: int) -> list[str]:
    """Short inputs to try, always the same ones."""
    found: list[str] = []
    for turn, shape in enumerate(_SHAPES):
        for at, word in enumerate(_WORDS):
            other = _WORDS[(at * 7 + turn + 1) % len(_WORDS)]
            found.append(shape.format(word, other))
    return found[:count]


async def vendor(job: Job) -> Found:
    """One run of the vendor probe."""
    return await _Run(job)()


class _Run:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._declared = job.declared
        self._state: dict[str, Any] = dict(job.state)
        self._failures: list[str] = []
        self._in_a_row = 0
        self._last: Said | None = None

    async def __call__(self) -> Found:
        try:
            if "inputs" not in self._state:
                await self._learn()
            if "inputs" not in self._state:
                return self._learning()
            return await self._watch()
        except _NoAnswers:
            return self._unknown(f"{self._declared.target} does not answer: {self._failures[-1]}")

    # Learning.

    async def _learn(self) -> None:
        wanted, ask = self._declared.count("inputs"), self._job.ask
        plain: dict[str, list[Any]] = dict(self._state.get("plain", {}))
        border: dict[str, list[Any]] = dict(self._state.get("border", {}))
        offered = candidates(max(wanted, self._declared.count("candidates")))
        at = int(self._state.get("at", 0))
        while at < len(offered) and len(border) < wanted and ask.left and ask.calls < LEARNS_AT_ONCE:
            batch = offered[at : at + AT_ONCE]
            answers = await self._many([text for text in batch for _ in range(TRIED)])
            for number, text in enumerate(batch):
                mine = [_kept(said) for said in answers[number * TRIED : (number + 1) * TRIED] if said is not None]
                if len(mine) == TRIED:
                    (border if len({one[0] for one in mine}) > 1 else plain)[text] = mine
            at += len(batch)
        plain = _few(plain, wanted)
        self._state |= {"at": at, "border": border, "plain": plain}
        if at < len(offered) and len(border) < wanted:
            return
        chosen = {**border, **plain}
        chosen = {text: chosen[text] for text in list(chosen)[:wanted]}
        if not any(one[0].strip() for answers in chosen.values() for one in answers):
            raise BadInput(
                f"{self._declared.target} gives no first token: it may think before it answers.",
                field=f"probes.{self._declared.name}.target",
                mend="Probe a model that answers at once, or watch it by golden prompts and judged traffic.",
            )
        samples = self._declared.count("samples")
        for text, given in chosen.items():
            while len(given) < samples and ask.left and ask.calls < LEARNS_AT_ONCE + DECIDES_WITHIN:
                more = await self._many([text] * min(AT_ONCE, samples - len(given)))
                given += [_kept(said) for said in more if said is not None]
        self._state["border"] = {text: answers for text, answers in chosen.items() if text in border}
        self._state["plain"] = {text: answers for text, answers in chosen.items() if text not in border}
        if all(len(answers) >= samples for answers in chosen.values()):
            self._freeze(chosen)

    def _freeze(self, chosen: Mapping[str, Sequence[Any]]) -> None:
        made = [frozen(text, [a[0] for a in answers], [a[1] for a in answers]) for text, answers in chosen.items()]
        useful = [one for one in made if one.unseen <= VAGUE] or made
        for name in ("at", "border", "plain"):
            self._state.pop(name, None)
        self._state |= {"inputs": [_input_state(one) for one in useful], "seen": [], "pin": self._pin()}

    def _learning(self) -> Found:
        border, tried = len(self._state.get("border", {})), int(self._state.get("at", 0))
        text = f"Learning the reference: {border} border inputs among {tried} tried so far."
        if not self._job.ask.left:
            text += " Today's budget is spent; it goes on tomorrow."
        return self._found("learning", text)

    # Watching.

    async def _watch(self) -> Found:
        inputs = [_input_of(one) for one in self._state["inputs"]]
        seen = [Answer(at=int(a), token=str(t), far=bool(f)) for a, t, f in self._state.get("seen", ())]
        drift = Drift(
            inputs, tolerance=self._declared.option("tolerance"), threshold=2.0 * self._declared.a_year, seen=seen
        )
        known = drift.swapped
        wanted, asked, answered = self._declared.count("queries"), 0, 0
        while self._job.ask.left and not (drift.swapped and not known):
            if asked >= wanted and not (drift.evidence > CURIOUS and not known and asked < DECIDES_WITHIN):
                break
            drawn = [drift.draw(self._job.rng) for _ in range(min(AT_ONCE, max(1, wanted - asked)))]
            for at, said in zip(drawn, await self._many([inputs[at].text for at in drawn]), strict=True):
                if said is not None:
                    answered += 1
                    drift.take(Answer(at=at, token=said.text, far=is_far(inputs[at], said.logprobs)))
            asked += len(drawn)
        golden = await self._golden()
        self._state["seen"] = [[a.at, a.token, int(a.far)] for a in drift.seen]
        since = int(self._state.get("since", 0)) + answered if drift.swapped else 0
        self._state["since"] = since
        back = known and since >= BACK_AFTER and drift.distance < self._declared.option("tolerance") / 2
        if back:
            self._state |= {"seen": [], "since": 0}
        if not answered:
            why = self._failures[-1] if self._failures else "today's budget is spent"
            return self._unknown(f"{self._declared.target} was not asked: {why}")
        return self._judged(drift, golden, back=back)

    def _judged(self, drift: Drift, golden: Fall | None, *, back: bool) -> Found:
        border = sum(one.border for one in drift.inputs)
        now, was = self._pin(), str(self._state.get("pin", ""))
        names = f" It reports {now}, before {was}." if now and was and now != was else ""
        shown = f"{drift.distance:.2f} from the reference, tolerated {drift.tolerance:g}"
        usual = f"{border} of {len(drift.inputs)} inputs are border inputs"
        more: dict[str, Any] = {
            "evidence": drift.evidence, "needed": drift.threshold, "border": border, "inputs": len(drift.inputs),
            "reported": now, "reported_before": was, "answers": len(drift.seen),
        }  # fmt: skip
        golden_fell = golden is not None and golden.fell
        if golden is not None and golden.now is not None:
            more["golden"] = golden.now
            names += f" Golden prompts pass at {golden.now:.2f}, before {golden.usual or 0:.2f}."
        if (drift.swapped and not back) or golden_fell:
            what = "Another model answers" if drift.swapped else "Golden prompts fail"
            text = f"{what} as {self._declared.target}: {shown}.{names}"
            return self._found("alarm", text, drift, more)
        if drift.moved and not back:
            return self._found("moved", f"{self._declared.target} moved a little: {shown}.{names}", drift, more)
        return self._found("ok", f"{self._declared.target} is as it was: {shown}; {usual}.{names}", drift, more)

    async def _golden(self) -> Fall | None:
        if not self._declared.dataset:
            return None
        version = standing(self._job.registry, self._declared.dataset, "datasets")
        cases = [case for case in cases_of(version.content) if case.input and case.expected]
        fall = Fall(self._state.get("golden", {}), reference=GOLDEN_REFERENCE, threshold=2.0 * self._declared.a_year)
        if not cases:
            return fall
        fall.forgive()
        for _ in range(self._declared.count("golden")):
            case = cases[self._job.rng.randrange(len(cases))]
            said = (await self._many([case.input], tokens=200))[0]
            if said is not None:
                fall.take(float(_plain(case.expected) in _plain(said.text)))
        self._state["golden"] = fall.state
        return fall

    # Asking.

    async def _many(self, texts: Sequence[str], *, tokens: int = 1) -> list[Said | None]:
        """Ask all of them; None where no answer came. Raises _NoAnswers when the endpoint is down."""
        found: list[Said | None] = []
        for start in range(0, len(texts), AT_ONCE):
            found += await asyncio.gather(*(self._one(text, tokens) for text in texts[start : start + AT_ONCE]))
            if self._in_a_row >= GIVES_UP:
                raise _NoAnswers
        return found

    async def _one(self, text: str, tokens: int) -> Said | None:
        params: dict[str, Any] = {"temperature": 0, "max_tokens": tokens}
        if tokens == 1 and self._state.get("logprobs", True):
            params |= {"logprobs": True, "top_logprobs": 5}
        if (many := self._declared.count("identities")) > 1:
            # Vendors route by user: one identity would see one backend only.
            params["user"] = f"trimtab-probe-{self._job.rng.randrange(many)}"
        try:
            said = await self._job.ask.ask(self._declared.target, ({"role": "user", "content": text},), params)
        except Spent:
            return None
        except TrimtabError as error:
            if "logprobs" in params and getattr(error, "vendor_status", 0) in (400, 422):
                self._state["logprobs"] = False  # the provider knows no such parameter
                return await self._one(text, tokens)
            self._failures.append(error.message)
            self._in_a_row += 1
            return None
        self._in_a_row = 0
        self._last = said
        return said

    def _pin(self) -> str:
        if self._last is None:
            return str(self._state.get("last_pin", ""))
        pin = f"{self._last.model}@{self._last.fingerprint}" if self._last.fingerprint else self._last.model
        self._state["last_pin"] = pin
        return pin

    def _unknown(self, text: str) -> Found:
        return self._found("unknown", text, more={"failed": len(self._failures)})

    def _found(
        self, verdict: Verdict, text: str, drift: Drift | None = None, more: Mapping[str, Any] | None = None
    ) -> Found:
        pin = self._pin()
        return Found(
            verdict=verdict, text=text, state=self._state, value=drift.distance if drift else None,
            usual=0.0 if drift else None, limit=drift.tolerance if drift else None, asset=self._declared.target,
            pin=f"{self._declared.target}={pin}" if pin else "", detail=dict(more or {}),
        )  # fmt: skip


class _NoAnswers(Exception):
    """The endpoint is down: nothing is learnt of its model."""


def _kept(said: Said) -> list[Any]:
    return [said.text, dict(said.logprobs)]


def _few(plain: Mapping[str, list[Any]], wanted: int) -> dict[str, list[Any]]:
    """The ordinary inputs that are worth keeping: those that are answered differently from each other come first."""
    first: dict[str, str] = {}
    for text, answers in plain.items():
        first.setdefault(str(answers[0][0]), text)
    order = [*first.values(), *(text for text in plain if text not in set(first.values()))]
    return {text: plain[text] for text in order[:wanted]}


def _input_state(one: Input) -> dict[str, Any]:
    return {"text": one.text, "counts": dict(one.counts), "logprobs": dict(one.logprobs), "spread": one.spread}


def _input_of(state: Mapping[str, Any]) -> Input:
    return Input(
        text=str(state["text"]), counts={str(k): int(v) for k, v in state["counts"].items()},
        logprobs={str(k): float(v) for k, v in state.get("logprobs", {}).items()}, spread=float(state.get("spread", 0)),
    )  # fmt: skip


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
