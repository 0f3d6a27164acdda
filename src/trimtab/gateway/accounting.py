"""What a request used, once it has ended: tokens, money, and the rows of the ledger. Pure but for what it fills in."""

from __future__ import annotations

import msgspec

from trimtab.core import Usage
from trimtab.providers import COUNT

from .attempt import Attempt, cost_of
from .budgets import NANO
from .estimate import Estimator
from .live import LiveTrace
from .usagerow import UsageRow


class Account(msgspec.Struct, frozen=True, gc=False):
    """Tokens and billionths of a dollar of a request over all its attempts, and its rows of the ledger."""

    tokens: int = 0
    money: int = 0
    rows: tuple[UsageRow, ...] = ()


def account(live: LiveTrace, route: str, estimator: Estimator, *, reserved: bool) -> Account:
    """Add up what was used, and let the estimator learn from it.

    The request has one row, and each earlier attempt that was paid for as well has one of its own. A request that ended
    before any model was asked has none, unless something was ``reserved`` for it. Trimtab's own requests count by model
    only: no budget of a route is for them.
    """
    native = live.ask.native
    if not live.attempts or (native is not None and (native.dialect == COUNT or live.ask.stored is not None)):
        # Counting tokens is free at every vendor, and so is reading what was paid for.
        return Account(rows=(_nothing(live, route),) if reserved else ())
    last = live.attempts[-1]
    for attempt in live.attempts:
        if attempt.estimated and attempt.usage is not None:
            relayed = _relayed(attempt)
            attempt.usage = estimator.refined(route, sent_bytes(live), relayed, attempt.ref, attempt.usage)
    if not last.cache and not last.estimated:
        _learn(last, live, route, estimator)
    key = live.ask.key
    who, team, where = (key.id, key.team, route) if key is not None else ("", "", "")
    tokens = money = 0
    rows: list[UsageRow] = []
    for attempt in live.attempts:
        usage = attempt.usage
        if usage is None and attempt is not last:
            continue
        cost = cost_of(attempt) if usage is not None else 0.0
        amount = None if cost is None else round(cost * NANO)
        usage = usage or _NONE
        tokens += usage.input_tokens + usage.output_tokens
        money += amount or 0
        rows.append(
            UsageRow(
                id=live.trace_id if attempt is last else attempt.span_id,
                time_ns=live.start_ns,
                key=who,
                team=team,
                route=where,
                model=attempt.ref,
                state="released" if usage is _NONE else "settled",
                requests=1 if attempt is last else 0,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cached_tokens=usage.cached_tokens,
                cost_nano=amount,
            )
        )
    return Account(tokens, money, tuple(rows))


def sent_bytes(live: LiveTrace) -> int:
    """The size of what was asked: of the body, or of the messages of a request that did not come over the wire."""
    if not live.size:
        live.size = sum(len(str(message.get("content") or "")) + 30 for message in live.ask.messages)
    return live.size


_NONE = Usage()


def _learn(last: Attempt, live: LiveTrace, route: str, estimator: Estimator) -> None:
    """Where the vendor did not say what an answer used (many servers do not count), give it an estimate: its input from
    what was sent, its output from what was relayed. An attempt that was cut has its estimate already."""
    relayed = _relayed(last)
    if last.usage is not None:
        estimator.learn(route, live.size, last.usage, relayed, last.ref)
    elif last.first_ns and last.error is None:
        last.usage = estimator.counted(route, sent_bytes(live), relayed, last.ref)
        last.estimated = True


def _relayed(attempt: Attempt) -> int:
    """Characters of an answer that came: its text, and the arguments of its tool calls."""
    if not attempt.tool_calls:
        return attempt.relayed
    calls = [call.get("function") or {} for call in attempt.tool_calls]
    return attempt.relayed + sum(len(str(call.get("arguments") or "")) for call in calls)


def _nothing(live: LiveTrace, route: str) -> UsageRow:
    """The row of a request that nothing came of: what was reserved for it is let go."""
    key = live.ask.key
    who, team, where = (key.id, key.team, route) if key is not None else ("", "", "")
    return UsageRow(
        id=live.trace_id, time_ns=live.start_ns, key=who, team=team, route=where,
        state="released", requests=0, cost_nano=0,
    )  # fmt: skip
