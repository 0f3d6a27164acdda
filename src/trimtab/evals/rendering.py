"""JSON and Markdown of every evaluation record: one wording for the terminal, pull requests and screens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from trimtab.core import BadInput
from trimtab.stats import Bias, Interval

from .biases import UNKNOWN, PairDiagnosis, found
from .calibrate import Calibration, CriterionCalibration, Preferences
from .compare import CaseDelta, Delta
from .estimate import PPI, ROGAN_GLADEN, PassRate
from .figures import percent, signed_points
from .gate import GateResult, Power
from .meanings import WORDS
from .splits import Split
from .stability import Stability
from .status import JudgeStatus

#: Cases that a rendering names of each kind.
_NAMED = 10

T = TypeVar("T")


def plain(record: Any) -> dict[str, Any]:
    """A record as JSON values: objects, lists, text, numbers, booleans and null."""
    value = msgspec.to_builtins(record)
    if not isinstance(value, dict):
        raise TypeError(f"{type(record).__name__} is no record")
    return value


def loaded(kind: type[T], value: Mapping[str, Any]) -> T:
    """A record of this kind from what ``plain`` made of it. Raises BadInput naming what does not fit."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"is no {kind.__name__}: {error}.", field=kind.__name__) from error


def markdown(record: Any) -> str:
    """A record in short Markdown. Raises TypeError for a record that has none."""
    render = _RENDERERS.get(type(record))
    if render is None:
        raise TypeError(f"{type(record).__name__} has no rendering")
    return render(record)


def _interval(interval: Interval | None, show: Callable[[float], str]) -> str:
    if interval is None:
        return "not known"
    return f"{show(interval.value)} ({show(interval.low)} to {show(interval.high)})"


def _plain_number(value: float) -> str:
    return f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    """Text of others, shown as it is: its backticks and line ends cannot end the span."""
    return f"`{' '.join(text.split()).replace('`', chr(39))[:200]}`"


def _notes(notes: Sequence[str]) -> str:
    return "".join(f"\n- {note}" for note in notes)


def _calibration(record: Calibration) -> str:
    parts = [f"**Judge {_code(record.judge)}: {record.answer}** (the bar is kappa {record.bar:g}, by its lower bound)"]
    compares = any(c.preferences for c in record.criteria)
    rows = [
        [
            c.criterion or "verdict",
            c.answer,
            _interval(c.kappa, _plain_number),
            "not known" if c.lower is None else f"{c.lower:.3f}",
            _interval(c.ceiling, _plain_number),
            _interval(c.agreement, percent),
            *([] if compares else [_interval(c.tpr, percent), _interval(c.tnr, percent)]),
            str(c.cases),
        ]
        for c in record.criteria
    ]
    head = ["criterion", "answer", "kappa (95 %)", "lower bound", "people among themselves", "agreement",
            *([] if compares else ["TPR", "TNR"]), "test cases"]  # fmt: skip
    parts.append(_table(head, rows))
    parts += [_criterion(c) for c in record.criteria]
    return "\n\n".join(parts)


def _criterion(c: CriterionCalibration) -> str:
    lines = [f"**{c.criterion or 'verdict'}**: {c.why}", ""]
    if c.confusion:
        lines.append(
            f"- The judge let {c.confusion.fail_pass} failures pass and failed {c.confusion.pass_fail} good outputs; "
            f"it was right on {c.confusion.pass_pass + c.confusion.fail_fail} of {c.cases}."
        )
    if c.drawn:
        lines.append(f"- {c.drawn}")
    if c.preferences:
        lines += _preferences(c.preferences)
    if c.more_labels:
        lines.append(f"- About {c.more_labels} more test labels would decide.")
    if c.errors or c.unsettled:
        lines.append(f"- Without a verdict: {c.errors}. People are split on {c.unsettled}.")
    if c.flips:
        lines.append(f"- Asked again, it changes its verdict on {_interval(c.flips, percent)} of outputs.")
    if c.pairs:
        lines += _pair_lines(c.pairs)
    lines += [f"- {line}" for line in _bias_lines(c.biases)]
    lines.append(f"- Look {c.look} at these test labels: its bound holds at {percent(1.0 - c.alpha)}.")
    return "\n".join(lines)


