"""Responses that go on from an earlier one which their provider keeps, and the ids that clients know them by."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trimtab.core import BadInput, Call, Chunk, ModelError, TrimtabError, Usage, evolve
from trimtab.guard import Policy
from trimtab.providers import ended

from .attempt import Attempt, Candidate
from .background import free_if_failed, pay, still_made
from .handles import Handle
from .live import LiveTrace

if TYPE_CHECKING:
    from .gates import Asking
    from .gateway import Gateway
    from .prepared import Prepared

_ITEMS = 'Send the earlier items in input. With store=false and include=["reasoning.encrypted_content"] they are whole.'


class PreviousNotFound(BadInput):
    """OpenAI's own answer to an id that it does not know, status included."""

    code = "previous_response_not_found"

    def __init__(self, ident: object) -> None:
        super().__init__(
            f"Previous response with id {str(ident)[:200]!r} not found.",
            field="previous_response_id",
            mend=f"An id holds for the key that it was given to, at a provider that keeps responses. {_ITEMS}",
        )


def previous_of(gateway: Gateway, call: Call, live: LiveTrace) -> Handle | None:
    """The response that a request goes on from; None where it names none. Raises PreviousNotFound."""
    ident = call.native.body.get("previous_response_id") if call.native is not None else None
    if ident is None:
        return None
    key = live.ask.key
    handle = gateway.handles.read(key, ident) if key is not None else None
    if handle is None:
        raise PreviousNotFound(ident)
    live.kept = {"previous_response_id": str(ident)}
    return handle


def able(
    gateway: Gateway, candidates: tuple[Candidate, ...], previous: Handle | None, live: LiveTrace
) -> tuple[Candidate, ...]:
    """Those that can be asked: at the account that keeps the previous response, or at any that works in the
    background. Raises BadInput where there is none."""
    if previous is not None:
        account = previous.account
        found = tuple([each for each in candidates if each.ref.partition("/")[0] == account])
        if not found:
            raise BadInput(
                f"was made by {previous.ref}, and {live.route!r} has no model of {account}, which alone keeps it.",
                field="previous_response_id",
                mend=f"Ask for {account}/ and a model. {_ITEMS}",
            )
        candidates = found
    if live.ask.background:
        found = tuple([each for each in candidates if gateway.providers.keeps(each.ref)])
        if not found:
            raise BadInput(
                f"is not possible: no model of {live.route!r} is at a provider that speaks the Responses API itself.",
                field="background",
                mend="Leave it out, and use stream alone for a long answer.",
            )
        candidates = found
    return candidates


def refuse_unread(ready: Prepared, previous: Handle | None, live: LiveTrace) -> None:
    """Raise BadInput where the policy reads what comes in, and the earlier turns came in under another one: what is
    said on a route that reads nothing must not be gone on from on one that does."""
    policy = ready.policy
    if previous is None or policy is None or (policy.idle("input") and policy.flows is None):
        return
    if previous.guard != guard_of(live):
        raise BadInput(
            f"was made under the policy {previous.guard or '(none)'}, and {guard_of(live)}, which is on duty here, has "
            "not read the turns before it.",
            field="previous_response_id",
            mend=f"Ask a route with the same policy. {_ITEMS}",
        )


def guard_of(live: LiveTrace) -> str:
    """The policy on duty, by its name; empty where there is none."""
    return live.stamp.guard.rpartition("/")[0]


def renamed(error: TrimtabError, ident: str, own: str) -> TrimtabError:
    """The error with the client's own id in place of the account's."""
    error.message = error.message.replace(ident, own)
    error.args = (error.message,)
    return error


def judges(policy: Policy | None) -> bool:
    """Whether a policy says what tools may do. One that only has the usual checks lets pass, flagged at most, what it
    knows too little of."""
    rules = policy.actions if policy is not None else None
    if rules is None:
        return False
    return bool(rules.tools) or rules.unnamed != "check" or rules.intent or rules.plan == "required"


def refuse_unjudged(ready: Prepared, call: Call, previous: Handle | None, live: LiveTrace) -> None:
    """Raise BadInput where the guard judges calls of tools by what was read before, and what was read is not sent."""
    if (previous is None and not live.ask.background) or not call.params.get("tools"):
        return
    if judges(ready.policy) or live.ask.plan is not None:
        raise BadInput(
            "is not possible with tools here: the guard judges their calls by the whole conversation.",
            field="background" if previous is None else "previous_response_id",
            mend="Leave background out." if previous is None else _ITEMS,
        )


def refuse_kept(call: Call) -> None:
    """Raise BadInput where a request needs what only its provider keeps, and several models are to answer it."""
    body = call.native.body if call.native is not None else {}
    for field in ("previous_response_id", "background"):
        if body.get(field):
            why = "is not possible on a route whose models plan: what is sent is all that they know."
            raise BadInput(why, field=field, mend="Leave it out, and send the earlier items in input.")


