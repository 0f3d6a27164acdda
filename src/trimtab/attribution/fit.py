"""How well each explanation fits one signal, and which signals one explanation fits together."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.core import LAYER_OF_EVENT, LAYER_OF_KIND, Change, Layer

from .evidence import NOTICED_LATE_NS, Evidence, Observed, Suspect, asset_of, taken_back
from .experiment import Contrast, contrast
from .likelihood import (
    best_drop,
    log_likelihood,
    log_mean_exp,
    onset_likelihoods,
    shared_luck,
    sharpest_onset,
    softmax,
    tally,
)

#: An event that only time places may be written down so much too early.
_EARLY_NS = 60 * 10**9
#: A signal whose best explanation gains less than this over "nothing fell" says nothing.
MOVED = 6.0
#: Two signals have two causes when each prefers its own by this much.
_OTHERS, _OWN = 5.0, 3.0
#: A change that makes the alarmed signal likelier by less than this does not explain its fall.
_EXPLAINS = 1.0
#: What nobody recorded moves several signals within this time, or within the time that the onset is uncertain by.
_AROUND_NS = 10 * 10**9
#: From which ``tells`` on a signal's own layer alone moves it.
_SURELY = 0.8
#: Signals of the same requests say partly the same: k of them count for k / (1 + SHARED (k - 1)).
_SHARED = 0.5
#: What it costs an explanation at most, in nats, that a signal which only explains moved for a reason of its own, as a
#: benign change often moves it.
_ASIDE = 3.0
#: What a move of a change's own layer is worth to it, in nats, if only that layer could have moved the signal.
_OWN_LAYER = 2.0
#: What it costs a change that a signal moved which nothing of its layer should move, in nats, and from which ``tells``
#: on. Deployments are spared: they bring whole pipelines with them. So are routes, of what a model or a limit does.
_STRANGE, _FROM = 6.0, 0.5
_OF_ROUTES = (Layer.MODEL, Layer.OPERATIONS)
#: What it costs a judge's change that nothing of the operations moved: the golden items would have shown it.
_QUIET_JUDGE = 2.0
#: Answers of each arm without which nothing is cleared, and what a change is worth less than nothing that is cleared.
_ARM, _REFUTED = 30, 3.0
#: Where nothing is recorded: how often each layer is to blame before anything is seen, and what a signal's move adds.
_LAYERS = {1: 0.30, 2: 0.20, 3: 0.20, 4: 0.10, 5: 0.20}
_TELLS = 3.0
_BESIDE = 0.7
#: What it says against a layer that its signals are watched and did not move: a model may answer worse in words alone.
_QUIET = {1: 0.3, 2: 1.0, 3: 0.3, 4: 1.2, 5: 1.2}
#: The least share of a model or corpus that may have fallen alone, how many are tried, and the most that it says. That
#: all of them fell alike in the same minutes speaks against their layer, but less: a vendor may fail as a whole.
_SPOT, _MOST_SPOTS, _SPOT_SAYS, _ALIKE_SAYS = 0.05, 4, 6.0, 1.5
#: A model is new whose share of the answers was at most this part of what it is since the onset.
_HARDLY = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """One signal against all explanations: ``logs`` are those of the suspects in their order, then of no recorded
    change; minus infinity where no answer was exposed. ``still`` is that of nothing having fallen. ``spots`` says of a
    layer by how much better it fits that only the answers of one of several models (or corpora) fell. ``contrasts`` are
    the natural experiments of the suspects whose version served."""

    evidence: Evidence
    seen: Sequence[Observed]
    times: Sequence[int]
    onsets: Sequence[float]
    logs: Sequence[float]
    still: float
    spots: Mapping[int, float] = field(default_factory=dict)
    contrasts: Sequence[Contrast | None] = ()

    @property
    def best(self) -> int:
        """The place of the best explanation."""
        return max(range(len(self.logs)), key=self.logs.__getitem__)

    @property
    def gain(self) -> float:
        """What the best explanation is worth over nothing having fallen, in nats."""
        return self.logs[self.best] - self.still


def fit(evidence: Evidence, suspects: Sequence[Suspect], changes: Sequence[Change]) -> Fit:
    """Weigh every suspect's claim against the answers since some onset (the mean over onsets is the unrecorded
    change's own Occam penalty). What sessions share is taken out of all of them alike."""
    ended = taken_back(changes, evidence)
    seen = [o for o in evidence.seen() if not ended or not any(pin in ended for pin in o.pins.items())]
    times, onsets = onset_likelihoods(seen, evidence.baselines)
    still = log_likelihood(tally(seen, lambda _: False), evidence.baselines)
    luck = shared_luck(seen, evidence.baselines, evidence.onset_ns or evidence.alarm_ns)

    def weighed(log: float) -> float:
        return still + (log - still) / luck

    onsets = [weighed(log) for log in onsets]
    at_once = _at_once(suspects, seen, evidence)
    # What is compared with an exact moment has to be as exact.
    sharp = sharpest_onset(seen, evidence.baselines, onsets, weighed) if at_once else -math.inf
    new = new_models(seen, evidence)
    logs: list[float] = []
    contrasts: list[Contrast | None] = []
    timed = math.log(max(1, sum(not suspect.pinned for suspect in suspects)))
    for suspect in suspects:
        found = None
        if not suspect.pinned:
            # An event near the fall is as easy to find as an onset: all of them together count as one explanation.
            ways = [_noticed(suspect, times, onsets) - timed]
            if suspect.first.kind in LAYER_OF_EVENT and suspect.first.time_ns in at_once:
                ways.append(weighed(at_once[suspect.first.time_ns]))
            logs.append(log_mean_exp(ways))
        elif any(suspect.exposed(o) for o in seen):
            said, drop = _claimed(suspect, seen, evidence, new)
            log = weighed(said)
            found = contrast(suspect, seen, evidence.baselines)
            logs.append(min(log, still) - _REFUTED if _fell_alike(found, drop) else log)
        else:
            logs.append(-math.inf)
        contrasts.append(found)
    everywhere = log_mean_exp(onsets) if seen else 0.0
    spots = {layer: weighed(log) for layer, log in _spots(seen, evidence, suspects, new).items()}
    logs.append(log_mean_exp([max(everywhere, sharp), *spots.values()]))
    better = {layer: log - everywhere for layer, log in spots.items()}
    return Fit(
        evidence=evidence, seen=seen, times=times, onsets=onsets, logs=logs, still=still, spots=better,
        contrasts=contrasts,
    )  # fmt: skip


