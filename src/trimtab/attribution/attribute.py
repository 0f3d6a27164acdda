"""From an alarm's evidence and the change ledger to a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trimtab.core import Change

from .evidence import Evidence, Observed, Suspect, suspects, taken_back
from .experiment import Contrast, before_and_after, contrast
from .likelihood import log_likelihood, log_mean_exp, onset_likelihoods, softmax, tally
from .report import PROVEN_AT, Candidate, Certainty, Report

#: A candidate with less belief than this is cleared, with a reason.
_POSSIBLE = 0.05
_LOW_VALUE = 0.5

NO_EXPOSED = "no exposed answer among those that fell"
FELL_ALIKE = "both versions fell alike"
BEFORE_ONSET = "went out before the onset"
EXPLAINS_LESS = "explains less"
NO_REPLAY = "No failing request was asked again with one layer put back."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """A candidate in the making. ``suspect`` None: no recorded change."""

    suspect: Suspect | None
    log: float
    contrast: Contrast


def attribute(evidence: Evidence, changes: Sequence[Change]) -> Report:
    """Rank the changes (and: none of them) by how well they explain the fall.

    Every suspect claims the answers that its version served, the unrecorded change all answers since some onset (the
    mean over onsets is its own Occam penalty). Equal priors; belief is the normalised likelihood. Proven only if chance
    decided who was exposed, belief reaches .95 and the two arms' e-value 500.
    """
    ended = taken_back(changes, evidence)
    seen = [o for o in evidence.seen() if not any((kind, pin) in ended for kind, pin in o.pins.items())]
    times, onset_logs = onset_likelihoods(seen, evidence.baselines)
    onset_low, onset_high = _onset(times, onset_logs, evidence)
    since = [o for o in seen if o.time_ns >= (evidence.onset_ns or onset_low)]

    findings: list[_Finding] = []
    unexposed: list[Suspect] = []
    for suspect in suspects(changes, evidence):
        if any(suspect.exposed(o) for o in seen):
            log = log_likelihood(tally(seen, suspect.exposed), evidence.baselines)
            findings.append(_Finding(suspect=suspect, log=log, contrast=contrast(suspect, seen, evidence.baselines)))
        else:
            unexposed.append(suspect)
    none_log = log_mean_exp(onset_logs) if seen else 0.0
    findings.append(
        _Finding(suspect=None, log=none_log, contrast=before_and_after(seen, evidence.onset_ns or onset_low))
    )

    ranked = _rank(findings)
    cause, certainty = _verdict([candidate for candidate, _ in ranked])
    candidates = [_clear(c, f, cause, onset_low) for c, f in ranked]
    candidates += [_candidate(s.first, 0.0, None, NO_EXPOSED) for s in unexposed]
    cause = candidates[0] if cause is not None else None
    return Report(
        signal=evidence.signal,
        slice=evidence.slice,
        onset_low_ns=onset_low,
        onset_high_ns=onset_high,
        baseline=_mean([evidence.baselines.get(o.slice, _mean_of(evidence)) for o in since]),
        now=_mean([o.value for o in since]),
        n=len(since),
        affected=sum(1 for o in since if o.value < _LOW_VALUE and _reached(cause, o)),
        cause=cause,
        certainty=certainty,
        candidates=tuple(candidates),
        slices=ranked[0][1].contrast.slices,
        arms=(),
        not_tested=tuple(_not_tested(evidence, seen, candidates, unexposed)),
    )


def failing(evidence: Evidence, candidate: Candidate, limit: int) -> list[str]:
    """Trace ids of low-valued answers that the candidate reached, newest first, each once, at most ``limit``.

    For the candidate that is no change: of all low-valued answers since the onset.
    """
    since = 0 if candidate.change_id else evidence.onset_ns
    ids: dict[str, None] = {}
    for seen in reversed(evidence.seen()):
        if len(ids) >= limit:
            break
        if seen.value < _LOW_VALUE and seen.time_ns >= since and _reached(candidate, seen):
            ids.setdefault(seen.trace_id)
    return list(ids)


def _reached(candidate: Candidate | None, seen: Observed) -> bool:
    if candidate is None or not candidate.change_id:
        return True
    return seen.pins.get(candidate.kind) == candidate.after


def _rank(findings: Sequence[_Finding]) -> list[tuple[Candidate, _Finding]]:
    """Best first. Among equals a recorded change stands before none, and the earlier one before the later."""
    pairs = []
    for finding, posterior in zip(findings, softmax([f.log for f in findings]), strict=True):
        change = finding.suspect.first if finding.suspect else None
        pairs.append((_candidate(change, posterior, finding.contrast, ""), finding))
    return sorted(pairs, key=lambda pair: -pair[0].posterior)


def _verdict(ranked: Sequence[Candidate]) -> tuple[Candidate | None, Certainty]:
    top = ranked[0]
    if top.posterior < 0.5 or (len(ranked) > 1 and ranked[1].posterior > top.posterior - 1e-6):
        return None, "unknown"
    if top.posterior >= 0.95 and top.randomised and top.e_value >= PROVEN_AT:
        return top, "proven"
    return top, "likely" if top.posterior >= 0.8 else "unknown"


def _clear(candidate: Candidate, finding: _Finding, cause: Candidate | None, onset_low: int) -> Candidate:
    """Say why a candidate that is not the cause is not."""
    if candidate is cause or (cause is None and candidate.posterior >= _POSSIBLE):
        return candidate
    effect, suspect = candidate.effect, finding.suspect
    why = EXPLAINS_LESS
    if candidate.posterior >= _POSSIBLE:
        why = ""
    elif candidate.randomised and effect is not None and effect.high >= 0.0:
        why = FELL_ALIKE
    elif suspect is not None and suspect.first.time_ns < onset_low:
        why = BEFORE_ONSET
    return replace(candidate, cleared=why)


def _candidate(change: Change | None, posterior: float, found: Contrast | None, cleared: str) -> Candidate:
    return Candidate(
        change_id=change.id if change else "",
        kind=change.kind if change else "",
        layer=int(change.layer) if change else None,
        asset=change.asset if change else "",
        before=change.before if change else "",
        after=change.after if change else "",
        title=_title(change) if change else "no recorded change",
        posterior=posterior,
        effect=found.effect if found else None,
        e_value=found.e_value if found else 1.0,
        randomised=found.randomised if found else False,
        cleared=cleared,
    )


def _title(change: Change) -> str:
    """The change as people say it: what moved, from where to where, for whom."""
    if change.action == "external":
        return f"the vendor now answers as {change.after} (before: {change.before or 'unknown'})"
    reach = f" for {change.share:.0%} of the traffic" if change.share < 1.0 else " for everybody"
    return f"{change.kind}:/{change.after} after {change.before or 'nothing'}{reach}"


def _onset(times: Sequence[int], logs: Sequence[float], evidence: Evidence) -> tuple[int, int]:
    """The central 95 % of the onset's posterior, as times; the detector's guess where nothing was seen."""
    if not times:
        guess = evidence.onset_ns or evidence.alarm_ns
        return guess, guess
    low, high, mass = times[0], times[0], 0.0
    for time_ns, weight in sorted(zip(times, softmax(logs), strict=True)):
        if mass < 0.025:
            low = time_ns
        if mass < 0.975:
            high = time_ns
        mass += weight
    return low, high


def _not_tested(
    evidence: Evidence, seen: Sequence[Observed], candidates: Sequence[Candidate], unexposed: Sequence[Suspect]
) -> Iterator[str]:
    yield NO_REPLAY
    possible = [c for c in candidates if not c.cleared and c.change_id]
    for candidate in possible:
        if not candidate.randomised:
            yield f"{candidate.title}: chance did not decide who got it, so before and after is all there is."
    for i, one in enumerate(possible):
        for other in possible[i + 1 :]:
            if all(_reached(one, o) == _reached(other, o) for o in seen):
                yield f"{one.title} and {other.title} reached the same answers: the records cannot tell them apart."
    carried = {kind for o in seen for kind in o.pins}
    for kind in sorted({s.first.kind for s in unexposed} - carried):
        yield f"The answers do not say which version of {kind} served them, so changes of {kind} could not be judged."
    unknown = sorted({o.slice for o in seen} - set(evidence.baselines))
    if unknown:
        names = ", ".join(name or "(none)" for name in unknown[:5])
        yield f"No baseline yet for {len(unknown)} of the slices: {names}."


def _mean_of(evidence: Evidence) -> float:
    return _mean(list(evidence.baselines.values()))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