class Continued:
    """The models of a route for a client of the Responses API: what they keep gets ids of this client's own.

    ``log`` is the attempts' own. Nothing is asked twice in another form (``call.native`` None) where there is a
    previous response, since only the account that keeps it knows what was said before.
    """

    def __init__(
        self, gateway: Gateway, inner: Asking, log: Sequence[Attempt], live: LiveTrace, previous: Handle | None
    ) -> None:
        self._gateway = gateway
        self._inner = inner
        self._log = log
        self._live = live
        self._previous = previous
        self._said: list[Chunk] = []

    async def __call__(self, call: Call) -> AsyncGenerator[Chunk]:
        if call.native is None and self._previous is not None:
            for chunk in self._said:
                yield chunk
            return
        live = self._live
        try:
            async with aclosing(self._inner(self._asked(call))) as coming:
                async for chunk in coming:
                    native = chunk.native
                    if native is not None and isinstance(response := native.get("response"), Mapping):
                        chunk = evolve(chunk, native={**native, "response": self._own(response)})
                        if live.ask.background:
                            await self._heard(response, over=chunk.finish is not None)
                    if self._previous is not None:
                        self._said.append(chunk)
                    yield chunk
        except TrimtabError as error:
            raise self._told(error) from error.__cause__
        finally:
            if live.pending:  # whoever sees its end pays it, so this request has used nothing
                self._log[-1].usage, self._log[-1].estimated = None, False

    async def _heard(self, response: Mapping[str, Any], *, over: bool) -> None:
        """What a stream in the background says of the response: that it is made, or that it has ended, and is paid."""
        live = self._live
        if not over:
            self._begun()
            return
        attempt = self._log[-1]
        free_if_failed(attempt, response)
        news = await pay(self._gateway, live, attempt, live.trace_id, live.start_ns)
        if news is None:
            return
        live.pending, live.paid = False, True
        if not news:  # somebody else has seen it end, and paid
            attempt.usage = Usage()
        if response.get("status") == "failed":
            code = str((response.get("error") or {}).get("code") or "without a reason")
            live.failed(ModelError(f"{attempt.ref} failed in the background: {code[:100]}."))

    def _begun(self) -> None:
        """The response is made from here on, whoever listens. Said once: it may be ended beside a stream of it."""
        if not self._live.pending:
            self._live.pending = True
            self._gateway.limits.late.keep(self._live.trace_id)

    async def whole(self, call: Call) -> Chunk:
        """The answer as one piece. One that is made in the background is not there yet."""
        if call.native is None and self._previous is not None:
            return self._said[0]
        try:
            chunk = await self._inner.whole(self._asked(call))
        except TrimtabError as error:
            raise self._told(error) from error.__cause__
        if chunk.native is not None:
            if self._live.ask.background and not ended(chunk.native):
                self._begun()
            chunk = evolve(chunk, native=self._own(chunk.native))
        self._said = [chunk]
        return chunk

    def _asked(self, call: Call) -> Call:
        """The call with the account's own id."""
        if self._previous is None or call.native is None:
            return call
        body = {**call.native.body, "previous_response_id": self._previous.ident}
        return evolve(call, native=replace(call.native, body=body))

    def _own(self, response: Mapping[str, Any]) -> Mapping[str, Any]:
        """A response with the ids that this client may know."""
        live, key = self._live, self._live.ask.key
        own = dict(response)
        if self._previous is not None:
            own["previous_response_id"] = live.kept["previous_response_id"]
        ident = response.get("id")
        if key is None or not isinstance(ident, str) or not ident:
            return own
        if live.cache == "hit":  # the account keeps what others asked: nobody goes on from that, or reads it
            return own | {"id": f"resp_{live.trace_id}", "store": False}
        background, native = live.ask.background, live.ask.native
        stored = response.get("store") is not False and (native is None or native.body.get("store") is not False)
        if stored or background:
            trace, time_ns = (live.trace_id, live.start_ns) if background else ("", 0)
            hid = live.vault is not None
            handle = Handle(self._log[-1].ref, live.ask.model, ident, trace, time_ns, guard_of(live), hid)
            own["id"] = self._gateway.handles.write(key, handle)
            live.kept = {**live.kept, "response_id": own["id"]}
        return own

    def _told(self, error: TrimtabError) -> TrimtabError:
        """The error as this client may understand it."""
        previous = self._previous
        if self._live.pending:
            still_made(error, self._live.kept.get("response_id", "it"))
        if previous is None:
            return error
        if previous.ident in error.message:
            ident = self._live.kept["previous_response_id"]
            if "not found" in error.message.lower():  # the account has forgotten it
                return PreviousNotFound(ident)
            return renamed(error, previous.ident, ident)
        if error.retryable and not self._live.pending:
            error.mend = (
                f"Only the account {previous.account} knows the earlier turns, so no other target can answer. Ask "
                f"again later. Or: {_ITEMS}"
            )
        return error
