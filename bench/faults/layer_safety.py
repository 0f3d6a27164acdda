"""Layer 4: the guard and those who try to get around it. Carried by ``guards``."""

from __future__ import annotations

from functools import partial

from .fault import Fault

_guard = partial(Fault, carrier="guards", layer=4)

FAULTS = (
    _guard(
        name="over-blocking rule", title="a rule takes good words for an attack", knobs=lambda s: {"overblock": s},
        telltale=("allowed", "quiet_rails"), tuned=True,
    ),
    _guard(
        name="guard fails open", title="the guard is down and everything passes", silent=True, harms="leak",
        knobs=lambda s: {"open": min(1.0, 3.0 * s)}, reaches=("all", "slice"),
        telltale=("guarded", "attacks_stopped"), tuned=True,
    ),
    _guard(
        name="guard fails closed", title="the guard is down and refuses", silent=True,
        knobs=lambda s: {"overblock": s, "scannerfail": s}, telltale=("allowed", "guard_sound", "quiet_rails"),
    ),
    Fault(
        name="injection campaign", title="many attacks, worded anew", silent=True, harms="leak", layer=4,
        carrier="guards", knobs=lambda s: {"attack": s, "bypass": 0.4}, reaches=("all",),
        telltale=("allowed", "attacks_stopped", "quiet_rails"),
    ),
    _guard(
        name="redactor off", title="personal data is let out", harms="leak",
        knobs=lambda s: {"leak": min(0.99, 4.0 * s)}, reaches=("all", "slice"), telltale=("private",),
    ),
    _guard(
        name="threshold too strict", title="the attack score that blocks was lowered",
        knobs=lambda s: {"overblock": s, "bypass": -0.04}, telltale=("allowed", "quiet_rails"), tuned=True,
    ),
    _guard(
        name="threshold too lax", title="the attack score that blocks was raised", harms="leak",
        knobs=lambda s: {"bypass": min(0.9, 0.6 + 2.0 * s)}, reaches=("all",),
        telltale=("allowed", "attacks_stopped"),
    ),
    _guard(
        name="rules out of order", title="redaction runs before the value is needed", knobs=lambda s: {"holes": s},
        telltale=("cites", "length"),
    ),
    _guard(
        name="tool forbidden", title="the guard forbids a tool that is needed", slice="intent=orders",
        knobs=lambda s: {"denytool": 2.5 * s}, reaches=("slice",), telltale=("willing",),
    ),
    _guard(
        name="scanner timeouts", title="a scanner runs out of time and half of that is refused", silent=True,
        knobs=lambda s: {"scannerfail": 2.0 * s, "overblock": s},
        telltale=("guard_sound", "allowed", "quiet_rails"), tuned=True,
    ),
)  # fmt: skip
