"""The pytest plugin: a fixture that evaluates a program, and outcomes that a test suite understands.

Nothing happens unless a test asks for the fixture ``trimtab_eval``; until then only this file is loaded.

    def test_support(trimtab_eval):
        done = trimtab_eval.run("support", "cases.jsonl", answer, ["exact", {"kind": "max_words", "words": 80}])
        done.check(floor=0.9)

``--trimtab-data FOLDER`` keeps the runs, so that ``done.check(max_drop=0.03)`` compares with the last one and
``trimtab eval list --data FOLDER`` shows them. Without it they live as long as the test session.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trimtab.evals import Evaluated, Local


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option."""
    group = parser.getgroup("trimtab")
    group.addoption("--trimtab-data", default="", metavar="FOLDER", help="keep evaluation runs in this data folder")


class Done:
    """A run that has ended, for a test."""

    def __init__(self, evaluated: Evaluated) -> None:
        self.evaluated = evaluated
        self.run = evaluated.run

    def rate(self, score: str = "all") -> float:
        """The share of passes."""
        return float(_wait(self.evaluated.rate(score)).value)

    def check(self, *, score: str = "all", floor: float | None = None, max_drop: float = 0.05) -> None:
        """Fail the test when the gate fails, skip it when it cannot tell. Without ``floor`` the last run before this
        one is the baseline; where there is none, this one becomes it."""
        if floor is None and _wait(self.evaluated.before()) is None:
            return
        result = _wait(self.evaluated.gate(score=score, floor=floor, max_drop=max_drop))
        if result.exit_code == 1:
            pytest.fail(f"{self.run.name}: {result.why}", pytrace=False)
        if result.exit_code == 2:
            pytest.skip(f"{self.run.name}: cannot tell yet: {result.why}")


class Evaluator:
    """What the fixture gives: runs in a data folder."""

    def __init__(self, local: Local) -> None:
        self.local = local

    def run(self, name: str, cases: Any, answer: Any, scorers: Any, **options: Any) -> Done:
        """Evaluate ``answer``, an async function ``(case) -> str``; see ``trimtab.evals.Local.run``."""
        return Done(_wait(self.local.run(name, cases, answer, scorers, **options)))


@pytest.fixture(scope="session")
def trimtab_eval(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluator]:
    """Evaluations in this test session."""
    # house: import because a plugin is loaded with every pytest run, used or not
    from trimtab.evals import Local

    folder = request.config.getoption("--trimtab-data") or tmp_path_factory.mktemp("trimtab")
    with Local.open(Path(folder)) as local:
        yield Evaluator(local)


def _wait(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine, in a loop of its own: the test may have one running."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append((asyncio.run(work), None))
        except BaseException as error:  # house: except because it is raised in the test that waits
            found.append((None, error))

    thread = threading.Thread(target=run, name="trimtab-eval")
    thread.start()
    thread.join()
    result, error = found[0]
    if error is not None:
        raise error
    return result
