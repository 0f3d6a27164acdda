"""The signals that Trimtab watches: names of scores in [0, 1], higher is better, each with its layer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from trimtab.core import Layer

from .arrivals import CONNECTED, SENT
from .fairness import FAIR_SAMPLE
from .measures import MEASURES

#: Signals that no single request tells: see ``firmness`` and ``neighbours``, then the files in the order of the names:
#: ``rails``, ``wordings``, ``gaps``, ``searches``; and ``Watch.observe`` for the last.
FIRM, SPREAD, ASKED_ONCE = "judge_firm", "spread", "asked_once"
RAILS, KNOWN_PROMPT, ON_RECORD, QUERY_DIRECTION = "quiet_rails", "known_prompt", "on_record", "query_direction"
JUDGED = "judged"
#: Rails of a project that are told apart.
MOST_RAILS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """``layer`` None is an outcome: what users get, whoever is to blame.

    ``cost`` says where it can be afforded: on ``all`` requests, on a ``sample`` (it asks a judge or a person), or by a
    ``probe`` (requests of our own). A ``diagnostic`` signal may move without harm (a longer answer, an older passage):
    it explains incidents and opens none. A ``rare`` one is carried by some traffic only, and takes its part of the
    budget for false alarms with its first value. ``values`` is how many one request brings at most: the evidence that
    an alarm takes grows with it.
    """

    name: str
    layer: Layer | None
    title: str
    unit: str
    cost: Literal["all", "sample", "probe"]
    help: str
    diagnostic: bool = False
    rare: bool = False
    values: int = 1

    @property
    def tells(self) -> float:
        """How surely a move is the doing of its own layer, in [0, 1]. What is measured before the model is asked can be
        moved by nothing behind it; what is measured of the answer shows the faults of every layer."""
        return _TELLS.get(self.name, 0.4 if self.layer is not None else 0.0)

    @property
    def stake(self) -> float:
        """How much of the budget for false alarms is its own, as a weight among those that are watched. The more, the
        sooner a fall shows. Verdicts and outcomes move little and late, so they get the most; what only explains opens
        no incident."""
        if self.layer is None:
            return _STAKE_OF_VERDICTS if self.name == "quality" else _STAKE_OF_OUTCOMES
        return _STAKE_OF_CAUSES if self.diagnostic else 1.0


#: Parts of the budget for false alarms, see ``Signal.stake``.
_STAKE_OF_VERDICTS, _STAKE_OF_OUTCOMES, _STAKE_OF_CAUSES = 32.0, 2.0, 0.25


def _signals(*signals: Signal) -> dict[str, Signal]:
    return {signal.name: signal for signal in signals}


#: See ``Signal.tells``; 0.4 where nothing is said. Those of measures stand with them.
_TELLS = {
    "answered": 0.9, "complete": 0.6, "retrieved": 1.0, "fresh": 1.0, "assertions": 0.5, "allowed": 0.8,
    "judge_agreement": 1.0, "first_choice": 0.6, SPREAD: 0.9, FIRM: 0.4, FAIR_SAMPLE: 1.0, SENT: 1.0, CONNECTED: 1.0,
    RAILS: 0.6, KNOWN_PROMPT: 0.9, ON_RECORD: 0.4, QUERY_DIRECTION: 1.0, JUDGED: 1.0,
    **{measure.name: measure.tells for measure in MEASURES.values() if measure.tells is not None},
}  # fmt: skip

SIGNALS: dict[str, Signal] = _signals(
    Signal(
        name="answered", layer=Layer.MODEL, title="Answered", unit="share of requests", cost="all",
        help="The model answered without an error.",
    ),
    Signal(
        name="complete", layer=Layer.MODEL, title="Complete", unit="share of answers", cost="all",
        help="The answer was not cut off.",
    ),
    Signal(
        name="retrieved", layer=Layer.KNOWLEDGE, title="Retrieved", unit="share of requests", cost="all",
        help="Passages were found for the question.",
    ),
    Signal(
        name="fresh", layer=Layer.KNOWLEDGE, title="Fresh", unit="share of requests", cost="all",
        help="The passages that the answer cites, else the best one, are younger than the corpus allows.",
    ),
    Signal(
        name="cites", layer=Layer.PROMPT, title="Cites", unit="share of answers", cost="all",
        help="The answer cites a passage that it was given.",
    ),
    Signal(
        name="assertions", layer=Layer.PROMPT, title="Assertions", unit="share of answers", cost="all",
        help="The answer keeps every assertion of its prompt.",
    ),
    Signal(
        name="grounded", layer=None, title="Grounded", unit="share of answers", cost="all",
        help="The answer's words occur in the passages it cites, else in any passage it was given.",
    ),
    Signal(
        name="allowed", layer=Layer.SAFETY, title="Allowed", unit="share of requests", cost="all",
        help="The guard let the request and its answer through.",
    ),
    Signal(
        name="first_choice", layer=Layer.OPERATIONS, title="First choice", unit="share of requests", cost="all",
        help="The route's first target answered; no fallback was needed.",
    ),
    Signal(
        name="judge_agreement", layer=Layer.OPERATIONS, title="Judge agreement", unit="share of golden items",
        cost="probe", help="The live judge agrees with the expert's label on a golden item.",
    ),
    Signal(
        name="quality", layer=None, title="Quality", unit="mean verdict", cost="sample",
        help="The judge's verdict on the answer.",
    ),
    Signal(
        name="thumb", layer=None, title="Thumbs up", unit="share of feedback", cost="sample",
        help="What the users themselves say about the answer.",
    ),
    *(
        Signal(
            name=measure.name, layer=measure.layer, title=measure.title, unit=measure.unit, cost="all",
            help=measure.help, diagnostic=not measure.harm, rare=measure.rare,
        )
        for measure in MEASURES.values()
    ),
    Signal(
        name=FAIR_SAMPLE, layer=Layer.OPERATIONS, title="Fair sample", unit="share of pairs", cost="sample",
        help="Doubtful answers, and those of every slice, are judged as often as their neighbours.",
    ),
    Signal(
        name=FIRM, layer=Layer.OPERATIONS, title="Judge firm", unit="share of doubtful answers", cost="sample",
        help="The judge fails answers whose words stand in no passage as often as usual.", diagnostic=True,
    ),
    Signal(
        name=SPREAD, layer=Layer.KNOWLEDGE, title="Spread", unit="share of requests", cost="all",
        help="No document is suddenly in many contexts.", diagnostic=True,
    ),
    Signal(
        name=ASKED_ONCE, layer=None, title="Asked once", unit="share of questions", cost="all",
        help="Nobody asks the same again within ten minutes of a session.",
    ),
    Signal(
        name=SENT, layer=Layer.OPERATIONS, title="Spans sent", unit="share of spans", cost="all",
        help="Applications lose no span before it is sent.",
    ),
    Signal(
        name=CONNECTED, layer=Layer.OPERATIONS, title="Connected traces", unit="share of traces", cost="all",
        help="The trace of an application has its root, and every span its parent.",
    ),
    Signal(
        name=QUERY_DIRECTION, layer=Layer.KNOWLEDGE, title="Query direction", unit="share of questions", cost="all",
        help="Questions are embedded in the direction that is usual for their index.", diagnostic=True, rare=True,
    ),
    Signal(
        name=KNOWN_PROMPT, layer=Layer.PROMPT, title="Known prompt", unit="share of requests", cost="all",
        help="Instructions that do not come from the registry are known.", diagnostic=True, rare=True,
    ),
    Signal(
        name=RAILS, layer=Layer.SAFETY, title="Quiet rails", unit="share of requests", cost="all",
        help="No single rail of the guard finds something more often than usual.", diagnostic=True, rare=True,
        values=MOST_RAILS,
    ),
    Signal(
        name=ON_RECORD, layer=Layer.OPERATIONS, title="On record", unit="share of requests", cost="all",
        help="The change ledger knows every version that served the request.", diagnostic=True, rare=True,
    ),
    Signal(
        name=JUDGED, layer=Layer.OPERATIONS, title="Judged", unit="share of drawn answers", cost="sample",
        help="An answer that was drawn for a judge gets its verdict.", rare=True,
    ),
)  # fmt: skip

#: Those that are worked out of scores, and stored nowhere.
OF_SCORES = frozenset({FAIR_SAMPLE, FIRM, JUDGED})

_UNSTORED = frozenset({
    *MEASURES, *OF_SCORES, SPREAD, ASKED_ONCE, SENT, CONNECTED, RAILS, KNOWN_PROMPT, ON_RECORD, QUERY_DIRECTION,
})  # fmt: skip
#: The signals that are scores, stored with their traces; the others are worked out as requests and scores pass.
SCORED: dict[str, Signal] = {name: signal for name, signal in SIGNALS.items() if name not in _UNSTORED}

#: The name of a score that people added: one of a list of live scorers (``support.tone``) or a judge's criterion
#: (``quality.grounded``). The dot tells it from a misspelled signal.
_ADDED = re.compile(r"[^\s.][^.]{0,99}(\.[^.]{1,100}){1,3}")


def signal_of(name: str) -> Signal | None:
    """A signal by its name: Trimtab's own, or the score of a live scorer or criterion. None for what is no signal."""
    known = SIGNALS.get(name)
    if known is not None or not _ADDED.fullmatch(name):
        return known
    return Signal(
        name=name, layer=None, title=name, unit="mean score", cost="sample",
        help="A score of live traffic that a list of scorers or a judge's criterion gives.",
    )  # fmt: skip


def is_score(name: str) -> bool:
    """Whether a signal is stored as scores; the others are worked out as requests and scores pass."""
    return name in SCORED or name not in SIGNALS
