"""An incident as a post-mortem in Markdown. Pure: everything in it is on record; what people must add is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from trimtab.attribution import Report
from trimtab.core import Layer

from . import sentences
from .incident import Deed, Incident, Pair

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~])")


def postmortem(incident: Incident) -> str:
    """The post-mortem. Texts of models and users are escaped, so that none of them becomes markup."""
    lines = [
        f"# Incident {incident.id}: {_plain(incident.title)}",
        "",
        *_facts(incident),
        "",
        "## What happened",
        "",
        *_what(incident),
        "",
        "## Timeline (UTC)",
        "",
        "| time | who | what |",
        "| --- | --- | --- |",
        *(f"| {_time(e.time_ns)} | {_plain(e.actor)} | {_plain(e.text)} |" for e in incident.events),
        "",
    ]
    if incident.deeds:
        lines += ["## What was done", "", *(_deed(deed) for deed in incident.deeds), ""]
    if incident.report is not None:
        lines += ["## Evidence", "", *_evidence(incident.report), ""]
    if incident.pairs:
        lines += ["## Before and after", "", *(line for pair in incident.pairs for line in _pair(pair)), ""]
    lines += [
        "## How long it took",
        "",
        *_durations(incident),
        "",
        "## What was learnt",
        "",
        _plain(incident.lesson) or "_Not written yet: close the incident with its lesson._",
        "",
        "## What keeps it from coming back",
        "",
        f"- {incident.cases} failing requests are cases of `datasets:/{_plain(incident.dataset)}`."
        if incident.cases
        else "- None of its failing requests is a case yet.",
        f"- The monitor of `{_plain(incident.signal)}` watches for it; its owner is {_plain(incident.owner)}.",
        "",
    ]
    return "\n".join(lines)


def _facts(incident: Incident) -> Iterable[str]:
    layer = f"{incident.layer} ({Layer(incident.layer).name.lower()})" if incident.layer else "not known"
    yield f"- State: {incident.state}, severity {incident.severity}"
    yield f"- Owner: {_plain(incident.owner)}"
    yield f"- Layer: {layer}"
    yield f"- Opened: {_time(incident.opened_ns)}"
    if incident.closed_ns:
        yield f"- Closed: {_time(incident.closed_ns)}"


def _what(incident: Incident) -> Iterable[str]:
    report = incident.report
    if report is None:
        yield "No report was made."
        return
    where = f" for {_plain(report.slice)}" if report.slice else ""
    yield (
        f"The signal `{_plain(report.signal)}` fell from {report.baseline:.2f} to {report.now:.2f}{where}, "
        f"measured over {report.n} answers; {report.affected} of them failed."
    )
    if incident.models:
        yield f"An alarm saw it in the {_plain(sentences.answers_of(incident.models))} alone."
    yield ""
    yield _plain(sentences.verdict(report))


def _evidence(report: Report) -> Iterable[str]:
    if report.slices:
        yield "| slice | with the change | without | difference (95 %) |"
        yield "| --- | --- | --- | --- |"
        for s in report.slices:
            yield (
                f"| {_plain(s.slice) or 'all'} | {s.exposed:.2f} | {s.unexposed:.2f} "
                f"| {s.effect.value:+.2f} ({s.effect.low:+.2f} to {s.effect.high:+.2f}) |"
            )
        yield ""
    for arm in report.arms:
        how = f"with {_plain(arm.restored)} put back" if arm.restored else "with nothing changed"
        sound = f"; of {arm.sound} that had passed, {arm.spoilt} failed" if arm.sound else ""
        evidence = f" (e-value {arm.e_value:.3g})" if arm.restored else ""
        yield f"- Replayed {how}: {arm.passed} of {arm.n} failing requests passed{sound}{evidence}."
    for cleared in report.candidates:
        if cleared.cleared:
            yield f"- {_plain(cleared.title)} was cleared: {_plain(cleared.cleared)}."
    yield ""
    yield "Not tested:"
    yield ""
    for text in report.not_tested or ("everything was testable",):
        yield f"- {_plain(text)}"


def _pair(pair: Pair) -> Iterable[str]:
    yield f"- The request of trace `{_plain(pair.trace_id)}`, asked again:"
    yield f"  - with nothing changed: {_plain(pair.before)}"
    yield f"  - with {_plain(pair.restored)} put back: {_plain(pair.after)}"


def _deed(deed: Deed) -> str:
    back = f"; taken back by {_plain(deed.undone_by)}" if deed.undone_by else ""
    return f"- {_time(deed.time_ns)}: {_plain(deed.text)} ({deed.state}, by {_plain(deed.actor)}{back})."


def _durations(incident: Incident) -> Iterable[str]:
    begin = incident.onset_ns
    for name, at in (("Detected", incident.alarm_ns), ("Attributed", incident.verdict_ns),
                     ("Mitigated", incident.mitigated_ns)):  # fmt: skip
        if begin and at:
            yield f"- {name} {sentences.duration(at - begin)} after the onset."
        else:
            yield f"- {name}: not yet."


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
