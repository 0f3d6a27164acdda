"""A run that a test kills: ``run_me.py FOLDER CASES``. Every finished call is a line in FOLDER/calls."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from trimtab.evals import Case, Output, RunLog, Runner, Settings, make_scorers
from trimtab.evals.dataset import Dataset
from trimtab.evals.run_record import RUNNING, Run
from trimtab.store import Metadata

RUN = "run_killed"


class Counted:
    """Answers after a moment, and writes down that it did before anybody sees the answer."""

    digest = "counted"

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def __call__(self, case: Case, repeat: int) -> Output:
        await asyncio.sleep(0.002)
        os.write(self._file, f"{case.id} {repeat}\n".encode())
        return Output(text=f"it is {case.id[1:]}", question=case.input, cost_usd=0.001)


async def main(folder: Path, count: int) -> None:
    metadata = Metadata.open(folder / "metadata.db")
    log = RunLog(metadata)
    dataset = Dataset.of("killed", [Case(id=f"c{n}", input=f"q {n}", expected=f"{n % 7}") for n in range(count)])
    scorers = make_scorers(["numeric", {"kind": "contains", "text": "it is"}], None)  # type: ignore[arg-type]
    if not await log.recent():
        await log.add(Run(id=RUN, name="killed", state=RUNNING, digest=dataset.digest), dataset.cases)
    runner = Runner(
        cases=dataset.cases,
        target=Counted(folder / "calls"),
        scorers=scorers,
        settings=Settings(concurrency=8, repeats=2),
        run_id=RUN,
        log=log,
        journal=folder / "journal",
    )
    progress = await runner()
    metadata.close()
    print(progress.done, progress.before, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
