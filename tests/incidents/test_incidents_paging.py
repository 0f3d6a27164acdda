"""Paging: who is told, when, by which payload; and that nothing is lost or told twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from incident_world import Clock

from trimtab.core import ModelError, NotFound
from trimtab.incidents import Channel, Desk, Incident, Pager, Person, Quiet, Rota
from trimtab.incidents.incident import IncidentEvent
from trimtab.incidents.paging import Notice, due_ns, escalated_to, message_of, planned
from trimtab.incidents.records import Records, Written
from trimtab.registry import Registry
from trimtab.store import Metadata, SpanStore
from trimtab.watch import Watch, default_monitors

NS = 10**9
MINUTE = 60 * NS
START = int(datetime(2026, 11, 25, 12, 0, tzinfo=UTC).timestamp()) * NS

SLACK = Channel(name="slack", kind="slack", url="https://hooks.invalid/secret-path")
PD = Channel(name="pd", kind="pagerduty", key="routing-key-1")
HOOK = Channel(name="hook", kind="webhook", url="https://hook.invalid/x", key="token-1")
ALERTS = Channel(name="alerts", kind="alertmanager", url="http://am.invalid:9093/")
NIGHT = Quiet(start=time(22), end=time(7), zone=ZoneInfo("Europe/Berlin"))
ROTA = Rota(
    channels={c.name: c for c in (SLACK, PD, HOOK, ALERTS)},
    people={
        "mara": Person(name="mara", channels=("pd",), quiet=NIGHT, next="jonas"),
        "jonas": Person(name="jonas", channels=("pd", "slack"), next="mara"),
    },
    usual=("hook",),
)


def incident(**fields: object) -> Incident:
    known = {
        "id": 7, "opened_ns": START, "signal": "cites", "owner": "mara", "severity": 2,
        "title": "Answers stopped citing <their> sources & more",
        "events": (IncidentEvent(time_ns=START, kind="alarm", actor="trimtab", text="fell from 0.97 to 0.41"),),
    }  # fmt: skip
    return Incident(**{**known, **fields})  # type: ignore[arg-type]


def notice(phase: str = "opened", **fields: object) -> Notice:
    known = {
        "incident": 7, "event": 3, "channel": "pd", "owner": "mara", "phase": phase, "text": "fell to 0.41",
        "due_ns": START,
    }  # fmt: skip
    return Notice(**{**known, **fields})  # type: ignore[arg-type]


class Web:
    """Every POST is kept; ``answers`` are the next statuses, then 200. Status 0: nobody is there."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.answers: list[int] = []

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout: float,  # noqa: ASYNC109
    ) -> Answer:
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            raise ModelError("nobody is there.")
        self.posts.append((method, url, headers, body))
        return Answer(status)


class Answer:
    def __init__(self, status: int) -> None:
        self.status = status

    async def read(self, limit: int = 0) -> bytes:
        return b"ok"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"ok"


# -- pure ------------------------------------------------------------------------------------------------------------


def test_an_alarm_goes_to_the_owner_and_nobody_is_told_of_their_own_deeds() -> None:
    alarm = incident().events[0]
    assert [(n.owner, n.channel, n.phase) for n in planned(1, alarm, incident(), ROTA, START)] == [
        ("mara", "pd", "opened")
    ]
    mine = IncidentEvent(time_ns=START, kind="acknowledged", actor="mara", text="acknowledged by mara")
    assert list(planned(2, mine, incident(), ROTA, START)) == []
    assert (
        list(planned(3, IncidentEvent(time_ns=START, kind="joined", actor="trimtab", text=""), incident(), ROTA, 0))
        == []
    )


def test_an_owner_whom_nobody_named_is_told_by_the_usual_channels() -> None:
    unknown = incident(owner="on-call")
    assert [n.channel for n in planned(1, unknown.events[0], unknown, ROTA, START)] == ["hook"]


