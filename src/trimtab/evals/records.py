"""All SQL of evaluation: runs with every answer and score, people's labels, calibrations. The log is the product: what
a run knows is in it, and what is in it is not paid for again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, case, delete, desc, distinct, func, insert, or_, select, update

from trimtab.core import NotFound
from trimtab.stats import wilson
from trimtab.store import Metadata, tables

from .dataset import Case
from .labels import Label
from .output import Output
from .results import PASS, Scored
from .run_record import ALL, RUNNING, WAITING, Earlier, Logged, Run

_runs, _cases, _outputs, _scores = tables.eval_runs, tables.eval_cases, tables.eval_outputs, tables.eval_scores
_labels, _calibrations = tables.eval_labels, tables.eval_calibrations
_MANY = 400
#: Labels of one dataset that are read back, and calibrations of one judge.
MAX_LABELS, MAX_CALIBRATIONS = 100_000, 200

_RUN = [_runs.c[f.name] for f in fields(Run)]


class RunLog:
    """The runs of one metadata database; every call is one transaction."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    # Runs.

    async def add(self, run: Run, cases: Sequence[Case]) -> None:
        """A new run with its cases, so that the log needs nothing else to be read."""

        def write(connection: Connection) -> None:
            rows = [
                {"run": run.id, "position": n, "case": c.id, "content": msgspec.json.encode(c.content).decode()}
                for n, c in enumerate(cases)
            ]
            connection.execute(insert(_runs).values(**{**asdict(run), "scorers": list(run.scorers)}))
            if rows:
                connection.execute(insert(_cases), rows)

        await self._metadata.write(write)

    async def note(self, run_id: str, **changed: Any) -> None:
        """Columns of a run that change."""
        await self._metadata.write(
            lambda c: c.execute(update(_runs).where(_runs.c.id == run_id).values(**changed)).rowcount
        )

    async def count(self, state: str) -> int:
        """How many runs are in a state."""
        query = select(func.count()).where(_runs.c.state == state)
        return await self._metadata.read(lambda c: int(c.scalar(query) or 0))

    async def claim(self, holder: str, now: int, stale_ns: int) -> Run | None:
        """The oldest run that nobody works at, now held by ``holder``: one that waits, or one whose holder has not been
        heard of since ``stale_ns``."""

        def write(connection: Connection) -> Run | None:
            r = _runs.c
            lost = and_(r.state == RUNNING, r.beat_ns < stale_ns)
            query = select(*_RUN).where(or_(r.state == WAITING, lost)).order_by(r.time_ns, r.id).limit(1)
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            changed = {"state": RUNNING, "holder": holder, "beat_ns": now, "started_ns": row["started_ns"] or now}
            connection.execute(update(_runs).where(r.id == row["id"]).values(**changed))
            return Run(**{**row, "state": RUNNING, "started_ns": changed["started_ns"]})

        return await self._metadata.write(write)

    async def beat(self, run_id: str, holder: str, now: int, progress: Mapping[str, Any]) -> bool:
        """Say that a run is worked at. False when it is no longer this holder's, or was told to stop."""
        r = _runs.c
        where = (r.id == run_id, r.holder == holder, r.state == RUNNING)
        changed = {"beat_ns": now, "progress": dict(progress)}
        count = await self._metadata.write(lambda c: c.execute(update(_runs).where(*where).values(**changed)).rowcount)
        return bool(count)

    async def get(self, run_id: str) -> Run:
        """One run. Raises NotFound."""
        row = await self._metadata.read(
            lambda c: c.execute(select(*_RUN).where(_runs.c.id == run_id)).mappings().first()
        )
        if row is None:
            mend = "Look at `trimtab eval list`."
            raise NotFound(f"There is no run {run_id[:40]!r}.", field="run", mend=mend)
        return Run(**row)

    async def recent(
        self, *, limit: int = 50, before_ns: int = 0, states: Sequence[str] = (), name: str = ""
    ) -> list[Run]:
        """Runs, newest first; ``before_ns`` is the time of the last one of the page before."""
        where = [_runs.c.time_ns < before_ns] if before_ns else []
        where += [_runs.c.state.in_(states)] if states else []
        where += [_runs.c.name == name] if name else []
        query = select(*_RUN).where(and_(True, *where)).order_by(desc(_runs.c.time_ns), _runs.c.id).limit(limit)
        return await self._metadata.read(lambda c: [Run(**row) for row in c.execute(query).mappings()])

    async def remove(self, run_id: str) -> None:
        """Forget a run and everything in it."""

        def write(connection: Connection) -> None:
            for table in (_scores, _outputs, _cases):
                connection.execute(delete(table).where(table.c.run == run_id))
            connection.execute(delete(_runs).where(_runs.c.id == run_id))

        await self._metadata.write(write)

    async def cases(self, run_id: str) -> list[Case]:
        """The cases of a run, in order."""
        query = select(_cases.c.content).where(_cases.c.run == run_id).order_by(_cases.c.position)
        return await self._metadata.read(lambda c: [Case(**msgspec.json.decode(text)) for text in c.scalars(query)])

    # Answers and scores.

    async def write(self, outputs: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]) -> None:
        """Rows of both tables in one transaction, on disk when this returns."""

        def put(connection: Connection) -> None:
            if outputs:
                connection.execute(insert(_outputs), outputs)
            if scores:
                connection.execute(insert(_scores), scores)

        await self._metadata.write(put)

    async def resumed(self, run_id: str) -> Logged:
        """What a run has already. Errors are taken out of the log first: what failed is tried again. What they cost
        stays in the run's progress."""

        def write(connection: Connection) -> Logged:
            progress = connection.scalar(select(_runs.c.progress).where(_runs.c.id == run_id)) or {}
            lost = float(progress.get("lost_usd", 0.0))
            for table in (_outputs, _scores):
                paid = select(func.sum(table.c.cost_usd)).where(table.c.run == run_id, table.c.error != "")
                lost += float(connection.scalar(paid) or 0.0)
            changed = {**progress, "lost_usd": lost}
            connection.execute(update(_runs).where(_runs.c.id == run_id).values(progress=changed))
            for table in (_outputs, _scores):
                connection.execute(delete(table).where(table.c.run == run_id, table.c.error != ""))
            o, s = _outputs.c, _scores.c
            answered = {(c, r) for c, r in connection.execute(select(o.case, o.repeat).where(o.run == run_id))}
            scored: dict[tuple[str, int, int], set[str]] = {}
            rows = connection.execute(select(s.case, s.repeat, s.judgement, s.scorer).where(s.run == run_id))
            for one, repeat, judgement, name in rows:
                scored.setdefault((one, repeat, judgement), set()).add(name)
            return Logged(answered, scored, lost)

        return await self._metadata.write(write)

    async def spent(self, run_id: str) -> float:
        """US dollars that a run has paid so far, as far as prices are known."""
        o, s = _outputs.c, _scores.c
        paid = [func.coalesce(func.sum(c.cost_usd), 0.0) for c in (o, s)]
        queries = [select(p).where(c.run == run_id, c.cached.is_(False)) for p, c in zip(paid, (o, s), strict=True)]
        progress = select(_runs.c.progress).where(_runs.c.id == run_id)

        def read(connection: Connection) -> float:
            lost = float((connection.scalar(progress) or {}).get("lost_usd", 0.0))
            return lost + sum(float(connection.scalar(query) or 0.0) for query in queries)

        return await self._metadata.read(read)

    async def output(self, run_id: str, case_id: str, repeat: int) -> Output | None:
        """One answer; None where there is none, or an error."""
        o = _outputs.c
        query = select(o.output).where(o.run == run_id, o.case == case_id, o.repeat == repeat, o.error == "")
        text = await self._metadata.read(lambda c: c.scalar(query))
        return Output.from_json(text) if text else None

    async def earlier(self, outputs: Sequence[str], scores: Sequence[str]) -> Earlier:
        """Answers and verdicts of any run under these keys."""
        o, s = _outputs.c, _scores.c

        def read(connection: Connection) -> Earlier:
            answers: dict[str, str] = {}
            for part in _parts(outputs):
                found = connection.execute(select(o.key, o.output).where(o.key.in_(part), o.error == ""))
                answers.update((key, text) for key, text in found)
            verdicts: dict[str, list[Mapping[str, Any]]] = {}
            runs: dict[str, str] = {}
            for part in _parts(scores):
                query = select(s.key, s.run, s.name, s.value, s.reason, s.judge, s.detail)
                for row in connection.execute(query.where(s.key.in_(part), s.error == "")).mappings():
                    # All verdicts of one call come from one run.
                    if runs.setdefault(row["key"], row["run"]) == row["run"]:
                        verdicts.setdefault(row["key"], []).append(dict(row))
            return Earlier(answers, verdicts)

        return await self._metadata.read(read)

    # What views and statistics read.

    async def scored(self, run: Run, name: str) -> list[Scored]:
        """Every score of one name, in the order in which the cases stand, answers that could not be had as errors.

        The name ``all`` is whether everything that was said of an answer is a pass.
        """
        cases = {case.id: case for case in await self.cases(run.id)}
        s, o = _scores.c, _outputs.c
        if name == ALL:
            query = select(s.case, s.repeat, func.min(s.value), func.max(s.error)).where(s.run == run.id)
            query = query.group_by(s.case, s.repeat)
        else:
            query = select(s.case, s.repeat, s.value, s.error, s.judge).where(s.run == run.id, s.name == name)
        lost = select(o.case, o.repeat, o.error).where(o.run == run.id, o.error != "")
        return await self._metadata.read(
            lambda c: _scored(run, name, cases, list(c.execute(query)), list(c.execute(lost)))
        )

    async def summary(self, run_id: str) -> list[dict[str, Any]]:
        """By score: how many, their mean, share of passes with its 95 % interval, errors, judges and what they cost.

        Repeats of a case are no further cases: ``low`` and ``high`` (Wilson's interval) count cases.
        """
        s = _scores.c
        query = (
            select(
                s.name, func.count(s.value), func.avg(s.value), func.sum(case((s.value >= PASS, 1), else_=0)),
                func.sum(case((s.error != "", 1), else_=0)), func.count(distinct(s.judge)), func.max(s.judge),
                func.sum(s.cost_usd), func.count(distinct(s.case)),
            )
            .where(s.run == run_id)
            .group_by(s.name)
            .order_by(s.name)
        )  # fmt: skip
        rows = await self._metadata.read(lambda c: [tuple(row) for row in c.execute(query)])
        found = []
        for name, n, mean, passed, errors, judges, judge, cost, cases in rows:
            counted = min(n, cases)
            low, high = wilson((passed or 0) / n * counted, counted) if n else (None, None)
            found.append({
                "name": name, "n": n, "mean": None if mean is None else float(mean), "passed": int(passed or 0),
                "low": low, "high": high, "errors": int(errors or 0), "judges": judges, "judge": judge,
                "cost_usd": None if cost is None else float(cost), "cases": cases,
            })  # fmt: skip
        return found

    async def results(
        self, run_id: str, *, limit: int = 50, offset: int = 0, failures: bool = False, case_id: str = ""
    ) -> list[dict[str, Any]]:
        """Answers with their scores, the worst first: errors, then by the lowest score; ``failures`` leaves out those
        where nothing is wrong."""
        o, s = _outputs.c, _scores.c
        worst = (
            select(s.case, s.repeat, func.min(s.value).label("low"), func.max(s.error).label("wrong"))
            .where(s.run == run_id, *([s.case == case_id] if case_id else []))
            .group_by(s.case, s.repeat)
            .subquery()
        )
        joined = _outputs.outerjoin(worst, and_(worst.c.case == o.case, worst.c.repeat == o.repeat))
        low, wrong = func.coalesce(worst.c.low, 1.0), func.coalesce(worst.c.wrong, "")
        where = [o.run == run_id, *([o.case == case_id] if case_id else [])]
        if failures:
            where.append(or_(o.error != "", wrong != "", low < PASS))
        first = case((o.error != "", 0), (wrong != "", 1), else_=2)
        query = select(_outputs).select_from(joined).where(*where).order_by(first, low, o.case, o.repeat)

        def read(connection: Connection) -> list[dict[str, Any]]:
            rows = [dict(row) for row in connection.execute(query.limit(limit).offset(offset)).mappings()]
            _with_scores(connection, run_id, rows)
            return rows

        return await self._metadata.read(read)

    async def texts(self, run_id: str) -> dict[tuple[str, int], str]:
        """The text of every answer, by case and repeat."""
        o = _outputs.c
        query = select(o.case, o.repeat, o.output).where(o.run == run_id, o.error == "")
        return await self._metadata.read(
            lambda c: {(one, repeat): Output.from_json(text).text for one, repeat, text in c.execute(query)}
        )

    async def orders(self, run_id: str, name: str) -> dict[str, tuple[float, float]]:
        """What a judge that compares said in either order, by case, of the first answer to each."""
        s = _scores.c
        query = select(s.case, s.detail).where(s.run == run_id, s.name == name, s.repeat == 0, s.error == "")
        query = query.where(s.detail != "").order_by(desc(s.judgement))  # so that the first judgement stays
        rows = await self._metadata.read(lambda c: [(one, msgspec.json.decode(text)) for one, text in c.execute(query)])
        return {one: (float(both[0]), float(both[1])) for one, detail in rows if (both := detail.get("orders"))}

    async def cached(self, run_id: str) -> int:
        """How many answers of a run were not its own: repeats of such a run say nothing about what varies."""
        o = _outputs.c
        query = select(func.count()).where(o.run == run_id, o.cached.is_(True))
        return await self._metadata.read(lambda c: int(c.scalar(query) or 0))


