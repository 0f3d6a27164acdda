"""The end of a response that its provider made in the background: paid for once, by whoever sees it first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab.core import Overloaded, TrimtabError, Usage

from .attempt import Attempt, cost_of
from .budgets import NANO
from .live import LiveTrace
from .usage import ANSWER_S
from .usagerow import UsageRow

if TYPE_CHECKING:
    from .gateway import Gateway

log = logging.getLogger("trimtab.gateway")


async def pay(gateway: Gateway, live: LiveTrace, attempt: Attempt, trace: str, time_ns: int) -> bool | None:
    """Charge what the response of the request ``trace`` used, which has ended; as it was reserved where ``attempt`` has
    no usage. Whether that was news; None where the ledger does not answer: whoever sees the end next pays it then, or
    its time runs out."""
    usage, key = attempt.usage, live.ask.key
    cost = cost_of(attempt)
    used = usage or Usage()
    row = UsageRow(
        id=trace, time_ns=time_ns, key=key.id if key else "", team=key.team if key else "", route=live.route,
        model=attempt.ref, state="interrupted" if usage is None else "settled", input_tokens=used.input_tokens,
        output_tokens=used.output_tokens, cached_tokens=used.cached_tokens,
        cost_nano=None if cost is None else round(cost * NANO),
    )  # fmt: skip
    try:
        async with asyncio.timeout(ANSWER_S):
            return await gateway.limits.late.end(row)
    except (Overloaded, TimeoutError) as error:
        log.warning("The background response of %s is not settled yet: %s", trace, error)
        return None


def free_if_failed(attempt: Attempt, response: Mapping[str, Any]) -> None:
    """A response that failed without saying what it used is free."""
    if attempt.usage is None and response.get("status") == "failed":
        attempt.usage = Usage()


def still_made(error: TrimtabError, ident: str) -> TrimtabError:
    """The error that broke off what was told of a response, which its provider has all the same."""
    if error.retryable:
        error.mend = f"Nothing is lost: fetch {ident}, with stream and starting_after or without."
    return error