def _claimed(
    suspect: Suspect, seen: Sequence[Observed], evidence: Evidence, new: Collection[str]
) -> tuple[float, float]:
    """How well it fits that what the suspect served fell, and by how much that would be. Of what a route brings to
    another model only the answers of that one need be worse."""
    claimed = tally(seen, suspect.exposed)
    said = log_likelihood(claimed, evidence.baselines)
    if new and suspect.first.kind == "routes":
        narrow = tally(seen, lambda o: suspect.exposed(o) and asset_of(o.pins.get("models", "")) in new)
        said = log_mean_exp([said, log_likelihood(narrow, evidence.baselines)])
    return said, best_drop(claimed, evidence.baselines)


def new_models(seen: Sequence[Observed], evidence: Evidence) -> frozenset[str]:
    """The models that answer since the onset and hardly did before: another one is asked, so a route, a budget or a
    fallback sent requests there. No vendor changed anything."""
    since = evidence.onset_ns or evidence.alarm_ns
    counts: dict[str, list[int]] = {}
    total = [0, 0]
    for observed in seen:
        if pin := observed.pins.get("models"):
            later = observed.time_ns >= since
            counts.setdefault(asset_of(pin), [0, 0])[later] += 1
            total[later] += 1
    if min(total) < _ARM:
        return frozenset()
    return frozenset(
        name
        for name, (was, now) in counts.items()
        if now / total[1] >= _SPOT and was / total[0] < _HARDLY * now / total[1]
    )


def _spots(
    seen: Sequence[Observed], evidence: Evidence, suspects: Sequence[Suspect], new: Collection[str]
) -> dict[int, float]:
    """For a layer of which several versions serve at once: the log-likelihood that the answers of one of them fell at
    some time, and the others did not. What is silent at one vendor, or in one corpus, shows in this. What a suspect
    brought is not silent: that its answers fell is what the suspect claims. That those of a ``new`` model are worse is
    the operations' doing: they ask it."""
    brought = {(suspect.first.kind, suspect.first.after) for suspect in suspects}
    found = {}
    for kind in ("models", "corpora"):
        counts = Counter(pin for o in seen if (pin := o.pins.get(kind)))
        if counts.total() < len(seen):
            continue
        split = [pin for pin, n in counts.items() if _SPOT <= n / len(seen) <= 1.0 - _SPOT][:_MOST_SPOTS]
        split = [pin for pin in split if asset_of(pin) not in new and (kind, pin) not in brought]
        logs = [
            log_mean_exp(onset_likelihoods(seen, evidence.baselines, lambda o, p=pin, k=kind: o.pins.get(k) == p)[1])  # type: ignore[misc]
            for pin in split
        ]
        if logs:
            found[int(LAYER_OF_KIND[kind])] = log_mean_exp(logs)
    if new:
        weak = onset_likelihoods(seen, evidence.baselines, lambda o: asset_of(o.pins.get("models", "")) in new)[1]
        found[int(Layer.OPERATIONS)] = log_mean_exp(weak)
    return found


