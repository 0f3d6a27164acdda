"""What the pages need of the house: a Protocol, so that tests and the composition root may each bring their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from trimtab.evals import Online, Runs
from trimtab.evals import Reports as RunReports
from trimtab.gateway import BreakerLog, Keys, Limits, Reports, RouteHealth, Teams
from trimtab.guard import Measuring
from trimtab.guard.approvals import Approvals
from trimtab.guard.budget import Wrong
from trimtab.incidents import Desk
from trimtab.probes import Probes
from trimtab.registry import Registry
from trimtab.review import Reviews
from trimtab.rollouts import Controller
from trimtab.store import Spans
from trimtab.watch import MonitorBook, Watch


class Tenancy(Protocol):
    """What is limited, and what is counted."""

    @property
    def teams(self) -> Teams: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def reports(self) -> Reports: ...


class Guarding(Protocol):
    """What people do about the guard."""

    @property
    def approvals(self) -> Approvals: ...
    @property
    def measuring(self) -> Measuring: ...
    @property
    def wrong(self) -> Wrong: ...


class House(Protocol):
    """The rooms that the pages read. ``notes`` are sentences shown on every page, such as "Models are simulated"."""

    @property
    def registry(self) -> Registry: ...
    @property
    def spans(self) -> Spans: ...
    @property
    def desk(self) -> Desk: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def probes(self) -> Probes: ...
    @property
    def monitors(self) -> MonitorBook: ...
    @property
    def rollouts(self) -> Controller: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def reports(self) -> RunReports: ...
    @property
    def reviews(self) -> Reviews: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def tenancy(self) -> Tenancy: ...
    @property
    def guarding(self) -> Guarding: ...
    @property
    def started_ns(self) -> int: ...
    @property
    def clock(self) -> Callable[[], int]: ...
    @property
    def admin_required(self) -> bool: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def details(self) -> Sequence[str]:
        """What is not as it should be and does not keep requests from being served, a sentence each."""
        ...

    @property
    def online(self) -> Online: ...
    @property
    def scoring_note(self) -> str:
        """What a reader of the judge's scores has to know, a sentence; "" in quiet times."""
        ...

    def health(self) -> Sequence[RouteHealth]:
        """The routes as all processes that serve them see them."""
        ...

    def figures(self) -> Mapping[str, float]:
        """What was refused and what had to wait, in all processes."""
        ...

    @property
    def breakers(self) -> BreakerLog:
        """How the breakers stood over the last hours."""
        ...

    def loop_lag(self) -> Mapping[str, float]:
        """Seconds by which the event loops were late at most within the last minute, by kind of process."""
        ...

    def reaches(self, owner: str, /) -> bool:
        """Whether an owner of monitors has a channel by which they are told."""
        ...

    def authenticate_admin(self, secret: str, /) -> bool:
        """Whether ``secret`` is the secret of a live admin key."""
        ...
