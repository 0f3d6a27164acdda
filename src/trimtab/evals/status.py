"""Whether a judge may be believed, in one word that travels with every score it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .calibrate import CERTIFIED, Calibration

UNCALIBRATED, CALIBRATED, EXPIRED = "uncalibrated", "calibrated", "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeStatus:
    """``state`` is UNCALIBRATED, CALIBRATED or EXPIRED; ``why`` is one sentence; ``time_ns`` is that of the calibration
    it rests on, 0 without one."""

    judge: str
    state: str
    why: str
    time_ns: int = 0


def judge_status(judge: str, calibrations: Sequence[Calibration], *, model: str = "") -> JudgeStatus:
    """The status of a judge digest. ``calibrations`` are those of this judge's name, any digest, oldest first.

    The last calibration of the digest decides. A digest that has none while another digest of the name was certified is
    expired: its model (``model``, compared with the one remembered) or its rubric changed.
    """
    own = [calibration for calibration in calibrations if calibration.judge == judge]
    if own:
        last = own[-1]
        if last.answer == CERTIFIED:
            cases = min(criterion.cases for criterion in last.criteria)
            why = f"kappa is above {last.bar:g} on {cases} test cases."
            return JudgeStatus(judge=judge, state=CALIBRATED, why=why, time_ns=last.time_ns)
        doubtful = next(criterion for criterion in last.criteria if criterion.answer == last.answer)
        where = f"{doubtful.criterion}: " if doubtful.criterion else ""
        why = f"calibration did not certify it: {where}{doubtful.why}"
        return JudgeStatus(judge=judge, state=UNCALIBRATED, why=why, time_ns=last.time_ns)
    certified = [calibration for calibration in calibrations if calibration.answer == CERTIFIED]
    if not certified:
        return JudgeStatus(judge=judge, state=UNCALIBRATED, why="it was never compared with expert labels.")
    last = certified[-1]
    if model and last.model and model != last.model:
        what = f"its model changed from {last.model} to {model}"
    elif model and model == last.model:
        what = "its rubric changed"
    else:
        what = "its model or rubric changed"
    why = f"{what} since it was calibrated."
    return JudgeStatus(judge=judge, state=EXPIRED, why=why, time_ns=last.time_ns)