def _noticed(suspect: Suspect, times: Sequence[int], onsets: Sequence[float]) -> float:
    """An event without a version: all fell at about its time (a deployment), or some time before it was noticed."""
    at = suspect.first.time_ns
    late = _EARLY_NS if suspect.first.kind in LAYER_OF_EVENT else NOTICED_LATE_NS
    near = [log for time_ns, log in zip(times, onsets, strict=True) if at - late <= time_ns <= at + _EARLY_NS]
    return log_mean_exp(near)


def _at_once(suspects: Sequence[Suspect], seen: Sequence[Observed], evidence: Evidence) -> dict[int, float]:
    """A deployment serves from the moment that it is there: by that moment, how well it fits that all fell right then.
    One moment is not met by chance as a time near the fall is, so it does not matter how many deployments there were.

    Only where there are answers from before it and from after it. Without, it would say that all is low, or that
    nothing is, and would fit every deployment of another day.
    """
    times = [observed.time_ns for observed in seen]
    moments = {s.first.time_ns for s in suspects if not s.pinned and s.first.kind in LAYER_OF_EVENT}
    since = {at: len(times) - bisect_left(times, at) for at in moments}
    counts = sorted({count for count in since.values() if 0 < count < len(times)})
    if not counts:
        return {}
    logs = dict(zip(counts, onset_likelihoods(seen, evidence.baselines, counts=counts)[1], strict=True))
    return {at: logs[count] for at, count in since.items() if count in logs}


def _fell_alike(found: Contrast, drop: float) -> bool:
    """Whether chance chose whom the change reached and those did not fall by as much as it would take: while its share
    grows with time it would else explain whatever fell in that time."""
    effect = found.effect
    if effect is None or min(effect.n_exposed, effect.n_unexposed) < _ARM:
        return False
    return found.randomised and effect.low > -drop / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The signals that one cause explains (the alarmed one first), those that another one does, with its place, and the
    joint log-likelihoods."""

    together: tuple[Fit, ...]
    apart: tuple[tuple[Fit, int], ...]
    logs: Sequence[float]


def group(alarmed: Fit, others: Sequence[Fit], suspects: Sequence[Suspect], quiet: Collection[int] = ()) -> Group:
    """Keep the signals that the alarmed one's cause may have moved, and weigh the explanations on all of them.

    A signal that clearly prefers an explanation which the alarmed one clearly does not is explained away: a harmless
    side effect of another change would else swallow the incident, or be blamed for it. So is a harm whose explanation
    says nothing of the alarmed signal, however little the others say of that either. So is one that only its own
    layer can move, where a change of that layer explains it, as one of another layer does the alarmed one. What no
    change records happened once: it explains what fell when the alarmed signal did.
    """
    together, apart = [alarmed], []
    own, none = alarmed.best, len(suspects)
    since = _fell_at(alarmed)
    moved: list[Sequence[float]] = [alarmed.logs]
    for other in others:
        if other.gain < MOVED:
            continue
        logs = [*other.logs[:none], _fell_with(other, since)]
        best = max(range(len(logs)), key=logs.__getitem__)
        # What hurts counts in full, so it must not carry a change that says nothing of the alarmed signal.
        in_vain = other.evidence.harm and alarmed.logs[best] - alarmed.still < _EXPLAINS
        rather = alarmed.logs[own] - alarmed.logs[best] > _OWN or in_vain
        if rather and logs[best] - logs[own] > _OTHERS:
            apart.append((other, best))
        elif (place := _of_its_own(alarmed, other, suspects)) is not None:
            apart.append((other, place))
        else:
            together.append(other)
            moved.append(logs)
    count = 1.0 + _SHARED * (len(together) - 1)
    joint = []
    for place, log in enumerate(alarmed.logs):
        total = log + sum(
            max(logs[place], other.still, -math.inf if other.evidence.harm else max(logs) - _ASIDE)
            for other, logs in zip(together[1:], moved[1:], strict=True)
        )
        bonus = _its_layer(suspects[place].first, together, place, quiet) if place < len(suspects) else 0.0
        joint.append(total / count + bonus)
    return Group(together=tuple(together), apart=tuple(apart), logs=joint)


def _fell_at(alarmed: Fit) -> tuple[int, int]:
    """The time around the onset in which what nobody recorded moved the other signals too, if it did."""
    if not alarmed.times:
        at = alarmed.evidence.onset_ns or alarmed.evidence.alarm_ns
        return at - _AROUND_NS, at + _AROUND_NS
    likely = max(alarmed.onsets) - _OWN
    times = [time_ns for time_ns, log in zip(alarmed.times, alarmed.onsets, strict=True) if log >= likely]
    around = max(_AROUND_NS, max(times) - min(times))
    return min(times) - around, max(times) + around


def _fell_with(other: Fit, since: tuple[int, int]) -> float:
    """How well it fits another signal that nobody recorded its change, if that happened when the alarmed one fell."""
    low, high = since
    near = [log for time_ns, log in zip(other.times, other.onsets, strict=True) if low <= time_ns <= high]
    everywhere = log_mean_exp(other.onsets) if other.times else other.logs[-1]
    # What a layer's spots say stands beside the onsets, as in ``fit``.
    return other.logs[-1] if not near else other.logs[-1] - everywhere + min(everywhere, log_mean_exp(near))


def _of_its_own(alarmed: Fit, other: Fit, suspects: Sequence[Suspect]) -> int | None:
    """The place of the change that moved another signal by itself: both signals are surely moved by their own layers
    alone, those differ, and each has a change that explains it about as well as any."""
    mine, theirs = alarmed.evidence, other.evidence
    if mine.layer is None or theirs.layer in (None, mine.layer) or min(mine.tells, theirs.tells) < _SURELY:
        return None
    found = [_own_change(each, suspects) for each in (alarmed, other)]
    return found[1] if None not in found else None


def _own_change(each: Fit, suspects: Sequence[Suspect]) -> int | None:
    """The place of the best change of a signal's own layer, if none explains it much better."""
    own = [at for at, suspect in enumerate(suspects) if int(suspect.first.layer) == each.evidence.layer]
    at = max(own, key=each.logs.__getitem__, default=None)
    return at if at is not None and each.logs[at] > each.logs[each.best] - _OWN else None


