"""What asking requests again adds to a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.core import LAYER_OF_KIND, Layer

from .attribute import LIKELY_AT, NO_EXPOSED, NO_REPLAY, beliefs_in_layers, or_layer
from .report import Arm, Candidate, Certainty, Report, Together, proof_at

#: Putting back one of two is as good as putting back both when it mends at least this part as many.
_AS_GOOD = 0.8
#: What is left of the belief in a change that was put back in vain, in nats, at least, and the failing requests that it
#: takes to say so.
_LEAST_LEFT, _VAIN_LEAST = -14.0, 12
#: The most by which an arm multiplies a belief.
_MOST_SAID = 1e6
REPAIRS_NOTHING = "putting it back repairs nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The arms that prove: put back alone, put back together, broken alone."""

    restoring: tuple[Arm, ...]
    everything: Arm | None
    breaking: tuple[Arm, ...]

    @property
    def layers(self) -> list[int]:
        """The layers that are named, each once."""
        return sorted({arm.layer for arm in (*self.restoring, *self.breaking) if arm.layer is not None})


def with_replay(report: Report, arms: Sequence[Arm]) -> Report:
    """The report with the arms and what they prove.

    An arm is proof at an e-value of 500, and 100 for each arm where there are more than five (1 % in total). A single
    change that is put back and repairs proves the cause; if no change stood out, it picks the best candidate of its
    layer. Where it points to another layer than the cause, that layer's best candidate becomes the cause, but only as
    likely: the two kinds of evidence disagree. The same when several changes of the layer are possible and the arm does
    not name what it put back.

    Two that repair are told apart by breaking one at a time, with everything else put back. What breaks answers then is
    a cause; two that do are a pair, proven. Two that repair, of which neither breaks anything alone, are a chain: it
    took both, or one of them merely copes better with the other's fault, so they are only likely.

    Short of proof every arm still moves the belief in its change, and with it the verdict: up where putting it back
    repairs, down where it repairs less than its fault would take. ``slices`` and ``affected`` stay what the records
    showed.
    """
    tested = [arm for arm in arms if arm.n + arm.sound > 0]
    report = _weighed(report, tested)
    notes = [note for note in report.not_tested if note != NO_REPLAY or not tested]
    found = _found(tested)
    cause, certainty = report.cause, report.certainty
    also: tuple[Candidate, ...] = ()
    together: Together = ""
    beside = report.also if report.together == "beside" else ()
    if len(found.breaking) > 1 or (len(found.restoring) > 1 and not found.breaking):
        cause, certainty, also, together, note = _both(report, found)
        notes += [note] if note else []
    elif found.breaking or found.restoring:
        proving = found.breaking or found.restoring
        layer = Layer(proving[0].layer or 0)
        cause, certainty = _proved(report, proving, layer)
        if cause is None or cause.layer != layer:
            notes.append(
                f"Putting back {layer.title} repairs failing requests, but no recorded change of it reached them."
            )
    elif found.everything is not None:
        notes.append("Putting back everything repairs failing requests, no single layer does: they may act together.")
    cause, certainty = or_layer(cause, certainty, report.layers)
    if not also and cause is not None:
        # What the records showed beside the first cause stands, unless putting it back was in vain.
        vain = {c.change_id for c in report.candidates if c.cleared == REPAIRS_NOTHING}
        also = tuple(c for c in beside if c.change_id != cause.change_id and c.change_id not in vain)
        together = "beside" if also else ""
    return report.evolve(
        cause=cause,
        certainty=certainty,
        candidates=_with_cause(report.candidates, cause, also),
        arms=tuple(arms),
        not_tested=tuple(notes),
        also=also,
        together=together,
    )