class People:
    """What people said of cases, and what judges were worth beside them."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def add_labels(self, dataset: str, labels: Iterable[tuple[str, Label]]) -> int:
        """Labels with an id each; the first of an id counts. Returns how many are new."""
        rows = {label_id: {"id": label_id, "dataset": dataset, **asdict(label)} for label_id, label in labels}

        def write(connection: Connection) -> int:
            known: set[str] = set()
            for part in _parts(list(rows)):
                known |= set(connection.scalars(select(_labels.c.id).where(_labels.c.id.in_(part))))
            new = [row for label_id, row in rows.items() if label_id not in known]
            if new:
                connection.execute(insert(_labels), new)
            return len(new)

        return await self._metadata.write(write)

    async def labels(self, dataset: str, *, criterion: str | None = None, limit: int = MAX_LABELS) -> list[Label]:
        """The labels of a dataset's cases, oldest first."""
        where = [_labels.c.dataset == dataset, *([_labels.c.criterion == criterion] if criterion is not None else [])]
        columns = [_labels.c[f.name] for f in fields(Label)]
        query = select(*columns).where(*where).order_by(_labels.c.seq).limit(limit)
        return await self._metadata.read(lambda c: [Label(**row) for row in c.execute(query).mappings()])

    async def add_calibration(self, name: str, record: Mapping[str, Any], *, pin: str, dataset: str) -> None:
        """What calibrating a judge gave; ``record`` is it as JSON values, with its ``judge`` and ``time_ns``."""
        row = {"name": name, "judge": record["judge"], "dataset": dataset, "pin": pin, "record": dict(record)}
        row["time_ns"] = record["time_ns"]
        await self._metadata.write(lambda c: c.execute(insert(_calibrations).values(**row)).rowcount)

    async def calibrations(self, name: str) -> list[dict[str, Any]]:
        """The calibrations of a judge's name, oldest first."""
        c = _calibrations.c
        query = select(c.record, c.pin, c.dataset).where(c.name == name).order_by(desc(c.seq)).limit(MAX_CALIBRATIONS)
        rows = await self._metadata.read(lambda connection: [dict(r) for r in connection.execute(query).mappings()])
        return rows[::-1]


