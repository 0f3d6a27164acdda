"""A run as it stands, and what its log is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .scorer import short_digest

#: The score that is 1 when all others of an answer are passes; no scorer may be named so.
ALL = "all"
RUNNING, WAITING, DONE, STOPPED, FAILED = "running", "waiting", "done", "stopped", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as it stands. ``state`` is waiting, running, done, stopped (by somebody or by its cost) or failed.

    ``dataset`` is the pin of the cases' version, ``digest`` that of the cases. ``scorers`` holds name, digest and judge
    of each. ``progress`` is what was counted so far, see ``Progress``.
    """

    id: str
    name: str
    state: str
    reason: str = ""
    actor: str = ""
    time_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    plan: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = ""
    digest: str = ""
    scorers: Sequence[Mapping[str, str]] = ()
    progress: Mapping[str, Any] = field(default_factory=dict)

    @property
    def judge(self) -> str:
        """The digest of all judges together; empty when only code scored."""
        digests = sorted({scorer["judge"] for scorer in self.scorers if scorer["judge"]})
        return digests[0] if len(digests) == 1 else short_digest(digests) if digests else ""


def kind_of(run: Run) -> str:
    """The kind of the dataset that a run's cases are from: golden, adversarial, ...; "" for one of no kind."""
    return str(run.plan.get("kind", ""))


class Logged(NamedTuple):
    """What a run has already: its answers, and by answer and judgement the scorers that have spoken."""

    outputs: set[tuple[str, int]]
    scores: dict[tuple[str, int, int], set[str]]
    lost_usd: float = 0.0  # what was paid for answers and verdicts that failed and are tried again


class Earlier(NamedTuple):
    """What was paid for before, by key."""

    outputs: dict[str, str]
    scores: dict[str, list[Mapping[str, Any]]]
