"""What the pages need of the house: a Protocol, so that tests and the composition root may each bring their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from trimtab.incidents import Desk
from trimtab.registry import Registry
from trimtab.rollouts import Controller
from trimtab.store import SpanStore
from trimtab.watch import Watch


class House(Protocol):
    """The rooms that the pages read. ``notes`` are sentences shown on every page, such as "Models are simulated"."""

    @property
    def registry(self) -> Registry: ...
    @property
    def spans(self) -> SpanStore: ...
    @property
    def desk(self) -> Desk: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def rollouts(self) -> Controller: ...
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
    def authenticate_admin(self, secret: str, /) -> bool:
        """Whether ``secret`` is the secret of a live admin key."""
        ...
