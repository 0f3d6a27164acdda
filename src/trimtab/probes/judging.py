"""The judge's canaries: cases that experts have decided, decided again by the live judge."""

from __future__ import annotations

import asyncio

from trimtab.core import BadInput, TrimtabError
from trimtab.evals import Judge, Output, golden_of

from .asking import Spent
from .fall import Fall
from .found import Found, Job, standing


async def judge(job: Job) -> Found:
    """One run: some golden items, drawn by chance."""
    declared = job.declared
    for field in ("target", "dataset"):
        if not getattr(declared, field):
            mend = "Write judges:/name@production." if field == "target" else "Write datasets:/golden@production."
            raise BadInput("is missing.", field=f"probes.{declared.name}.{field}", mend=mend)
    version = standing(job.registry, declared.target, "judges")
    dataset = standing(job.registry, declared.dataset, "datasets")
    items = golden_of(dataset.content)
    if not items:
        raise BadInput("holds no golden items.", field=f"probes.{declared.name}.dataset", mend="Add some.")
    ref = str(version.content.get("model", ""))
    asked = Judge(version, job.ask.model(ref))
    fall = Fall(job.state, reference=declared.count("reference"), threshold=2.0 * declared.a_year)
    known, errors, why = fall.fell, 0, ""
    drawn = [items[job.rng.randrange(len(items))] for _ in range(declared.count("queries"))]
    outputs = [Output(text=item.answer, question=item.input, passages=item.passages) for item in drawn]
    given = await asyncio.gather(*(asked.verdict(output) for output in outputs), return_exceptions=True)
    for item, verdict in zip(drawn, given, strict=True):
        if isinstance(verdict, Spent):
            continue
        if isinstance(verdict, TrimtabError):
            errors, why = errors + 1, verdict.message
        elif isinstance(verdict, BaseException):
            raise verdict
        else:
            fall.take(float((verdict.value == 1.0) == item.passes))
    forgiven = known and fall.forgive()
    state = fall.state
    now, usual = fall.now, fall.usual
    if errors and errors == len(drawn):
        text = f"{version.pin} gives no verdicts: {why}"
        return Found(verdict="unknown", text=text, state=state, asset=version.name, pin=version.pin)
    text = (
        f"{version.pin} agrees with the experts on {now or 0:.2f} of its latest golden items, before {usual or 0:.2f}"
    )
    if fall.learning:
        text = f"Learning the reference: {fall.n} of {declared.count('reference')} verdicts"
    if errors:
        text += f"; {errors} verdicts could not be had"
    if forgiven:
        text += "; it is as good as before again"
    return Found(
        verdict="learning" if fall.learning else "alarm" if fall.fell else "ok", text=f"{text}.", state=state,
        value=now, usual=usual, asset=version.name, pin=version.pin,
        detail={"evidence": fall.evidence, "errors": errors, "items": len(items)},
    )  # fmt: skip
