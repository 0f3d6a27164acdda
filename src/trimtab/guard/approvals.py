"""The queue of tool calls that a person must decide: each has a deadline, and what nobody decides is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from trimtab.core import BadInput, Conflict, NotFound, actor_of, body_as, new_id, now_ns
from trimtab.store import Metadata

from . import records
from .actions import ToolCall

State = Literal["waiting", "approved", "refused", "expired", "used"]
SECOND = 1_000_000_000
#: Approvals in one listing, and for how long a past one is kept.
MOST = 500
_KEEP_NS = 90 * 86_400 * SECOND
_NOTE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One tool call that waits, or waited, for a person. Times are nanoseconds since 1970 UTC."""

    id: str
    conversation: str
    digest: str
    tool: str
    arguments: Mapping[str, Any]
    reasons: Sequence[str] = ()
    route: str = ""
    user: str = ""
    policy: str = ""
    trace_id: str = ""
    state: State = "waiting"
    time_ns: int = 0
    deadline_ns: int = 0
    decided_ns: int = 0
    by: str = ""
    note: str = ""

    def at(self, now: int) -> Approval:
        """As it is at a time: one that nobody decided or used until its deadline is expired."""
        late = self.state in ("waiting", "approved") and now >= self.deadline_ns
        return replace(self, state="expired") if late else self

    def shown(self) -> dict[str, Any]:
        """As the control API shows it."""
        return {**asdict(self), "arguments": dict(self.arguments), "reasons": list(self.reasons)}


class Approvals:
    """The queue, in the metadata database, so that every process sees it."""

    def __init__(self, metadata: Metadata, clock: Callable[[], int] = now_ns) -> None:
        self._metadata = metadata
        self._clock = clock

    async def ask(
        self, call: ToolCall, *, conversation: str, reasons: Sequence[str], wait: float, **more: Any
    ) -> Approval:
        """Put a call into the queue; the same call of a conversation waits once. ``wait`` is seconds, ``more`` are
        route, user, policy and trace_id. What was refused stays refused until its deadline."""
        now = self._clock()
        fresh = Approval(
            id=new_id("apr"), conversation=conversation, digest=call.digest, tool=call.tool,
            arguments=dict(call.arguments), reasons=tuple(reasons),
            time_ns=now, deadline_ns=now + int(wait * SECOND), **more,
        )  # fmt: skip

        row = await self._metadata.write(lambda c: records.place_approval(c, fresh.shown(), now - _KEEP_NS))
        return _approval(row)

    async def take(self, conversation: str, digest: str) -> Approval | None:
        """Use the approval of a call up, if there is one: it lets the call through once."""
        now = self._clock()
        found = await self._metadata.read(lambda c: records.latest_approval(c, conversation, digest))
        if found is None or _approval(found).at(now).state != "approved":
            return None
        approval = _approval(found)
        used = await self._metadata.write(
            lambda c: records.move_approval(c, approval.id, "approved", {"state": "used"})
        )
        return replace(approval, state="used") if used else None

    async def decide(self, approval_id: str, *, approve: bool, by: str, note: str = "") -> Approval:
        """Approve or refuse. Raises NotFound, and Conflict for one that was decided or whose deadline has passed."""
        found = await self.find(approval_id)
        if found.state != "waiting":
            said = "its deadline has passed" if found.state == "expired" else f"it is {found.state} already"
            raise Conflict(f"{said}.", field="id", mend="The client may ask again.")
        state: State = "approved" if approve else "refused"
        values = {"state": state, "decided_ns": self._clock(), "by": by, "note": note[:_NOTE]}
        if not await self._metadata.write(lambda c: records.move_approval(c, approval_id, "waiting", values)):
            raise Conflict("it was decided by somebody else just now.", field="id", mend="Look at it again.")
        return await self.find(approval_id)

    async def find(self, approval_id: str) -> Approval:
        """One as it is now. Raises NotFound."""
        found = await self._metadata.read(lambda c: records.read_approval(c, approval_id))
        if found is None:
            raise NotFound(f"there is no approval {approval_id[:60]!r}", field="id", mend="List them.")
        return _approval(found).at(self._clock())

    async def list(self, *, every: bool = False, limit: int = 100) -> list[Approval]:
        """Those that wait, the most urgent first; ``every`` for the newest of all states."""
        now, limit = self._clock(), max(1, min(limit, MOST))
        rows = await self._metadata.read(
            lambda c: records.read_approvals(c, limit) if every else records.waiting_approvals(c, now, limit)
        )
        return [_approval(row).at(now) for row in rows]


def _approval(row: Mapping[str, Any]) -> Approval:
    return Approval(**{**row, "reasons": tuple(row["reasons"])})


def approval_routes(approvals: Approvals) -> list[Route]:
    """``GET /api/approvals`` lists, ``GET /api/approvals/{id}`` shows, ``POST /api/approvals/{id}`` decides."""

    async def listing(request: Request) -> JSONResponse:
        state = request.query_params.get("state", "waiting")
        if state not in ("waiting", "all"):
            raise BadInput(f"{state!r} is not known", field="state", mend="Use waiting or all.")
        try:
            limit = int(request.query_params.get("limit", "100"))
        except ValueError:
            raise BadInput("must be a whole number", field="limit") from None
        found = await approvals.list(every=state == "all", limit=limit)
        return JSONResponse({"approvals": [approval.shown() for approval in found]})

    async def one(request: Request) -> JSONResponse:
        return JSONResponse((await approvals.find(request.path_params["id"])).shown())

    async def decide(request: Request) -> JSONResponse:
        body = _decision(await request.body())
        actor = actor_of(request.scope, str(body.get("actor") or ""))
        found = await approvals.decide(
            request.path_params["id"], approve=body["decision"] == "approve", by=actor, note=body.get("note", "")
        )
        return JSONResponse(found.shown())

    return [
        Route("/api/approvals", listing, methods=["GET"]),
        Route("/api/approvals/{id}", one, methods=["GET"]),
        Route("/api/approvals/{id}", decide, methods=["POST"]),
    ]


def _decision(raw: bytes) -> Mapping[str, Any]:
    mend = 'Send {"decision": "approve"} or {"decision": "refuse"}.'
    body = body_as(raw, dict, mend=mend)
    if body.get("decision") not in ("approve", "refuse"):
        raise BadInput("is missing or not known", field="decision", mend=mend)
    for key in ("note", "actor"):
        if not isinstance(body.get(key, ""), str):
            raise BadInput("must be text", field=key, mend="Send a string.")
    return body