def _preferences(counts: Preferences) -> list[str]:
    """What the judge chose, by what people preferred."""
    sides = (("answer A", counts.people_a), ("neither", counts.people_tie), ("answer B", counts.people_b))
    return [
        f"- People prefer {name} in {sum(row)} pairs: the judge chose A in {row[2]}, B in {row[0]}, and neither in "
        f"{row[1]} (its orders disagree, or it saw a tie)."
        for name, row in sides
        if sum(row)
    ]


def _bias_lines(biases: Sequence[Bias]) -> list[str]:
    beyond = found(biases)
    lines = [f"Bias by {b.name}: {_effect(b)}; {b.what}; p = {b.p:.2g}." for b in beyond]
    lines += [f"Bias by {b.name} is {b.what} (n {b.n})." for b in biases if b.what.startswith(UNKNOWN)]
    clean = [f"{b.name} {_effect(b)}" for b in biases if b not in beyond and not b.what.startswith(UNKNOWN)]
    return [*lines, *([f"No bias beyond chance by {'; '.join(clean)}."] if clean else [])]


def _effect(b: Bias) -> str:
    return f"{b.effect:+.2f} ({b.low:+.2f} to {b.high:+.2f}, n {b.n})"


def _pairs(record: PairDiagnosis) -> str:
    return "\n".join([f"**{record.pairs} pairs judged in both orders**", "", *_pair_lines(record)])


def _pair_lines(record: PairDiagnosis) -> list[str]:
    lines = [
        f"- Over {record.pairs} pairs judged in both orders, the order changes {_interval(record.flips, percent)} of "
        f"verdicts; the first place wins {_interval(record.picks_first, percent)}.",
    ]
    if record.accuracy:
        lines.append(
            f"- People agree with {_interval(record.accuracy, percent)} of its verdicts, each order counted, on "
            f"{record.accuracy.n} pairs."
        )
    return lines + [f"- {line}" for line in _bias_lines(record.biases)]


#: How the methods of estimates are called.
METHOD_NAMES = {PPI: "PPI++", ROGAN_GLADEN: "Rogan-Gladen"}


def _rate(record: PassRate) -> str:
    text = (
        f"**Pass rate {percent(record.value)}** ({percent(record.low)} to {percent(record.high)}, "
        f"{percent(record.level, 0)}; {record.cases} cases, {record.errors} errors; {corrected_by(record)})"
    )
    lines = [f"Why this method: {record.why}."] if record.why else []
    if record.tpr and record.tnr:
        lines.append(
            f"The judge passes {_interval(record.tpr, percent)} of {record.tpr.n} good answers and fails "
            f"{_interval(record.tnr, percent)} of {record.tnr.n} bad ones; the rate holds where it errs as often here."
        )
    return text + (_notes([*lines, *record.notes]) and "\n" + _notes([*lines, *record.notes]))


def corrected_by(record: PassRate) -> str:
    """The method of an estimate with its sample size and what the judge alone says, in words."""
    text = f"method: {METHOD_NAMES.get(record.method, record.method)}"
    if record.labels:
        text += f" with {record.labels} labels; the judge alone says {percent(record.raw)}"
    return text


def _delta(record: Delta) -> str:
    low, high, label = signed_points(record.low), signed_points(record.high), percent(record.level, 0)
    lines = [
        f"**{signed_points(record.value)} points** ({low} to {high}, {label}): "
        f"{percent(record.old_rate)} to {percent(record.new_rate)} on {record.cases} cases in both runs.",
        "",
        f"- {record.n_worse} cases are worse, {record.n_better} better; {record.left_out} left out.",
        f"- These data find a drop of {100.0 * record.detectable:.1f} points with 80 % power.",
    ]
    if record.generation_share is not None:
        lines.append(f"- {percent(record.generation_share, 0)} of the uncertainty would shrink with more repeats.")
    if record.undiluted is not None:
        lines.append(f"- Behind the judge's errors: {signed_points(record.undiluted)} points.")
    lines += _changed("Worse", record.worse, record.n_worse) + _changed("Better", record.better, record.n_better)
    return "\n".join(lines)


