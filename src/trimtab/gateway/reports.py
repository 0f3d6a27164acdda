"""What was used and what was refused, for people and the control API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from trimtab.core import BadInput, NotFound, now_ns
from trimtab.store import Metadata

from . import records
from .budgets import DAY_NS, dollars
from .keys import PREFIX, Key
from .limits import Limits
from .limitset import LimitSet, read_limits
from .usage import Ledger

GROUPS = ("day", "key", "team", "route", "model")
#: Days that one question may span, rows that one answer has, and how many refusals.
MOST_DAYS, MOST_ROWS, MOST_REFUSALS = 400, 1000, 500


class Reports:
    """Reads the sums by day and the refusals; what waits to be written is written first, so nothing is missing."""

    def __init__(
        self, metadata: Metadata, *, ledger: Ledger, limits: Limits, clock: Callable[[], int] = now_ns
    ) -> None:
        self._metadata = metadata
        self._ledger = ledger
        self._limits = limits
        self._clock = clock

    async def usage(self, by: Sequence[str], where: Mapping[str, str], days: int) -> list[dict[str, Any]]:
        """Sums of the last ``days`` days (UTC, today included) by some of GROUPS. Raises BadInput."""
        for name in by:
            if name not in GROUPS:
                raise BadInput(f"cannot group by {name[:40]!r}.", field="by", mend=f"Use some of {', '.join(GROUPS)}.")
        if not by or len(set(by)) != len(by):
            raise BadInput("is empty or names one thing twice.", field="by", mend=f"Use some of {', '.join(GROUPS)}.")
        if not 1 <= days <= MOST_DAYS:
            raise BadInput(f"must be from 1 to {MOST_DAYS}.", field="days")
        today = self._clock() // DAY_NS
        span = (today - days + 1, today)
        await self._ledger.flush()
        rows = await self._metadata.read(lambda c: records.usage_by(c, by, where, span, MOST_ROWS))
        return [_shown(row) for row in rows]

    async def of_key(self, key: Key, days: int) -> dict[str, Any]:
        """All about one key: its limits and where they stand, its usage by day, by model and by route."""
        limits = read_limits({name: value for name, value in key.limits.items() if name != "routes"})
        shown = await self._of("key", key.id, limits, days)
        since_ns = (self._clock() // DAY_NS - days + 1) * DAY_NS
        refused = await self._metadata.read(lambda c: records.count_refusals(c, key.id, since_ns))
        return {"key": key.id, "name": key.name, "limits": dict(key.limits), **shown, "refused": refused}

    async def of_team(self, name: str, days: int) -> dict[str, Any]:
        """The same of a team."""
        shown = await self._of("team", name, self._limits.teams.limits(name), days)
        limits = dict(self._limits.teams.list()).get(name, {})
        return {"team": name, "limits": dict(limits), **shown}

    async def refusal(self, refusal_id: str) -> dict[str, Any]:
        """One refusal with the checks that led to it; of how an unknown key begins, the newest. Raises NotFound."""
        if refusal_id.startswith("tt-"):
            latest, _ = await self.refusals({"key": refusal_id[:PREFIX]}, "", 1)
            if not latest:
                raise NotFound(
                    f"No request with an unknown key that begins with {refusal_id[:PREFIX]!r} is kept.",
                    field="id",
                    mend="The first seven characters are asked for; of a flood of such requests only some are kept.",
                )
            return latest[0]
        await self._ledger.flush()
        found = await self._metadata.read(lambda c: records.read_refusal(c, refusal_id))
        if found is None:
            raise NotFound(
                f"No refusal of a request {refusal_id[:64]!r} is kept.",
                field="id",
                mend="Give the x-trimtab-trace-id of a request that was refused within the last seven days.",
            )
        return found

    async def refusals(self, where: Mapping[str, str], cursor: str, limit: int) -> tuple[list[dict[str, Any]], str]:
        """Refusals, newest first, and the cursor of those before them (empty: no more). Raises BadInput."""
        if not 1 <= limit <= MOST_REFUSALS:
            raise BadInput(f"must be from 1 to {MOST_REFUSALS}.", field="limit")
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20):
            raise BadInput("is no cursor.", field="cursor", mend="Use one that a list gave.")
        before_ns = int(cursor) if cursor else (1 << 63) - 1
        await self._ledger.flush()
        found = await self._metadata.read(lambda c: records.read_refusals(c, where, before_ns, limit))
        return found, str(found[-1]["time_ns"]) if len(found) == limit else ""

    async def _of(self, scope: str, who: str, limits: LimitSet, days: int) -> dict[str, Any]:
        where = {scope: who}
        by_day = await self.usage(["day"], where, days)
        totals = {name: sum(row[name] for row in by_day) for name in by_day[0] if name != "day"} if by_day else {}
        return {
            "budget": await self._limits.levels(scope, who, limits),
            "totals": totals,
            "by_day": by_day,
            "by_model": await self.usage(["model"], where, days),
            "by_route": await self.usage(["route"], where, days),
        }


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of sums as people read it: dates and dollars. ``unpriced`` requests are not in ``cost_usd``."""
    shown = {name: value for name, value in row.items() if name != "cost_nano"}
    if "day" in shown:
        shown["day"] = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=shown["day"])).strftime("%Y-%m-%d")
    return {**shown, "cost_usd": dollars(row["cost_nano"])}
