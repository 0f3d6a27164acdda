"""A row of the usage ledger."""

from __future__ import annotations

from typing import Literal

import msgspec

from .budgets import DAY_NS

State = Literal["reserved", "settled", "released", "interrupted"]

#: Rows are kept for two whole months, refusals for a week; the sums by day stay. A row that is reserved for longer than
#: any request lasts belongs to a process that is gone.
KEEP_NS, KEEP_REFUSALS_NS, GONE_NS = 62 * DAY_NS, 7 * DAY_NS, DAY_NS // 24


class UsageRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request, or one more attempt of it that was paid for as well (``requests`` 0).

    ``cost_nano`` is billionths of a US dollar, None for a model without a price. ``node`` is the process that holds a
    reservation.
    """

    id: str
    time_ns: int
    key: str = ""
    team: str = ""
    route: str = ""
    model: str = ""
    state: State = "settled"
    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano: int | None = None
    node: str = ""
