"""What asking failing requests again adds to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trimtab.core import LAYER_OF_KIND, Layer

from .attribute import NO_EXPOSED, NO_REPLAY
from .report import PROVEN_AT, Arm, Candidate, Certainty, Report


def with_replay(report: Report, arms: Sequence[Arm]) -> Report:
    """The report with the arms and what they prove.

    An arm is proof at an e-value of 500 (five layers, 1 % in total). A single proving arm proves the cause of its
    layer; if no change stood out, it picks the best candidate of its layer. Where it points to another layer than the
    cause, that layer's best candidate becomes the cause, but only as likely: the two kinds of evidence disagree. The
    same when several changes of the layer are possible and the arm does not name what it put back. Several proving arms
    prove nothing alone. Without a proving arm the certainty stays what it was. ``slices`` and ``affected`` stay
    what the records showed.
    """
    tested = [arm for arm in arms if arm.n > 0]
    notes = [note for note in report.not_tested if note != NO_REPLAY or not tested]
    proving = [arm for arm in tested if arm.layer is not None and arm.e_value >= PROVEN_AT]
    layers = sorted({arm.layer for arm in proving if arm.layer is not None})
    cause, certainty = report.cause, report.certainty
    if len(layers) > 1:
        titles = " and ".join(Layer(layer).title for layer in layers)
        notes.append(f"Putting back {titles} each repairs failing requests: they may act together.")
        certainty = "likely" if certainty == "proven" else certainty
    elif layers:
        cause, certainty = _proved(report, proving, Layer(layers[0]))
        if cause is None or cause.layer != layers[0]:
            title = Layer(layers[0]).title
            notes.append(f"Putting back {title} repairs failing requests, but no recorded change of it reached them.")
    return report.evolve(
        cause=cause,
        certainty=certainty,
        candidates=_with_cause(report.candidates, cause),
        arms=tuple(arms),
        not_tested=tuple(notes),
    )


def _proved(report: Report, arms: Sequence[Arm], layer: Layer) -> tuple[Candidate | None, Certainty]:
    """The cause and certainty when arms of one layer prove and no others do."""
    rivals = [c for c in report.candidates if c.layer == layer and c.cleared != NO_EXPOSED]
    if not rivals:
        return report.cause, "likely" if report.certainty == "proven" else report.certainty
    put_back = [c for c in rivals if any(_names(arm, c) for arm in arms)]
    possible = put_back or [c for c in rivals if not c.cleared] or rivals
    agrees = report.cause is None or report.cause in possible
    cause = report.cause if report.cause is not None and agrees else replace(possible[0], cleared="")
    return cause, "proven" if agrees and len(possible) == 1 else "likely"


def _names(arm: Arm, candidate: Candidate) -> bool:
    """Whether the arm says that it put back what the candidate replaced: its pin, after its kind if it names one."""
    words = arm.restored.split()
    of_its_kind = candidate.kind in words or not any(word in LAYER_OF_KIND for word in words)
    return candidate.before in words and of_its_kind


def _with_cause(candidates: Sequence[Candidate], cause: Candidate | None) -> tuple[Candidate, ...]:
    """The cause first, the others in their order."""
    if cause is None:
        return tuple(candidates)
    return (cause, *(c for c in candidates if c.change_id != cause.change_id))
