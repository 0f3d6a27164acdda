"""Trying a prompt: the gateway asks a model with it as it would for a user, and the answer comes back to be judged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from trimtab.core import TrimtabError
from trimtab.evals import Ask as AskPrompt
from trimtab.evals import Output, Trial
from trimtab.gateway import Ask, Gateway, LiveTrace

#: The project of Trimtab's own requests, which nobody scores.
OWN_PROJECT = "trimtab"


def make_trial(gateway: Gateway) -> AskPrompt:
    """A callable for prompt tests. What it asks is recorded under Trimtab's own project, and is not guarded."""

    async def trial(*, model: str, prompt: str, question: str, variables: Mapping[str, Any]) -> Trial:
        ask = Ask(
            model=model,
            messages=({"role": "user", "content": question},) if question else (),
            prompt=prompt,
            variables=variables,
            project=OWN_PROJECT,
            pins={"prompts": prompt, "guards": ""},
        )
        live = LiveTrace(gateway.clock)
        wrong = ""
        try:
            async with aclosing(gateway.serve(ask, live)) as chunks:
                async for _ in chunks:
                    pass
        except TrimtabError as error:
            wrong = str(error)
        spans, _ = live.finish()
        output = Output.from_trace(spans) or Output(text="", question=question, status="error")
        return Trial(output=output, trace_id=live.trace_id, error=wrong, cost_usd=spans[0].cost_usd)

    return trial
