"""A notice as each service wants it. Pure: no clock, no network.

Formats: Slack incoming webhooks (a ``text``; mrkdwn with &, < and > escaped), PagerDuty Events API v2 (``routing_key``,
``event_action``, ``dedup_key``, ``payload``), Alertmanager API v2 (a list of alerts with labels, ``startsAt``,
``endsAt``), e-mail (RFC 5322), and a JSON of our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from trimtab.core import Layer
from trimtab.incidents.incident import Incident

from .channels import Channel
from .plan import Notice

#: PagerDuty takes events here where the channel names no other address.
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
#: A text in a notice is cut here; the page has the rest.
SHOWN = 1000
#: Alertmanager forgets an alert that nobody repeats; an open incident is to stay for as long as it may last.
_LASTS_NS = 7 * 86_400 * 10**9
_SEVERITY = {1: "critical", 2: "error", 3: "warning", 4: "info"}
_ACTIONS = {"acknowledged": "acknowledge", "mitigated": "resolve", "closed": "resolve"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent: an HTTP POST, or an e-mail."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    email: EmailMessage | None = None


def message_of(notice: Notice, incident: Incident, channel: Channel, link: str) -> Message:
    """The message. ``link`` is where the incident's page is, empty if nobody knows from outside."""
    if channel.kind == "email":
        return Message(url=channel.url, email=_email(notice, incident, channel, link))
    headers = {"content-type": "application/json", "user-agent": "trimtab"}
    if channel.kind == "slack":
        content: Any = {"text": _slack(notice, incident, link)}
    elif channel.kind == "pagerduty":
        content = _pagerduty(notice, incident, channel, link)
    elif channel.kind == "alertmanager":
        content = [_alert(notice, incident, link)]
    else:
        content = _own(notice, incident, link)
        if channel.key:
            headers["authorization"] = f"Bearer {channel.key}"
    return Message(url=address_of(channel), headers=headers, body=json.dumps(content).encode())


def address_of(channel: Channel) -> str:
    """Where the channel's messages go."""
    if channel.kind == "pagerduty":
        return channel.url or PAGERDUTY
    if channel.kind == "alertmanager":
        return channel.url.rstrip("/").removesuffix("/api/v2/alerts") + "/api/v2/alerts"
    return channel.url


def _own(notice: Notice, incident: Incident, link: str) -> dict[str, Any]:
    cause = incident.cause
    return {
        "incident": incident.id,
        "phase": notice.phase,
        "state": incident.state,
        "severity": incident.severity,
        "title": incident.title,
        "text": notice.text,
        "owner": notice.owner,
        "signal": incident.signal,
        "slice": incident.slice,
        "layer": incident.layer,
        "cause": None
        if cause is None
        else {"change": cause.change_id, "kind": cause.kind, "asset": cause.asset, "before": cause.before,
              "after": cause.after},
        "certainty": incident.report.certainty if incident.report else "unknown",
        "opened_at": _time(incident.opened_ns),
        "onset_at": _time(incident.onset_ns) if incident.onset_ns else None,
        "runbook": incident.runbook,
        "link": link,
    }  # fmt: skip


def _slack(notice: Notice, incident: Incident, link: str) -> str:
    title = _escaped(_cut(incident.title))
    head = f"<{link}|Incident {incident.id}>" if link else f"Incident {incident.id}"
    lines = [f"*{head} · {_headline(notice, incident)}*", title, _escaped(_cut(notice.text))]
    if notice.phase == "opened" and incident.runbook:
        lines.append(f"Runbook: {_escaped(_cut(incident.runbook))}")
    return "\n".join(lines)


def _pagerduty(notice: Notice, incident: Incident, channel: Channel, link: str) -> dict[str, Any]:
    action = _ACTIONS.get(notice.phase, "trigger")
    event: dict[str, Any] = {
        "routing_key": channel.key,
        "event_action": action,
        "dedup_key": f"trimtab-incident-{incident.id}",
    }
    if action == "trigger":
        event["payload"] = {
            "summary": _cut(incident.title),
            "source": "trimtab",
            "severity": _SEVERITY.get(incident.severity, "warning"),
            "timestamp": _time(incident.opened_ns),
            "component": incident.signal,
            "group": _layer(incident),
            "custom_details": _own(notice, incident, link),
        }
        if link:
            event["links"] = [{"href": link, "text": f"Incident {incident.id}"}]
    return event


def _alert(notice: Notice, incident: Incident, link: str) -> dict[str, Any]:
    over = notice.phase in ("mitigated", "closed")
    ended = incident.closed_ns or incident.mitigated_ns or notice.due_ns
    return {
        "labels": {
            "alertname": "TrimtabIncident",
            "incident": str(incident.id),
            "severity": _SEVERITY.get(incident.severity, "warning"),
            "signal": incident.signal,
            "owner": incident.owner,
            **({"slice": incident.slice} if incident.slice else {}),
        },
        "annotations": {
            "summary": _cut(incident.title),
            "description": _cut(notice.text),
            "layer": _layer(incident),
            "runbook": _cut(incident.runbook),
        },
        "startsAt": _time(incident.opened_ns),
        "endsAt": _time(ended if over else notice.due_ns + _LASTS_NS),
        "generatorURL": link,
    }


def _email(notice: Notice, incident: Incident, channel: Channel, link: str) -> EmailMessage:
    message = EmailMessage()
    title = " ".join(_cut(incident.title).split())  # a header is one line
    message["Subject"] = f"[trimtab] Incident {incident.id} {_headline(notice, incident)}: {title}"
    message["From"] = channel.sender or "trimtab@localhost"
    message["To"] = ", ".join(channel.to)
    message["Message-ID"] = f"<incident-{incident.id}-{notice.event}-{channel.name}@trimtab>"
    if notice.phase != "opened":
        message["In-Reply-To"] = message["References"] = f"<incident-{incident.id}@trimtab>"
    lines = [incident.title, "", notice.text, "", f"Owner: {notice.owner}", f"Layer: {_layer(incident)}"]
    if incident.runbook:
        lines.append(f"Runbook: {incident.runbook}")
    if link:
        lines += ["", link]
    message.set_content("\n".join(lines))
    return message


def _headline(notice: Notice, incident: Incident) -> str:
    return f"{notice.phase}, severity {incident.severity}" if notice.phase == "opened" else notice.phase


def _layer(incident: Incident) -> str:
    return Layer(incident.layer).name.lower() if incident.layer else "not known"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