def _scored(run: Run, name: str, cases: Mapping[str, Case], rows: Sequence[Any], lost: Sequence[Any]) -> list[Scored]:
    """Rows of scores, and answers that could not be had, as one list in the order of the cases."""
    if name == ALL:
        judge = run.judge
        values = [(one, n, None if wrong else float(low >= PASS), wrong, judge) for one, n, low, wrong in rows]
    else:
        values = [tuple(row) for row in rows]
        judges = {row[4] for row in values}
        judge = judges.pop() if len(judges) == 1 else ""
    # Scorers of single cases owe nothing on the others.
    own = name != ALL and any(s["name"] == name and s.get("own") for s in run.scorers)
    values += [(one, n, None, error, judge) for one, n, error in lost if not own or cases[one].scorers]
    order = {case_id: n for n, case_id in enumerate(cases)}
    found = [
        Scored(case=one, repeat=repeat, value=value, error=error, judge=by,
               cluster=cases[one].group if one in cases else "")
        for one, repeat, value, error, by in values
    ]  # fmt: skip
    return sorted(found, key=lambda score: (order.get(score.case, -1), score.repeat))


def _with_scores(connection: Connection, run_id: str, rows: list[dict[str, Any]]) -> None:
    """Put the scores of each answer, and its case, beside it."""
    s = _scores.c
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    cases: dict[str, str] = {}
    for part in _parts(sorted({row["case"] for row in rows})):
        scores = select(_scores).where(s.run == run_id, s.case.in_(part)).order_by(s.name, s.judgement)
        for score in connection.execute(scores).mappings():
            found.setdefault((score["case"], score["repeat"]), []).append(dict(score))
        asked = select(_cases.c.case, _cases.c.content).where(_cases.c.run == run_id, _cases.c.case.in_(part))
        cases.update((one, content) for one, content in connection.execute(asked))
    for row in rows:
        row["scores"] = [_score(score) for score in found.get((row["case"], row["repeat"]), ())]
        row["asked"] = msgspec.json.decode(cases[row["case"]]) if row["case"] in cases else {}
        row["output"] = msgspec.json.decode(row["output"]) if row["output"] else {}


def _score(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("name", "judgement", "scorer", "value", "error", "reason", "judge", "cost_usd", "cached")
    detail = msgspec.json.decode(row["detail"]) if row["detail"] else {}
    return {**{name: row[name] for name in kept}, "detail": detail}


def _parts(items: Sequence[str]) -> Iterable[Sequence[str]]:
    return (items[start : start + _MANY] for start in range(0, len(items), _MANY))
