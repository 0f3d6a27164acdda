"""From an alarm's evidence and the change ledger to a report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from trimtab.core import LAYER_OF_EVENT, Change

from .evidence import SEEN, Evidence, Observed, Suspect, suspects
from .experiment import Contrast, before_and_after, contrast
from .fit import Fit, Group, fit, group, layers_of
from .likelihood import softmax
from .report import Candidate, Certainty, LayerBelief, Report, proof_at
from .second import second

#: A candidate with less belief than this is cleared, with a reason.
_POSSIBLE = 0.05
_LOW_VALUE = 0.5
#: The belief from which on the first candidate is likely the cause.
LIKELY_AT = 0.8
#: The belief from which on a layer is likely where the change stays open: nothing is taken back on such a claim.
LAYER_AT = 0.7
#: How much likelier than another layer its own is of what a deployment broke, before anything is seen.
_DEPLOYED = 2.0

NO_EXPOSED = "no exposed answer among those that fell"
FELL_ALIKE = "both versions fell alike"
FELL_ELSEWHERE = "answers that it could not reach fell alike"
BEFORE_ONSET = "went out before the onset"
EXPLAINS_LESS = "explains less"
NO_REPLAY = "No failing request was asked again with one layer put back."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """A candidate in the making. ``suspect`` None: no recorded change."""

    suspect: Suspect | None
    log: float
    contrast: Contrast


def attribute(
    evidence: Evidence, changes: Sequence[Change], others: Sequence[Evidence] = (), quiet: Collection[int] = ()
) -> Report:
    """Rank the changes (and: none of them) by how well they explain the fall.

    Every suspect claims the answers that its version served, the unrecorded change all answers since some onset. Equal
    priors, but for a change whose own layer's signals moved; belief is the normalised likelihood. ``others`` are the
    signals that moved in the same minutes: those that the same cause may have moved weigh in, those that another change
    explains better are told apart. Proven only if chance decided who was exposed, belief reaches .95 and the two arms'
    e-value 500 (more where more than five changes are compared).
    """
    known = suspects(changes, evidence, evidence.seen())
    alarmed = fit(evidence, known, changes)
    grouped = group(alarmed, [fit(other, known, changes) for other in others], known, quiet)
    seen = alarmed.seen
    onset_low, onset_high = _onset(alarmed)
    since = [o for o in seen if o.time_ns >= (evidence.onset_ns or onset_low)]
    findings = [
        _Finding(suspect=suspect, log=log, contrast=found or contrast(suspect, seen, evidence.baselines))
        for suspect, own, log, found in zip(known, alarmed.logs, grouped.logs, alarmed.contrasts, strict=False)
        if own > float("-inf")
    ]
    unexposed = [suspect for suspect, own in zip(known, alarmed.logs, strict=False) if own == float("-inf")]
    fell = before_and_after(seen, evidence.onset_ns or onset_low)
    findings.append(_Finding(suspect=None, log=grouped.logs[-1], contrast=fell))

    ranked = _rank(findings)
    cause, certainty = _verdict([candidate for candidate, _ in ranked])
    guessed = layers_of(grouped.together, quiet)
    guesses = tuple(LayerBelief(layer=layer, belief=belief) for layer, belief in guessed.items())
    candidates = [_placed(_clear(c, f, cause, onset_low), f.suspect, guessed) for c, f in ranked]
    candidates += [_candidate(s, 0.0, None, NO_EXPOSED) for s in unexposed]
    layers = beliefs_in_layers(candidates, guesses)
    cause, certainty = or_layer(candidates[0] if cause is not None else None, certainty, layers)
    also = _beside(grouped, ranked[0][1].suspect, known, changes) if cause and certainty != "unknown" else ()
    beside = {each.change_id for each in also}
    candidates = [replace(c, cleared="") if c.change_id in beside else c for c in candidates]
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
        signals=_signals(grouped),
        apart=tuple(_apart(grouped, known)),
        layers=layers,
        guesses=guesses,
        also=also,
        together="beside" if also else "",
    )


def _signals(grouped: Group) -> tuple[str, ...]:
    """What the cause moved: the alarmed signal first, then what hurts, then what only explains; the strongest first."""
    rest = sorted(grouped.together[1:], key=lambda each: (not each.evidence.harm, -each.gain))
    return tuple(dict.fromkeys(each.evidence.signal for each in (grouped.together[0], *rest)))


def _apart(grouped: Group, known: Sequence[Suspect]) -> Iterator[str]:
    for each, place in grouped.apart:
        whose = _title(known[place]) if place < len(known) else "something that no change records"
        yield f"{each.evidence.signal} moved too, which {whose} explains better."


def _beside(
    grouped: Group, first: Suspect | None, known: Sequence[Suspect], changes: Sequence[Change]
) -> tuple[Candidate, ...]:
    """A second cause, in what the first one does not explain of the alarmed signal and of the outcomes that fell."""
    outcomes = [each for each in grouped.together[1:] if each.evidence.layer is None]
    found = second((grouped.together[0], *outcomes), first, known, changes)
    return (_candidate(found.suspect, found.posterior, found.contrast, ""),) if found is not None else ()


def _placed(candidate: Candidate, suspect: Suspect | None, guessed: Mapping[int, float]) -> Candidate:
    """What no change records gets the layer that the moved signals speak for, if more than half of them does; and so
    does a deployment, which may bring anything, unless it was logged for a layer."""
    if suspect is None:
        layer = max(guessed, key=guessed.__getitem__)
        return replace(candidate, layer=layer) if guessed[layer] > _LOW_VALUE else candidate
    if suspect.pinned or suspect.first.kind not in LAYER_OF_EVENT or suspect.first.said_layer:
        return candidate
    weighed = {layer: belief * (_DEPLOYED if layer == candidate.layer else 1.0) for layer, belief in guessed.items()}
    layer = max(weighed, key=weighed.__getitem__)
    return replace(candidate, layer=layer) if weighed[layer] > _LOW_VALUE * sum(weighed.values()) else candidate


def beliefs_in_layers(candidates: Sequence[Candidate], guessed: Sequence[LayerBelief]) -> tuple[LayerBelief, ...]:
    """The belief in each layer: of its named changes, and its part of what no recorded change has."""
    beliefs = dict.fromkeys(range(1, 6), 0.0)
    whole = sum(guess.belief for guess in guessed) or 1.0
    for candidate in candidates:
        # What only time places says little of a layer while it is not the likely cause, and a deployment never does:
        # it brings models, prompts and whole pipelines.
        vague = candidate.since_ns and (candidate.kind in LAYER_OF_EVENT or candidate.posterior < LIKELY_AT)
        if candidate.change_id and candidate.layer is not None and not vague:
            beliefs[candidate.layer] += candidate.posterior
        else:
            for guess in guessed:
                beliefs[guess.layer] += guess.belief / whole * candidate.posterior
    return tuple(
        LayerBelief(layer=layer, belief=belief) for layer, belief in sorted(beliefs.items(), key=lambda item: -item[1])
    )


def or_layer(
    cause: Candidate | None, certainty: Certainty, layers: Sequence[LayerBelief]
) -> tuple[Candidate | None, Certainty]:
    """A verdict that leaves the change open may still be sure of the layer: several changes of it may have gone out
    together, or something of it that nobody recorded. Then the layer alone is claimed, and no change is blamed."""
    if certainty == "unknown" and layers and layers[0].belief >= LAYER_AT:
        return None, "likely"
    return cause, certainty


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


def reached(evidence: Evidence, candidates: Sequence[Candidate], limit: int) -> dict[str, bool]:
    """The newest answers since the onset that the candidates reached, whatever became of them: trace id to whether it
    had failed. Each candidate names one in turn, so that a change which few got is asked about as often as one that
    everybody got; and one of each session comes before a second of any, because what breaks a few sessions whole is
    hardly among the newest answers. Asked again they are a fair sample; failing ones alone would be none, since
    whatever is put back redraws their luck, and luck can only get better for them."""
    since = [seen for seen in reversed(evidence.seen()) if seen.time_ns >= evidence.onset_ns]
    turns = [filter(partial(_reached, candidate), _each_session_first(since)) for candidate in candidates]
    found: dict[str, bool] = {}
    while turns and len(found) < limit:
        left = []
        for turn in turns:
            seen = next((seen for seen in turn if seen.trace_id not in found), None)
            if seen is not None and len(found) < limit:
                found[seen.trace_id] = seen.value < _LOW_VALUE
                left.append(turn)
        turns = left
    return found


def _each_session_first(seen: Sequence[Observed]) -> Iterator[Observed]:
    """The first of each session, then the others; what belongs to no session is one of its own."""
    rest, sessions = [], set[str]()
    for one in seen:
        if one.session and one.session in sessions:
            rest.append(one)
            continue
        sessions.add(one.session)
        yield one
    yield from rest


def _reached(candidate: Candidate | None, seen: Observed) -> bool:
    if candidate is None or not candidate.change_id:
        return True
    if candidate.since_ns:
        return seen.time_ns >= candidate.since_ns
    return seen.pins.get(candidate.kind) == candidate.after


def _rank(findings: Sequence[_Finding]) -> list[tuple[Candidate, _Finding]]:
    """Best first. Among equals a recorded change stands before none, and the earlier one before the later."""
    pairs = []
    for finding, posterior in zip(findings, softmax([f.log for f in findings]), strict=True):
        pairs.append((_candidate(finding.suspect, posterior, finding.contrast, ""), finding))
    return sorted(pairs, key=lambda pair: -pair[0].posterior)


def _verdict(ranked: Sequence[Candidate]) -> tuple[Candidate | None, Certainty]:
    top = ranked[0]
    if top.posterior < 0.5 or (len(ranked) > 1 and ranked[1].posterior > top.posterior - 1e-6):
        return None, "unknown"
    compared = sum(candidate.randomised for candidate in ranked)
    if top.posterior >= 0.95 and top.randomised and top.e_value >= proof_at(compared):
        return top, "proven"
    return top, "likely" if top.posterior >= LIKELY_AT else "unknown"


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
    elif candidate.compared == "elsewhere" and effect is not None and effect.high >= 0.0:
        why = FELL_ELSEWHERE
    elif suspect is not None and suspect.first.time_ns < onset_low:
        why = BEFORE_ONSET
    return replace(candidate, cleared=why)


def _candidate(suspect: Suspect | None, posterior: float, found: Contrast | None, cleared: str) -> Candidate:
    change = suspect.first if suspect else None
    return Candidate(
        change_id=change.id if change else "",
        kind=change.kind if change else "",
        layer=int(change.layer) if change else None,
        asset=change.asset if change else "",
        before=change.before if change else "",
        after=change.after if change else "",
        title=_title(suspect) if suspect else "no recorded change",
        posterior=posterior,
        effect=found.effect if found else None,
        e_value=found.e_value if found else 1.0,
        randomised=found.randomised if found else False,
        cleared=cleared,
        compared=found.compared if found else "before",
        since_ns=change.time_ns if suspect and change and not suspect.pinned else 0,
    )


def _title(suspect: Suspect) -> str:
    """The change as people say it: what moved, from where to where, for whom."""
    change = suspect.first
    if not suspect.pinned:
        return f"seen outside: {change.name}: {change.note or change.after}"
    if change.action == "external":
        return f"the vendor now answers as {change.after} (before: {change.before or 'unknown'})"
    if change.action == SEEN:
        return f"{change.kind}:/{change.after} after {change.before}, which no change records"
    reach = f" for {change.share:.0%} of the traffic" if change.share < 1.0 else " for everybody"
    return f"{change.kind}:/{change.after} after {change.before or 'nothing'}{reach}"


def _onset(alarmed: Fit) -> tuple[int, int]:
    """The central 95 % of the onset's posterior, as times; the detector's guess where nothing was seen."""
    if not alarmed.times:
        guess = alarmed.evidence.onset_ns or alarmed.evidence.alarm_ns
        return guess, guess
    low, high, mass = alarmed.times[0], alarmed.times[0], 0.0
    for time_ns, weight in sorted(zip(alarmed.times, softmax(alarmed.onsets), strict=True)):
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
        if candidate.compared == "before":
            yield f"{candidate.title}: chance did not decide who got it, so before and after is all there is."
        elif candidate.compared == "elsewhere":
            yield f"{candidate.title}: everybody got it, so it is compared with what the same minutes did elsewhere."
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