def _changed(title: str, cases: Sequence[CaseDelta], count: int) -> list[str]:
    if not cases:
        return []
    shown = [f"{_code(c.case)} {c.old:.2f} to {c.new:.2f}" for c in cases[:_NAMED]]
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return [f"- {title}: {', '.join(shown)}{more}."]


def _gate(record: GateResult) -> str:
    about = f" on {_code(record.score)}" if record.score else ""
    lines = [f"**Gate{about}: {record.answer}.** {record.why}"]
    if record.about:
        lines.append(f"\n{record.about}")
    if record.more_cases:
        lines.append(f"\nAbout {record.more_cases} more cases would decide, if the difference is what it seems.")
    if record.anytime is not None:
        low, high = record.anytime
        lines.append(
            f"\nHowever often one looks, the difference is {signed_points(low)} to {signed_points(high)} points."
        )
    if record.delta is not None:
        lines.append("\n" + _delta(record.delta))
    if record.rate is not None:
        lines.append("\n" + _rate(record.rate))
    return "\n".join(lines)


def _power(record: Power) -> str:
    text = f"**{record.sentence}.** With 80 % it finds {100.0 * record.detectable:.1f} points"
    if record.cases_for_80 is not None:
        text += f"; for {100.0 * record.drop:g} points with 80 % it takes {record.cases_for_80} cases"
    return f"{text}."


def _stability(record: Stability) -> str:
    low, high = record.repeats
    repeats = str(low) if low == high else f"{low} to {high}"
    lines = [
        f"**{record.cases} cases x {repeats} repeats: mean {_interval(record.mean, percent)}**, "
        f"{record.errors} errors.",
        "",
    ]
    if record.shares:
        split = ", ".join(f"{name} {percent(share, 0)}" for name, share in record.shares.items())
        lines.append(f"- The spread of scores comes from: {split}.")
    if record.flips:
        lines.append(f"- Two outputs for one case end differently with {_interval(record.flips, percent)}.")
    if record.judge_flips:
        lines.append(f"- Two judgements of one output differ with {_interval(record.judge_flips, percent)}.")
    lines.append(
        f"- Passed every time: {_interval(record.pass_all, percent)} of cases; at least once: "
        f"{_interval(record.pass_any, percent)}."
    )
    if record.unsteady:
        shown = [f"{_code(c.case)} {c.passed} of {c.outputs}" for c in record.unsteady[:_NAMED]]
        lines.append(f"- Most unsteady: {', '.join(shown)}.")
    if high > 1:
        by = record.alike if record.alike != WORDS else "words, not by meaning: no embedding model was named"
        lines.append(f"- Answers to one case were compared by {by}.")
    for answers in record.divergent[:_NAMED]:
        sizes = " / ".join(str(len(c.repeats)) for c in answers.clusters)
        examples = "; ".join(_code(c.example[:80]) for c in answers.clusters[:3])
        lines.append(f"- {_code(answers.case)} was answered in {len(answers.clusters)} ways ({sizes}): {examples}.")
    lines += [f"- {note}" for note in record.notes]
    return "\n".join(lines)


def _status(record: JudgeStatus) -> str:
    return f"Judge {_code(record.judge)} is **{record.state}**: {record.why}"


def _split(record: Split) -> str:
    return (
        f"**{len(record.dev)} groups refine the judge, {len(record.test)} only measure it**; "
        f"looks at the latter so far: {len(record.looks)}."
    )


_RENDERERS: Mapping[type, Callable[[Any], str]] = {
    Calibration: _calibration,
    Delta: _delta,
    GateResult: _gate,
    JudgeStatus: _status,
    PairDiagnosis: _pairs,
    PassRate: _rate,
    Power: _power,
    Split: _split,
    Stability: _stability,
}
