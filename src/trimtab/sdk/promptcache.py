"""Prompts that were loaded: kept for a minute, and served stale when the server is away."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trimtab.core import Address

from .connection import Unreachable
from .livespan import Sticky
from .settings import Settings

if TYPE_CHECKING:
    from .prompts import Prompt

_LOG = logging.getLogger("trimtab")
#: Callers whose arm is remembered while a version is rolled out, addresses, and contents of one address.
_CALLERS, _PLACES, _CONTENTS = 10_000, 1_000, 4
NOBODY = Sticky()

#: Prompts by the digest of their content: what need not be sent again.
Known = Mapping[str, "Prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the server serves a caller. ``sticky`` is what the draw of a running rollout goes by; empty without one."""

    prompt: Prompt
    digest: str = ""
    sticky: str = ""


@dataclass(slots=True)
class _Place:
    """What is known of one address: what everybody gets, or the base of a running rollout."""

    prompt: Prompt
    time: float
    rolling: bool
    contents: OrderedDict[str, Prompt]


class PromptCache:
    """Keeps what ``fetch`` brought for ``fresh`` seconds, and longer while the server does not answer.

    A prompt by number never changes and is kept for good. While a version is rolled out, what is kept is kept for each
    caller. ``clock`` gives seconds.
    """

    def __init__(
        self,
        fetch: Callable[[Settings, Address, Sticky, Known], Served],
        *,
        fresh: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._fresh, self._clock = fetch, fresh, clock
        self._places: dict[tuple[str, Address], _Place] = {}
        self._callers: OrderedDict[tuple[str, Address, Sticky], tuple[Prompt, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._stale_said = False

    def get(self, settings: Settings, address: Address, who: Sticky = NOBODY) -> Prompt:
        """The prompt, fetched when it is not fresh. Raises what ``fetch`` raises when nothing is kept."""
        where = (settings.url, address)
        with self._lock:
            place = self._places.get(where)
            own = self._own(where, who) if place and place.rolling else None
        if (kept := self._fresh_one(address, place, own)) is not None:
            return kept
        try:
            served = self._fetch(settings, address, who, dict(place.contents) if place else {})
        except Unreachable as error:
            if place is None:
                raise
            self._say(error)
            return self._stale(where, who, place, own)
        self._stale_said = False
        self._keep(where, who, served)
        return served.prompt

    def forget(self) -> None:
        """Drop everything kept."""
        with self._lock:
            self._places.clear()
            self._callers.clear()

    def _own(self, where: tuple[str, Address], who: Sticky) -> tuple[Prompt, float] | None:
        """What this caller got: by the whole of who it is, or by its session or user whatever the request."""
        return self._callers.get((*where, who)) or self._callers.get((*where, who._replace(request="")))

    def _fresh_one(self, address: Address, place: _Place | None, own: tuple[Prompt, float] | None) -> Prompt | None:
        if place is None:
            return None
        if address.number:
            return place.prompt
        now = self._clock()
        if place.rolling:
            return own[0] if own and now - own[1] < self._fresh else None
        return place.prompt if now - place.time < self._fresh else None

    def _keep(self, where: tuple[str, Address], who: Sticky, served: Served) -> None:
        now, prompt = self._clock(), served.prompt
        everybody = replace(prompt, rollout="", arm="")
        with self._lock:
            place = self._places.get(where)
            if place is None:
                while len(self._places) >= _PLACES:
                    self._places.pop(next(iter(self._places)))
                place = self._places[where] = _Place(everybody, now, False, OrderedDict())
            # While the server is away, a caller that it has not drawn yet is safest with the base.
            if prompt.arm != "candidate":
                place.prompt = everybody
            place.time, place.rolling = now, bool(served.sticky)
            if served.digest:
                place.contents[served.digest] = everybody
                while len(place.contents) > _CONTENTS:
                    place.contents.popitem(last=False)
            if served.sticky and served.sticky != "request":
                self._remember(where, who._replace(request="") if who.session or who.user else who, prompt, now)

    def _stale(
        self, where: tuple[str, Address], who: Sticky, place: _Place, own: tuple[Prompt, float] | None
    ) -> Prompt:
        """What is kept counts as fresh again, so that an absent server is not asked by every call."""
        prompt, now = own[0] if own else place.prompt, self._clock()
        with self._lock:
            place.time = now
            if place.rolling:
                self._remember(where, who._replace(request=""), prompt, now)
        return prompt

    def _remember(self, where: tuple[str, Address], who: Sticky, prompt: Prompt, now: float) -> None:
        self._callers[*where, who] = (prompt, now)
        self._callers.move_to_end((*where, who))
        while len(self._callers) > _CALLERS:
            self._callers.popitem(last=False)

    def _say(self, error: Unreachable) -> None:
        if not self._stale_said:
            self._stale_said = True
            _LOG.warning("trimtab: %s; prompts are served from memory until it does.", error.message)
