"""Whether the judge fails what a check has failed: told from the scores alone. Pure.

A judge that turned lenient, or gives everybody the same verdict, makes all figures look good. Answers that became worse
cannot look like that: of those whose words stand in no passage it would fail as many as before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from .observation import Observation

#: The check whose failures a judge is to share. One that fails for form alone would say less.
OF_CHECK = "grounded"
#: Answers with a failed check that are remembered until their verdicts come.
_MOST = 20_000


class Firmness:
    """The verdicts on answers that failed the check, each a value: 1 when the judge failed it too."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, None] = OrderedDict()

    def failed(self, trace_id: str) -> None:
        """The check found fault with this answer."""
        self._failed[trace_id] = None
        if len(self._failed) > _MOST:
            self._failed.popitem(last=False)

    def read(self, verdicts: Sequence[Observation]) -> Iterator[Observation]:
        """The values that verdicts bring, in their order."""
        if not self._failed:
            return
        for one in verdicts:
            if one.served.trace_id in self._failed:
                del self._failed[one.served.trace_id]
                yield Observation(one.served, one.slice, float(one.value < 0.5))
