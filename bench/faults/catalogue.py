"""All fault types, and the pairs of them that happen together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import layer_knowledge, layer_model, layer_operations, layer_prompt, layer_safety
from .fault import Fault, checked

FAULTS: tuple[Fault, ...] = checked(
    (
        *layer_model.FAULTS, *layer_knowledge.FAULTS, *layer_prompt.FAULTS, *layer_safety.FAULTS,
        *layer_operations.FAULTS,
    )
)  # fmt: skip
BY_NAME = {fault.name: fault for fault in FAULTS}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two faults of different layers. ``apart``: requests between their onsets.

    ``cascade``: both break the same requests. ``disjoint``: each breaks its own slice. ``masking``: the second hides
    what the first does.
    """

    first: Fault
    second: Fault
    kind: Literal["cascade", "disjoint", "masking"]
    apart: int


#: Names of (first, second), by what they do to each other.
_CASCADES = (
    ("silent swap", "instruction dropped"), ("quantised model", "chunking change"), ("truncation", "rambling"),
    ("vendor errors", "route to a weak model"), ("context cut", "duplicates"), ("over-refusal", "over-blocking rule"),
    ("sampling change", "embellishing"), ("wrong language", "foreign documents"),
    ("missing documents", "wrong example"), ("old snapshot", "instruction dropped"),
    ("ranker regression", "over-blocking rule"), ("embedding mismatch", "route to a weak model"),
    ("poisoned documents", "threshold too strict"), ("contradictions", "embellishing"),
    ("chunking change", "wrong prompt chosen"), ("search outage", "rambling"),
    ("variable missing", "threshold too strict"), ("history cut", "guard fails closed"),
    ("wrong example", "rules out of order"), ("embellishing", "timeout too short"),
    ("over-blocking rule", "rate limit too low"), ("rules out of order", "route to a weak model"),
)  # fmt: skip
_DISJOINT = (
    ("broken tool calls", "partial reindex"), ("silent swap", "strict access filter"),
    ("format broken", "old snapshot"), ("tool schema drift", "search outage"),
    ("loop", "missing documents"), ("tool forbidden", "wrong locale"),
    ("tool forbidden", "vendor errors"), ("prices gone", "variable missing"), ("prompt cache off", "missing documents"),
    ("retry storm", "over-blocking rule"), ("token count change", "chunking change"), ("loop", "over-refusal"),
)  # fmt: skip
_MASKING = (
    ("instruction dropped", "judge lenient"), ("missing documents", "judge drifts lenient"),
    ("silent swap", "judge fails open"), ("over-blocking rule", "judge lenient"), ("wrong example", "sampling bias"),
    ("chunking change", "judge fails open"), ("embellishing", "judge drifts lenient"), ("truncation", "judge lenient"),
)  # fmt: skip

PAIRS: tuple[Pair, ...] = (
    *(Pair(BY_NAME[a], BY_NAME[b], "cascade", 60 * (i % 4)) for i, (a, b) in enumerate(_CASCADES)),
    *(Pair(BY_NAME[a], BY_NAME[b], "disjoint", 80 * (i % 3)) for i, (a, b) in enumerate(_DISJOINT)),
    *(Pair(BY_NAME[a], BY_NAME[b], "masking", 0) for a, b in _MASKING),
)