def _its_layer(change: Change, together: Sequence[Fit], place: int, quiet: Collection[int]) -> float:
    """What the layers of the signals say of a change: for it that signals of its own layer moved as it would have moved
    them, against it that a signal did which its layer cannot move."""
    layer, alarmed = int(change.layer), together[0].evidence
    tells = (
        each.evidence.tells
        for each in together
        if each.evidence.layer == layer and each.logs[place] > each.logs[each.best] - _OWN
    )
    found = _OWN_LAYER * max(tells, default=0.0)
    spared = layer == Layer.OPERATIONS and (change.kind in LAYER_OF_EVENT or alarmed.layer in _OF_ROUTES)
    if alarmed.layer not in (None, layer) and not spared:
        found -= _STRANGE * max(0.0, alarmed.tells - _FROM)
    if change.kind == "judges" and layer in quiet:
        found -= _QUIET_JUDGE
    return found


def layers_of(together: Sequence[Fit], quiet: Collection[int] = ()) -> dict[int, float]:
    """The belief in each layer where nothing is recorded: from the layers whose own signals moved, those in ``quiet``,
    which are watched and did not move, and from whether one model or corpus fell alone."""
    logs, alarmed = {layer: math.log(share) for layer, share in _LAYERS.items()}, together[0].evidence
    for layer in logs:
        # The alarmed signal is the harm; what else moved may be the side effect of something else.
        tells = [
            each.evidence.tells * (1.0 if each is together[0] else _BESIDE)
            for each in together
            if each.evidence.layer == layer
        ]
        logs[layer] += _TELLS * max(tells, default=0.0)
        # A signal that its layer alone moves needs no version of it that fell alone: a search may fail as a whole.
        alike = _ALIKE_SAYS * (1.0 - alarmed.tells if alarmed.layer == layer else 1.0)
        logs[layer] += min(_SPOT_SAYS, max(-alike, together[0].spots.get(layer, 0.0)))
        if layer in quiet and not tells:
            logs[layer] -= _QUIET[layer]
    return dict(zip(logs, softmax(list(logs.values())), strict=True))