def _weighed(report: Report, tested: Sequence[Arm]) -> Report:
    """The report with the belief that the arms leave in each change, and the verdict anew.

    The e-value of an arm is a Bayes factor too: of "putting it back repairs, by some amount" against "it does nothing".
    A change without an arm, or without a request that it reached, keeps its odds.
    """
    same = next((arm for arm in tested if arm.role == "same"), None)
    about = [arm for arm in tested if arm.role == "restore" and arm.change_id]
    if same is None or not about or report.certainty == "proven":
        return report
    least = _repairs_if_guilty(report)
    vain = {arm.change_id for arm in about if _in_vain(arm, same, least)}
    broken = {arm.change_id: arm.e_value for arm in tested if arm.role == "break"}
    factors = {}
    for arm in about:
        said = _says(arm, _again(arm, same, about), least, arm.change_id in vain)
        factors[arm.change_id] = min(_MOST_SAID, said * broken.get(arm.change_id, 1.0))
    beliefs = [c.posterior * factors.get(c.change_id, 1.0) for c in report.candidates]
    total = sum(beliefs) or 1.0
    pairs = zip(report.candidates, beliefs, strict=True)
    candidates = sorted(
        (
            replace(c, posterior=b / total, cleared=REPAIRS_NOTHING if c.change_id in vain else c.cleared)
            for c, b in pairs
        ),
        key=lambda c: -c.posterior,
    )
    top, old = candidates[0], report.cause
    layers = beliefs_in_layers(candidates, report.guesses)
    if old is not None and (old.change_id, old.after) == (top.change_id, top.after) and top.change_id not in vain:
        certainty: Certainty = "likely" if top.posterior >= LIKELY_AT else "unknown"
        cause = replace(old, posterior=top.posterior)
        return report.evolve(candidates=tuple(candidates), cause=cause, certainty=certainty, layers=layers)
    clear = top.posterior >= LIKELY_AT
    top = replace(top, cleared="") if clear else top
    return report.evolve(
        candidates=(top, *candidates[1:]), cause=top if clear else None, certainty="likely" if clear else "unknown",
        layers=layers,
    )  # fmt: skip


def _repairs_if_guilty(report: Report) -> float:
    """The share of failing requests that putting the cause back would repair: those that would not have failed."""
    fell = max(0.0, report.baseline - report.now)
    return fell / (1.0 - report.now) * report.baseline if report.now < 1.0 else 0.0


def _in_vain(arm: Arm, same: Arm, least: float) -> bool:
    """Whether it repairs less than half of what it would if it were guilty, beyond what asking again repairs anyway."""
    if arm.n < _VAIN_LEAST or least <= 0.0:
        return False
    repaired, again = arm.passed / arm.n, same.passed / max(1, same.n)
    error = math.sqrt((repaired * (1.0 - repaired) + again * (1.0 - again) + 1.0 / arm.n) / arm.n)
    return repaired - again + 2.0 * error < least * (1.0 - again) / 2.0


