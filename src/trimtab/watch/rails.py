"""How often each rail of the guard finds something, slice by slice: told beside the requests before. Pure.

One rate for all rules hides a rail that went mad behind one that fell asleep. A rail is known from its first finding
on: the trace names what found something, not what looked and found nothing.
"""

from __future__ import annotations

from .measured_texts import findings_in
from .observation import Observation
from .signals import MOST_RAILS, RAILS
from .told import Told
from .traffic import Traffic

#: Projects that are told apart.
_PROJECTS = 64
#: Characters of a rule's name.
_NAME = 60
_NOTHING: frozenset[str] = frozenset()


class Rails:
    """Reads requests in their order."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, None]] = {}

    def read(self, seen: Traffic, one: Observation, found: list[Told]) -> None:
        """Add a value for each known rail to ``found``: 1 when it found nothing. The finding that makes a rail known is
        none, for of what came before it nobody counted the requests."""
        root = seen.root
        if not root.stamp.guard or seen.limited:
            return
        known = self._known.get(root.project)
        flagged = _NOTHING
        for span in seen.spans:
            if span.kind == "guardrail":
                flagged = frozenset(str(each.get("rule", ""))[:_NAME] for each in findings_in(seen))
                break
        if known is None:
            if not flagged or len(self._known) >= _PROJECTS:
                return
            known = self._known[root.project] = {}
        for rail in known:
            slice_name = f"{rail}, {one.slice}" if one.slice else rail
            found.append(Told(RAILS, root.project, Observation(one.served, slice_name, float(rail not in flagged))))
        for rail in sorted(flagged - known.keys() - {""}):
            if len(known) < MOST_RAILS:
                known[rail] = None
