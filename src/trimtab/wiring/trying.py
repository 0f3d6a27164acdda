"""Evaluation through the gateway: a model is asked as for a user, and the answer comes back to be judged."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from trimtab.core import Message, TrimtabError
from trimtab.evals import Ask as AskModel
from trimtab.evals import Making, Output, People, Reports, RunLog, Runs, Scorer, Unanswered
from trimtab.gateway import Ask, Gateway, LiveTrace
from trimtab.incidents import Desk
from trimtab.providers import embed
from trimtab.registry import Registry
from trimtab.review import Gathering, ReviewLog, Reviews
from trimtab.store import Metadata, Spans

#: The project of Trimtab's own requests, which nobody scores.
OWN_PROJECT = "trimtab"


def make_ask(gateway: Gateway) -> AskModel:
    """A callable for evaluations. What it asks is recorded under Trimtab's own project, and is not guarded."""

    async def ask(
        *, model: str, prompt: str | None, messages: tuple[Message, ...], variables: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> Output:  # fmt: skip
        pins = {"guards": "", **({} if prompt == "" else {"prompts": prompt or ""})}
        wanted = Ask(
            model=model,
            messages=messages,
            params=params,
            prompt=prompt or "",
            variables=variables,
            project=OWN_PROJECT,
            pins=pins,
        )
        live = LiveTrace(gateway.clock)
        try:
            async with aclosing(gateway.serve(wanted, live)) as chunks:
                async for _ in chunks:
                    pass
        except TrimtabError as error:
            raise Unanswered(error, live.trace_id) from error
        spans, _ = live.finish()
        return Output.from_trace(spans) or Output(text="", question=live.question, status="error")

    return ask


def make_reviews(reports: Reports, metadata: Metadata, registry: Registry, spans: Spans, desk: Desk) -> Reviews:
    """The desk of review by people."""

    async def traces_of(incident_id: int) -> Sequence[str]:
        return (await desk.get(incident_id)).traces

    gathering = Gathering(registry=registry, spans=spans, runs=reports.log, traces_of=traces_of)
    return Reviews(ReviewLog(metadata), gathering, reports.people, spans)


def make_runs(
    gateway: Gateway, metadata: Metadata, folder: Path, python: Mapping[str, Scorer], embeddings: str
) -> tuple[Runs, Reports]:
    """The desk of evaluation runs and what reads them. Judges and embeddings are asked through the gateway too.

    ``python`` are the scorers that plans may name by import path, ``embeddings`` the model that compares answers.
    """
    log = RunLog(metadata)
    making = Making(
        registry=gateway.registry,
        ask=make_ask(gateway),
        model_of=gateway.as_model,
        embedder=lambda ref: functools.partial(embed, gateway.as_model(ref)),
        cases_of_run=log.cases,
        output_of=log.output,
        python=python,
        embeddings=embeddings,
    )
    runs = Runs(log, making, shared=metadata.shared, folder=folder / "evals")
    return runs, Reports(log, People(metadata), making)