def _again(arm: Arm, same: Arm, about: Sequence[Arm]) -> float:
    """The share of failing requests that pass when they are asked again with something put back that did nothing: as
    with nothing changed, or as with the other changes put back, where that is more. A model that answers alike every
    time answers anew only when something changes."""
    others = sorted(_passing(other) for other in about if other is not arm and other.n >= _VAIN_LEAST)
    return max(_passing(same), others[len(others) // 2] if others else 0.0)


def _passing(arm: Arm) -> float:
    return (arm.passed + 1.0) / (arm.n + 2.0)


def _says(arm: Arm, again: float, least: float, vain: bool) -> float:
    """By how much putting a change back multiplies the belief in it.

    On the failing requests: how much better the repairs fit the guilty change than one that did nothing, as a ratio of
    likelihoods, of which the square root is taken, for ``least`` is only about right. It stands beside the e-value,
    which needs no ``least`` but has the luck of all the sound requests in it. Of two causes each repairs a part: what
    does repair is not held to what a single one would.
    """
    if arm.n < _VAIN_LEAST or least <= 0.0:
        return arm.e_value
    guilty = min(0.98, again + least * (1.0 - again))
    ratio = arm.passed * math.log(guilty / again) + (arm.n - arm.passed) * math.log((1.0 - guilty) / (1.0 - again))
    said = math.exp(max(_LEAST_LEFT, ratio / 2.0))
    if said < 1.0:
        return min(arm.e_value, said) if vain or arm.e_value <= 1.0 else arm.e_value
    return max(arm.e_value, said) if arm.e_value > 1.0 else said * arm.e_value


def _found(tested: Sequence[Arm]) -> _Found:
    about = [arm for arm in tested if arm.role != "same"]
    needed = proof_at(len(about))
    proving = [arm for arm in about if arm.e_value >= needed]
    everything = next((arm for arm in proving if arm.role == "all"), None)
    restoring = tuple(arm for arm in proving if arm.role == "restore" and arm.layer is not None)
    breaking = tuple(arm for arm in proving if arm.role == "break" and everything is not None)
    return _Found(restoring=restoring, everything=everything, breaking=breaking)


def _both(report: Report, found: _Found) -> tuple[Candidate | None, Certainty, tuple[Candidate, ...], Together, str]:
    """The causes when more than one change is named: first, how sure, the others, how they act, and a remark."""
    arms = found.breaking or found.restoring
    named = dict.fromkeys(name for arm in arms if (name := _named(report, arm)) is not None)
    titles = " and ".join(Layer(layer).title for layer in found.layers)
    if len(named) < 2 or found.everything is None:
        certainty: Certainty = "likely" if report.certainty == "proven" else report.certainty
        note = f"Putting back {titles} each repairs failing requests: they may act together."
        return report.cause, certainty, (), "", note
    order = sorted(named, key=lambda candidate: -candidate.posterior)
    first, *rest = (replace(candidate, cleared="") for candidate in order)
    if found.breaking:
        return first, "proven", tuple(rest), "pair", ""
    if not _as_good(found):
        return first, "likely", tuple(rest), "pair", ""
    return first, "likely", tuple(rest), "chain", f"Putting back {titles} each repairs failing requests by itself."


def _as_good(found: _Found) -> bool:
    """Whether each single one mends about as many as all together."""
    whole = found.everything.passed / max(1, found.everything.n) if found.everything is not None else 0.0
    return all(arm.passed / max(1, arm.n) >= _AS_GOOD * whole for arm in found.restoring)


def _rivals(report: Report, layer: int | None) -> list[Candidate]:
    """The changes of a layer that reached any request."""
    return [c for c in report.candidates if c.change_id and c.layer == layer and c.cleared != NO_EXPOSED]


def _named(report: Report, arm: Arm) -> Candidate | None:
    """The candidate that an arm is about."""
    rivals = _rivals(report, arm.layer)
    exact = [c for c in rivals if c.change_id == arm.change_id or _names(arm, c)]
    return next(iter(exact or rivals), None)


def _proved(report: Report, arms: Sequence[Arm], layer: Layer) -> tuple[Candidate | None, Certainty]:
    """The cause and certainty when arms of one layer prove and no others do."""
    rivals = _rivals(report, layer)
    if not rivals:
        return report.cause, "likely" if report.certainty == "proven" else report.certainty
    put_back = [c for c in rivals if any(_names(arm, c) for arm in arms)]
    possible = put_back or [c for c in rivals if not c.cleared] or rivals
    cause = report.cause if report.cause in possible else replace(possible[0], cleared="")
    # An older version may merely cope better with what nobody recorded: then the records speak for that.
    unrecorded = next((c.posterior for c in report.candidates if not c.change_id), 0.0)
    agrees = report.cause in possible or (report.cause is None and cause.posterior >= unrecorded)
    return cause, "proven" if agrees and len(possible) == 1 else "likely"


def _names(arm: Arm, candidate: Candidate) -> bool:
    """Whether the arm says that it put back what the candidate replaced: the change itself, or its pin, after its kind
    if it names one."""
    if arm.change_id:
        return arm.change_id == candidate.change_id
    words = arm.restored.split()
    of_its_kind = candidate.kind in words or not any(word in LAYER_OF_KIND for word in words)
    return candidate.before in words and of_its_kind


def _with_cause(
    candidates: Sequence[Candidate], cause: Candidate | None, also: Sequence[Candidate]
) -> tuple[Candidate, ...]:
    """The causes first, the others in their order."""
    if cause is None:
        return tuple(candidates)
    first = (cause, *also)
    ids = {candidate.change_id for candidate in first}
    return (*first, *(c for c in candidates if c.change_id not in ids))
