"""The pager: reads the incidents' timeline, sends what people are to be told, and passes the word on.

The timeline is the queue: a position in it is kept with the notices in one transaction, so that a crash at any moment
loses no notice and writes none twice. A message may still arrive twice, when the process dies between the other side's
answer and the note of it; services that take a key for that (PagerDuty, Alertmanager, e-mail's Message-ID) drop it.
"""

from __future__ import annotations

import asyncio
import logging
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from urllib.parse import urlsplit

from trimtab.core import NotFound, TrimtabError, now_ns
from trimtab.incidents.desk import Desk
from trimtab.incidents.incident import Incident
from trimtab.incidents.records import Records
from trimtab.store import Metadata, Settings
from trimtab.traces import Http

from .burner import Burner
from .channels import Channel, Rota
from .payloads import Message, message_of
from .plan import Notice, escalated_to, escalation, planned
from .records import Outbox, Waiting

log = logging.getLogger("trimtab.pager")
POSITION = "pager.position"
#: Seconds between two looks when nothing happens, and for one message.
EVERY_S, TIMEOUT_S = 5.0, 15.0
#: Tries of a message, and the first and longest pause between them in seconds: over a day in all.
TRIES, _FIRST_S, _LONGEST_S = 40, 5.0, 3600.0
_LOOKED_AT = 200
_NS = 10**9


class Pager:
    """One task. ``link`` makes the address of an incident's page; ``alive`` says whether the watch is reading;
    ``burner`` looks at error budgets first, so that the severity is right before somebody is told."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        desk: Desk,
        rota: Rota,
        http: Http,
        link: Callable[[int], str],
        clock: Callable[[], int] = now_ns,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._records, self._outbox, self._settings = Records(metadata), Outbox(metadata), Settings(metadata)
        self._desk, self._http, self._link, self._clock = desk, http, link, clock
        self.rota = rota
        self._alive = alive
        self.burner: Burner | None = None
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._beat_ns = 0
        self.failures = 0
        desk.on_event.append(lambda incident, event: self._woken.set())

    async def start(self) -> None:
        """Begin: with everything that happened since the last run, on the first start with what happens from now."""
        if await self._settings.get(POSITION) is None:
            await self._settings.put(POSITION, await self._records.last_event())
        self._task = asyncio.create_task(self._forever(), name="trimtab-pager")

    async def stop(self) -> None:
        """End the task; what waits is sent after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def turn(self) -> None:
        """One look: error budgets, escalation, plans; send what is due, show that we live."""
        if self.burner is not None:
            await self.burner.turn()
        await self._escalate()
        await self._plan()
        waiting = await self._outbox.due(self._clock())
        await asyncio.gather(*(self._send(one) for one in waiting))
        await self._beat()

    async def test(self, channel: str) -> str:
        """Send a test by a channel; returns what the other side answered. Raises NotFound and TrimtabError."""
        found = self._channel(channel)
        now = self._clock()
        incident = Incident(id=0, opened_ns=now, signal="test", owner="you", title="A test of this channel", severity=4)
        notice = Notice(
            incident=0, event=0, channel=channel, owner="you", phase="opened", due_ns=now,
            text="Somebody pressed the test button. Nothing is wrong.",
        )  # fmt: skip
        return await self._deliver(message_of(notice, incident, found, self._link(0)), found)

    async def recent(self, limit: int) -> list[dict[str, object]]:
        """The newest notices with what became of them, newest first."""
        return list(await self._outbox.recent(limit))

    async def _escalate(self) -> None:
        now = self._clock()
        for incident in await self._desk.list(state="open", limit=_LOOKED_AT):
            if owner := escalated_to(incident, self.rota, now):
                event = escalation(owner, self.rota.escalate_after_s)
                await self._desk.note(incident.id, event.kind, event.actor, event.text)

    async def _plan(self) -> None:
        position = int(await self._settings.get(POSITION) or 0)
        now = self._clock()
        events = await self._records.events_after(position, _LOOKED_AT)
        if not events:
            return
        notices: list[Notice] = []
        for seq, incident_id, event in events:
            incident = await self._records.get(incident_id)
            notices += planned(seq, event, incident, self.rota, now)
        await self._outbox.add(notices, POSITION, events[-1][0])

    async def _send(self, waiting: Waiting) -> None:
        notice = waiting.notice
        now = self._clock()
        try:
            channel = self._channel(notice.channel)
            incident = await self._records.get(notice.incident)
            await self._deliver(message_of(notice, incident, channel, self._link(notice.incident)), channel)
        except NotFound as error:  # the configuration names the channel no more
            await self._outbox.failed(waiting, error.message, 0, now)
        except (TrimtabError, OSError, smtplib.SMTPException) as error:
            self.failures += 1
            last = waiting.tries + 1 >= TRIES or (isinstance(error, _Refused) and not error.retryable)
            pause = min(_FIRST_S * 2**waiting.tries, _LONGEST_S)
            log.warning("incident %d by %s: %s", notice.incident, notice.channel, error)
            await self._outbox.failed(waiting, str(error), 0 if last else now + int(pause * _NS), now)
        else:
            await self._outbox.sent(waiting.id, now)

    async def _deliver(self, message: Message, channel: Channel) -> str:
        if message.email is not None:
            await asyncio.to_thread(_mail, channel, message.email)
            return "the mail server took it"
        reply = await self._http.request("POST", message.url, message.headers, message.body, timeout=TIMEOUT_S)
        said = (await reply.read()).decode(errors="replace")[:200]
        if not 200 <= reply.status < 300:
            raise _Refused(
                f"{channel.kind} answered {reply.status} {said}".strip(),
                retryable=reply.status in (408, 425, 429) or reply.status >= 500,
            )
        return f"answered {reply.status} {said}".strip()

    async def _beat(self) -> None:
        """Tell the dead-man's switch outside that the watch lives; silence there is its alarm."""
        now = self._clock()
        rota = self.rota
        if not rota.heartbeat or now - self._beat_ns < rota.heartbeat_every_s * _NS or not self._alive():
            return
        self._beat_ns = now
        try:
            reply = await self._http.request("GET", rota.heartbeat, {"user-agent": "trimtab"}, timeout=TIMEOUT_S)
            await reply.read()
        except TrimtabError as error:
            self.failures += 1
            log.warning("the heartbeat was not heard: %s", error)

    def _channel(self, name: str) -> Channel:
        channel = self.rota.channels.get(name)
        if channel is None:
            known = ", ".join(self.rota.channels) or "none"
            raise NotFound(f"there is no channel {name!r}.", field="channel", mend=f"There are: {known}.")
        return channel

    async def _forever(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.turn()
            except Exception:  # house: except because a chore that dies silently is worse than one that goes on
                log.exception("the pager: unexpected")
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._woken.wait()
            except TimeoutError:
                pass


class _Refused(TrimtabError):
    """The other side did not take the message."""

    status = 502
    code = "notice_refused"

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message, mend="Look at the channel's address and key.")
        self.retryable = retryable


def _mail(channel: Channel, message: EmailMessage) -> None:
    parts = urlsplit(channel.url)
    secure = parts.scheme == "smtps"
    host, port = parts.hostname or "localhost", parts.port or (465 if secure else 25)
    context = ssl.create_default_context()
    opened: smtplib.SMTP = (
        smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
        if secure
        else smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    )
    with opened as server:
        server.ehlo()
        if not secure and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        if channel.user:
            server.login(channel.user, channel.key)
        server.send_message(message)