def test_quiet_hours_hold_back_what_can_wait_and_wake_for_what_cannot() -> None:
    night = int(datetime(2026, 11, 25, 23, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * NS
    morning = int(datetime(2026, 11, 26, 7, 0, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * NS
    assert due_ns("mara", 3, "opened", ROTA, night) == morning
    assert due_ns("mara", 2, "opened", ROTA, night) == night
    assert due_ns("mara", 2, "update", ROTA, night) == morning
    assert due_ns("mara", 3, "opened", ROTA, START) == START
    assert due_ns("jonas", 4, "opened", ROTA, night) == night


@pytest.mark.parametrize(("clock", "inside"), [("22:00", 1), ("06:59", 1), ("07:00", 0), ("21:59", 0), ("00:00", 1)])
def test_quiet_hours_end_when_they_say(clock: str, inside: int) -> None:
    at = datetime.combine(datetime(2026, 3, 28), time.fromisoformat(clock), ZoneInfo("Europe/Berlin"))
    ends = NIGHT.until_ns(int(at.timestamp()) * NS)
    assert bool(ends) == bool(inside)
    if ends:
        assert datetime.fromtimestamp(ends / NS, ZoneInfo("Europe/Berlin")).time() == time(7)


def test_the_word_is_passed_on_once_each_interval_until_the_chain_ends() -> None:
    after = int(ROTA.escalate_after_s) * NS
    fresh = incident()
    assert escalated_to(fresh, ROTA, START + after - 1) == ""
    assert escalated_to(fresh, ROTA, START + after) == "jonas"
    told = IncidentEvent(time_ns=START + after, kind="escalated", actor="trimtab", text="jonas is told")
    passed = incident(events=(*fresh.events, told))
    assert [(n.owner, n.channel) for n in planned(2, told, passed, ROTA, told.time_ns)] == [
        ("jonas", "pd"), ("jonas", "slack"),
    ]  # fmt: skip
    assert escalated_to(passed, ROTA, START + 10 * after) == "", "mara was told already"
    for quiet in (incident(acknowledged_by="mara"), incident(state="mitigated"), incident(severity=3)):
        assert escalated_to(quiet, ROTA, START + after) == ""


def test_slack_gets_escaped_text_with_a_link() -> None:
    sent = message_of(notice(), incident(runbook="Read <it>"), SLACK, "https://tt.invalid/incidents/7")
    text = json.loads(sent.body)["text"]
    assert "<https://tt.invalid/incidents/7|Incident 7>" in text
    assert "&lt;their&gt; sources &amp; more" in text
    assert "Read &lt;it&gt;" in text
    assert "secret-path" not in repr(sent)


@pytest.mark.parametrize(
    ("phase", "action"),
    [("opened", "trigger"), ("update", "trigger"), ("acknowledged", "acknowledge"), ("mitigated", "resolve"),
     ("closed", "resolve")],
)  # fmt: skip
def test_pagerduty_follows_one_incident_by_its_key(phase: str, action: str) -> None:
    sent = message_of(notice(phase), incident(), PD, "")
    event = json.loads(sent.body)
    assert sent.url.endswith("/v2/enqueue")
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == (
        "routing-key-1", action, "trimtab-incident-7",
    )  # fmt: skip
    if action == "trigger":
        payload = event["payload"]
        assert payload["severity"] == "error"
        assert payload["summary"].startswith("Answers stopped")
        assert payload["source"]


def test_alertmanager_gets_an_alert_that_lasts_until_it_is_mitigated() -> None:
    sent = message_of(notice(), incident(), ALERTS, "")
    assert sent.url == "http://am.invalid:9093/api/v2/alerts"
    (opened,) = json.loads(sent.body)
    assert opened["labels"]["incident"] == "7"
    assert opened["endsAt"] > opened["startsAt"]
    over = incident(state="mitigated", mitigated_ns=START + MINUTE)
    (ended,) = json.loads(message_of(notice("mitigated"), over, ALERTS, "").body)
    assert ended["labels"] == opened["labels"], "other labels would be another alert"
    assert ended["endsAt"] == "2026-11-25T12:01:00.000+00:00"


def test_a_webhook_carries_everything_and_its_token() -> None:
    sent = message_of(notice(), incident(), HOOK, "https://tt.invalid/incidents/7")
    assert sent.headers["authorization"] == "Bearer token-1"
    told = json.loads(sent.body)
    assert (told["incident"], told["severity"], told["owner"], told["cause"]) == (7, 2, "mara", None)
    assert "token-1" not in repr(HOOK)


def test_an_email_has_one_line_for_a_subject() -> None:
    mail = Channel(name="mail", kind="email", url="smtp://mail.invalid", to=("a@b.invalid",), sender="t@b.invalid")
    sent = message_of(notice(), incident(title="two\nBcc: x@evil.invalid"), mail, "")
    assert sent.email is not None
    assert "\n" not in sent.email["Subject"]
    assert sent.email["Bcc"] is None


# -- the chore -------------------------------------------------------------------------------------------------------


class Station:
    """A pager over a real database and desk, a web that keeps what is posted, and a clock."""

    def __init__(self, metadata: Metadata, desk: Desk, clock: Clock) -> None:
        self.metadata, self.desk, self.clock = metadata, desk, clock
        self.web = Web()
        self.pager = self.new_pager()

    def new_pager(self, rota: Rota = ROTA) -> Pager:
        return Pager(
            metadata=self.metadata, desk=self.desk, rota=rota, http=self.web, clock=self.clock,
            link=lambda n: f"https://tt.invalid/incidents/{n}",
        )  # fmt: skip

    async def open(self, **fields: object) -> int:
        made = incident(id=0, opened_ns=self.clock(), **fields)
        written = await Records(self.metadata).place(lambda live: Written(None, made))
        return written.after.id


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    clock = Clock(START)
    metadata = Metadata.open(tmp_path / "metadata.db")
    store = SpanStore.open(tmp_path / "spans")
    registry = await Registry.load(metadata)
    watch = Watch(default_monitors(lambda layer: "mara"))
    desk = Desk(metadata=metadata, registry=registry, store=store, watch=watch, replay=None, clock=clock)
    yield Station(metadata, desk, clock)
    await registry.stop()
    store.close()
    metadata.close()


async def test_every_event_is_told_once_whoever_restarts(station: Station) -> None:
    number = await station.open()
    await station.pager.turn()
    await station.pager.turn()
    await station.new_pager().turn()
    assert len(station.web.posts) == 1
    assert json.loads(station.web.posts[0][3])["dedup_key"] == f"trimtab-incident-{number}"
    await station.desk.acknowledge(number, "jonas")
    await station.new_pager().turn()
    assert [json.loads(body)["event_action"] for *_, body in station.web.posts] == ["trigger", "acknowledge"]


async def test_what_the_other_side_cannot_take_now_is_sent_later(station: Station) -> None:
    await station.open()
    station.web.answers = [503, 0]
    await station.pager.turn()
    assert station.pager.failures == 1
    await station.pager.turn()
    assert station.pager.failures == 1, "not before its pause is over"
    station.clock.ns += 6 * NS
    await station.pager.turn()
    assert station.pager.failures == 2
    station.clock.ns += 11 * NS
    await station.new_pager().turn()
    (row,) = await station.pager.recent(10)
    assert row["done_ns"]
    assert row["tries"] == 2
    assert row["error"] == ""


async def test_what_the_other_side_refuses_for_good_is_given_up_and_shown(station: Station) -> None:
    await station.open()
    station.web.answers = [403]
    await station.pager.turn()
    (row,) = await station.pager.recent(10)
    assert row["done_ns"]
    assert "403" in str(row["error"])


async def test_nobody_answers_and_the_next_is_told(station: Station) -> None:
    number = await station.open()
    await station.pager.turn()
    station.clock.ns += 15 * MINUTE
    await station.pager.turn()
    assert {url for _, url, *_ in station.web.posts[1:]} == {
        "https://events.pagerduty.com/v2/enqueue",
        "https://hooks.invalid/secret-path",
    }
    events = (await station.desk.get(number)).events
    assert [e.kind for e in events] == ["alarm", "escalated"]
    assert "jonas is told" in events[-1].text
    station.clock.ns += 60 * MINUTE
    await station.pager.turn()
    assert len(station.web.posts) == 3


async def test_the_heartbeat_beats_while_the_watch_lives(station: Station) -> None:
    alive = True
    pager = Pager(
        metadata=station.metadata, desk=station.desk, http=station.web, clock=station.clock, link=str,
        rota=Rota(heartbeat="https://beat.invalid/x"), alive=lambda: alive,
    )  # fmt: skip
    await pager.turn()
    await pager.turn()
    assert [(method, url) for method, url, *_ in station.web.posts] == [("GET", "https://beat.invalid/x")]
    station.clock.ns += 60 * NS
    alive = False
    await pager.turn()
    assert len(station.web.posts) == 1
    alive = True
    await pager.turn()
    assert len(station.web.posts) == 2


async def test_an_old_event_is_not_told_on_the_first_start(station: Station) -> None:
    await station.open()
    await station.pager.start()
    await station.pager.stop()
    await station.pager.turn()
    assert station.web.posts == []


async def test_a_test_names_an_unknown_channel(station: Station) -> None:
    assert "200" in await station.pager.test("slack")
    with pytest.raises(NotFound, match="there is no channel 'fax'"):
        await station.pager.test("fax")


async def test_an_email_is_handed_to_a_mail_server(station: Station) -> None:
    lines: list[str] = []
    over = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        body = False
        while line := await reader.readline():
            lines.append(line.decode().rstrip("\r\n"))
            if body:
                if lines[-1] == ".":
                    body = False
                    writer.write(b"250 taken\r\n")
                continue
            body = lines[-1].upper() == "DATA"
            writer.write(b"354 go on\r\n" if body else b"221 bye\r\n" if lines[-1].lower() == "quit" else b"250 ok\r\n")
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    mail = Channel(
        name="mail", kind="email", url=f"smtp://127.0.0.1:{port}", to=("night@b.invalid",), sender="t@b.invalid"
    )
    async with server:
        pager = station.new_pager(Rota(channels={"mail": mail}, usual=("mail",)))
        assert await pager.test("mail") == "the mail server took it"
        await asyncio.wait_for(over.wait(), 20)  # a connection that outlives its loop complains in another test
    assert any("night@b.invalid" in line for line in lines)
    assert any(line.startswith("Subject: [trimtab]") for line in lines)
