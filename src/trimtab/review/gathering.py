"""Where the items of a queue are from: traces, an incident, a run of an evaluation, a dataset; and what is planted."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from trimtab.core import BadInput, Span, Stamp
from trimtab.evals import MAX_REPEATS, PASS, Case, Draw, Output, Run, RunLog, cases_of, golden_of
from trimtab.registry import Registry
from trimtab.store import Spans, Trace
from trimtab.traces import parse_query, question

from .queue import BAD, GOOD, MAX_ITEMS, Item

#: Traces of an incident, by its number.
TracesOf = Callable[[int], Awaitable[Sequence[str]]]
#: Characters of an answer or a passage that a reviewer is shown; a longer one is cut, and says so.
MOST_TEXT = 20_000
_MOST_PASSAGES = 40
_DEFAULT = 100


class Gathering:
    """Makes items. Nobody is shown what ``hidden`` holds before they have given their own verdict."""

    def __init__(self, *, registry: Registry, spans: Spans, runs: RunLog, traces_of: TracesOf) -> None:
        self._registry = registry
        self._spans = spans
        self._runs = runs
        self._traces_of = traces_of

    async def __call__(self, source: Mapping[str, Any]) -> tuple[list[Item], str]:
        """The items of a source, and the dataset under which their labels belong ("" where it is nobody's).

        Raises BadInput naming the field that does not fit, or where there is nothing to look at; NotFound.
        """
        limit = source.get("limit", _DEFAULT)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MAX_ITEMS:
            raise BadInput("is out of range.", field="source.limit", mend=f"Give 1 to {MAX_ITEMS}.")
        kinds = [name for name in ("query", "traces", "incident", "run", "dataset") if name in source]
        unknown = source.keys() - {*kinds, "limit", "split", "failures", "by_verdict"}
        if len(kinds) != 1 or unknown:
            mend = "Name one of query, traces, incident, run and dataset, with limit, split, failures or by_verdict."
            raise BadInput("does not say where the items are from.", field="source", mend=mend)
        kind, value = kinds[0], source[kinds[0]]
        score = str(source.get("by_verdict", ""))
        if score and (kind != "run" or source.get("failures")):
            mend = "Leave failures out, and take a run that the judge scored."
            raise BadInput("draws from all answers of a run.", field="source.by_verdict", mend=mend)
        match kind:
            case "run" if score:
                found, place = await self._by_verdict(await self._runs.get(str(value)), score, limit)
            case "run":
                found, place = await self._of_run(str(value), limit, failures=bool(source.get("failures")))
            case "dataset":
                found, place = self._of_dataset(str(value), str(source.get("split", "")), limit)
            case _:
                found, place = await self._of_traces(await self._ids(kind, value, limit), limit), ""
        if not found:
            mend = "Widen the query, or take another source."
            raise BadInput("holds no answer that one could look at.", field=f"source.{kind}", mend=mend)
        return found, place

    def planted(self, address: str, most: int) -> list[Item]:
        """Answers whose verdict experts have settled, at most ``most``, as many bad as good ones where there are."""
        if not address or not most:
            return []
        version = self._registry.resolve(address, kind="datasets").version
        golden = golden_of(version.content)
        bad = [one for one in golden if not one.passes]
        good = [one for one in golden if one.passes]
        if not bad:
            mend = 'Add cases with "answer" and "expected": "fail".'
            raise BadInput(f"{version.address} holds no bad answer.", field="planted", mend=mend)
        n_good = min(len(good), most // 2)
        chosen = bad[: most - n_good] + good[:n_good]
        return [
            Item(
                case=f"planted_{n}", known=GOOD if one.passes else BAD,
                known_why=f"experts settled it in {version.pin}",
                shown=_shown(one.input, one.answer, one.passages),
            )
            for n, one in enumerate(chosen)
        ]  # fmt: skip

    async def _ids(self, kind: str, value: object, limit: int) -> Sequence[str]:
        if kind == "incident":
            if isinstance(value, bool) or not isinstance(value, int):
                raise BadInput("must be the number of an incident.", field="source.incident", mend="Such as 318.")
            return (await self._traces_of(value))[:limit]
        if kind == "traces":
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise BadInput("must be a list of trace ids.", field="source.traces", mend="Write a list.")
            return [str(one) for one in value][:limit]
        page = await self._spans.query(replace(parse_query(str(value)), limit=limit))
        return [span.trace_id for span in page.spans]

    async def _of_traces(self, ids: Sequence[str], limit: int) -> list[Item]:
        found: list[Item] = []
        for trace_id in dict.fromkeys(ids):
            trace = await self._spans.trace(trace_id)
            if trace is not None and trace.spans and (item := _of_trace(trace)) is not None:
                found.append(item)
        return found[:limit]

    async def _of_run(self, run_id: str, limit: int, *, failures: bool) -> tuple[list[Item], str]:
        """Of more cases than the limit some are drawn at random, the same ones every time: a judge is calibrated and a
        pass rate corrected by labels that are a random sample. ``failures`` looks at what went wrong, worst first."""
        run = await self._runs.get(run_id)
        place = run.dataset.rpartition("/")[0] or run.name
        if failures:
            rows = await self._runs.results(run.id, limit=limit, failures=True)
            return [_of_row(row) for row in rows if row["repeat"] == 0 and not row["error"]], place
        found: list[Item] = []
        for case_id in drawn([case.id for case in await self._runs.cases(run.id)], run.id):
            rows = await self._runs.results(run.id, case_id=case_id, limit=MAX_REPEATS)
            found += [_of_row(row) for row in rows if row["repeat"] == 0 and not row["error"]]
            if len(found) >= limit:
                break
        return found[:limit], place

    async def _by_verdict(self, run: Run, score: str, limit: int) -> tuple[list[Item], str]:
        """Answers drawn at random among those that a judge passes and among those that it fails. Which of them, and the
        order in which they are taken, are the same every time: a larger queue holds a smaller one."""
        sides: dict[str, list[str]] = {"fail": [], "pass": []}
        seen: set[str] = set()
        for row in await self._runs.scored(run, score):
            if row.repeat == 0 and row.value is not None and row.case not in seen:
                seen.add(row.case)
                if not row.judge:
                    mend = "Name the score of a judge."
                    raise BadInput(f"{score[:60]!r} is no judge's score.", field="source.by_verdict", mend=mend)
                sides["pass" if row.value >= PASS else "fail"].append(row.case)
        if not seen:
            mend = f"Look at `trimtab eval show {run.id}`."
            raise BadInput(f"the run has no score {score[:60]!r}.", field="source.by_verdict", mend=mend)
        found: list[Item] = []
        for side, count in allotted({side: len(cases) for side, cases in sides.items()}, limit).items():
            draw = Draw(stratum=f"{run.id} {score} {side}", count=count, size=len(sides[side]))
            for case_id in drawn(sides[side], run.id)[:count]:
                rows = await self._runs.results(run.id, case_id=case_id, limit=MAX_REPEATS)
                found += [
                    replace(item, hidden={**item.hidden, "drawn": str(draw)})
                    for item in (_of_row(row) for row in rows if row["repeat"] == 0)
                ]
        return found, run.dataset.rpartition("/")[0] or run.name

    def _of_dataset(self, address: str, split: str, limit: int) -> tuple[list[Item], str]:
        version = self._registry.resolve(address, kind="datasets").version
        cases = [case for case in cases_of(version.content) if case.answer and (not split or case.split == split)]
        return [_of_case(case, version.pin) for case in cases[:limit]], version.name


def allotted(sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    """How many to draw of each stratum: half way between as many of each and as the pool has them, which serves kappa
    and the pass rate alike and needs no guess of the judge's quality. What a small one lacks the others get; none is
    left with fewer than two where it has them."""
    pool, kinds = sum(sizes.values()), [name for name, size in sizes.items() if size]
    limit = min(limit, pool)
    left, found = limit, {}
    for place, name in enumerate(sorted(kinds, key=lambda name: sizes[name])):
        others = len(kinds) - place - 1
        share = (sizes[name] / pool + 1.0 / len(kinds)) / 2.0
        least, most = min(2, sizes[name]), max(1, left - 2 * others)
        found[name] = left if not others else min(sizes[name], most, max(least, round(limit * share)))
        left -= found[name]
    return found


def drawn(cases: Sequence[str], seed: str) -> list[str]:
    """Cases in an order that is random and the same every time."""
    return sorted(cases, key=lambda case: hashlib.blake2b(f"{seed}\0{case}".encode("utf-8", "replace")).digest())


def _of_trace(trace: Trace) -> Item | None:
    root: Span = next((span for span in trace.spans if not span.parent_id), trace.spans[0])
    output = Output.from_trace(trace.spans)
    answer = output.text if output is not None else root.output
    if not answer.strip():
        return None
    opinions = [
        {"name": s.name, "value": s.value, "by": s.by, "reason": s.reason[:2000]}
        for s in trace.scores if s.by.startswith("judge:")
    ]  # fmt: skip
    stamp: Stamp = root.stamp
    return Item(
        case=root.trace_id, group=root.session, trace_id=root.trace_id, slice=root.tags.get("topic", ""),
        shown=_shown(question(root.input), answer, output.passages if output is not None else ()),
        hidden={"tags": dict(root.tags), "model": stamp.model, "prompt": stamp.prompt, "judges": opinions,
                "project": root.project, "stamp": asdict(stamp)},
    )  # fmt: skip


def _of_row(row: Mapping[str, Any]) -> Item:
    asked, output = row["asked"], row["output"]
    opinions = [
        {"name": s["name"], "value": s["value"], "by": f"judge {s['judge']}", "reason": s["reason"][:2000]}
        for s in row["scores"] if s["judge"]
    ]  # fmt: skip
    stamp = output.get("stamp", {})
    return Item(
        case=row["case"], group=asked.get("group", ""), trace_id=row["trace_id"],
        slice=asked.get("tags", {}).get("topic", ""),
        shown=_shown(
            asked.get("input", ""), output.get("text", ""), output.get("passages", ()),
            _reference(asked.get("answer", ""), asked.get("expected", "")),
        ),
        hidden={"tags": asked.get("tags", {}), "model": stamp.get("model", ""), "prompt": stamp.get("prompt", ""),
                "judges": opinions, "stamp": stamp},
    )  # fmt: skip


def _of_case(case: Case, pin: str) -> Item:
    name = case.id or f"case_{case.identity}"
    return Item(
        case=name, group=case.group, trace_id=case.source_trace, slice=case.tags.get("topic", ""),
        shown=_shown(case.input, case.answer, case.passages, _reference(case.answer, case.expected)),
        hidden={"tags": dict(case.tags), "model": "", "prompt": "", "judges": [], "dataset": pin},
    )  # fmt: skip


def _reference(answer: str, expected: str) -> str:
    """What a reviewer may compare with. Of a golden item ``expected`` is the experts' verdict on its answer: whoever
    sees that judges no more."""
    return "" if answer and expected in ("pass", "fail") else expected


def _shown(asked: str, answer: str, passages: Sequence[Mapping[str, Any]], expected: str = "") -> dict[str, Any]:
    return {
        "question": _cut(asked), "answer": _cut(answer), "expected": _cut(expected),
        "passages": [
            {name: _cut(str(passage.get(name, ""))) for name in ("number", "title", "source", "text")}
            for passage in passages[:_MOST_PASSAGES]
        ],
    }  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} (cut after {MOST_TEXT:,} characters)"
