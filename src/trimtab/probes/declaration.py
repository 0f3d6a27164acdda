"""What a probe is declared as: its kind, what it looks at, when, on which budget, and who answers for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from trimtab.core import BadInput, Layer

#: What an alarm leads to: a line in the change ledger alone, or an incident with its owner paged too.
ACTIONS = ("note", "page")
#: Seconds between two runs: at least, and at most.
LEAST_EVERY_S, MOST_EVERY_S = 60.0, 30 * 86_400.0
#: Probes that are declared at most.
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of probe. ``asset`` is the registry kind that its alarm is about. ``costs`` says whether it asks models,
    and so needs a budget. ``options`` are numbers by name: what they are without configuration, least and most."""

    name: str
    layer: Layer
    asset: str
    costs: bool
    every_s: float
    value: str
    help: str
    runbook: str
    options: Mapping[str, tuple[float, float, float]]
    severity: int = 2


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="vendor", layer=Layer.MODEL, asset="models", costs=True, every_s=3600.0,
            value="distance from the reference",
            help="Asks border inputs for one token each: does another model answer behind the name?",
            runbook="Compare the reported model and fingerprint with the reference. Run your regression dataset against"
            " the model. Divert the route to its fallback, or accept the new model as usual.",
            options={
                "queries": (8, 1, 200), "inputs": (6, 3, 50), "samples": (40, 5, 100), "candidates": (120, 0, 2000),
                "tolerance": (0.13, 0.02, 0.9), "golden": (2, 0, 50), "identities": (1, 1, 32),
            },
        ),
        Kind(
            name="guard_attacks", layer=Layer.SAFETY, asset="guards", costs=False, every_s=3600.0,
            value="share of attacks stopped",
            help="Sends known attacks through the live policy: are they still stopped?",
            runbook="List what passes now. Move the policy's label back, or look why a scanner fails open.",
            options={"tolerance": (0.05, 0, 1), "floor": (0.5, 0, 1)}, severity=1,
        ),
        Kind(
            name="guard_benign", layer=Layer.SAFETY, asset="guards", costs=False, every_s=3600.0,
            value="share of good requests passed",
            help="Sends good requests through the live policy: do they still pass?",
            runbook="List what is stopped now and by which rule. Move the policy's label back, or raise a threshold.",
            options={"tolerance": (0.05, 0, 1), "floor": (0.9, 0, 1)},
        ),
        Kind(
            name="retrieval", layer=Layer.KNOWLEDGE, asset="corpora", costs=False, every_s=3600.0,
            value="known documents found",
            help="Asks questions whose document is known: is it among the first passages?",
            runbook="Compare the corpus snapshot with the one before; move its label back, or index what is missing.",
            options={"k": (5, 1, 50), "items": (40, 5, 500), "tolerance": (0.1, 0, 1)},
        ),
        Kind(
            name="judge", layer=Layer.OPERATIONS, asset="judges", costs=True, every_s=3600.0,
            value="agreement with the experts",
            help="Lets the live judge decide cases that experts have decided: does it still agree?",
            runbook="Compare the judge's version and its model with the reference. Move its label back, or calibrate"
            " it anew before its scores are believed.",
            options={"queries": (10, 1, 200), "reference": (60, 20, 1000)},
        ),
        Kind(
            name="citations", layer=Layer.KNOWLEDGE, asset="corpora", costs=True, every_s=3600.0,
            value="citations that carry their answer",
            help="Asks recorded questions again, with and without the document that was cited: does the answer change?",
            runbook="Read the answers that stay as they are. Compare prompt and model with those of the reference: the"
            " model answers from memory, or cites what it did not use. Take the last change of either back.",
            options={"queries": (5, 1, 100), "reference": (60, 20, 1000)},
        ),
        Kind(
            name="corpus", layer=Layer.KNOWLEDGE, asset="corpora", costs=False, every_s=6 * 3600.0,
            value="findings",
            help="Looks in documents for instructions to a model, and for near-duplicate passages that disagree in a"
            " number, a date or a negation.",
            runbook="Read what was found. Take the document out or mend it, and move the corpus's label.",
            options={"documents": (500, 1, 20_000), "threshold": (0.65, 0.2, 1)},
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One probe. ``target`` is ``provider/model``, or the address of a policy, a corpus or a judge; ``dataset`` the
    address of the team's own cases ("": the built-in ones). ``every_s`` is seconds between two runs. ``usd`` and
    ``calls`` bound a day (UTC), None where nothing is said. ``on`` False keeps it from running by itself."""

    name: str
    kind: str
    target: str = ""
    dataset: str = ""
    every_s: float = 0.0
    usd: float | None = None
    calls: int | None = None
    owner: str = ""
    action: str = "page"
    severity: int = 0
    runbook: str = ""
    on: bool = True
    options: Mapping[str, float] = field(default_factory=dict)

    @property
    def of(self) -> Kind:
        """Its kind."""
        return KINDS[self.kind]

    @property
    def layer(self) -> Layer:
        """The layer that its alarm is about."""
        return self.of.layer

    @property
    def asleep(self) -> str:
        """Why it does not run, a sentence; "" when it does."""
        if not self.on:
            return "It is switched off in the configuration."
        if self.of.costs and self.usd is None and self.calls is None:
            return f"It asks a model, which costs money: give it a budget under probes.{self.name}.budget."
        return ""

    @property
    def a_year(self) -> float:
        """How many times in a year it asks one thing, about: what the rate of its false alarms is set by."""
        return 365.0 * 86_400.0 / self.every_s * self.option("queries")

    @property
    def digest(self) -> str:
        """Changes when what it looks at changes, so that an old reference is not compared with."""
        said = [self.kind, self.target, self.dataset, sorted(self.options.items())]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def option(self, name: str) -> float:
        """A number of its kind."""
        return self.options.get(name, self.of.options[name][0])

    def count(self, name: str) -> int:
        """A whole number of its kind."""
        return int(self.option(name))


def checked(said: Declaration, owner_of: Mapping[Layer, str]) -> Declaration:
    """The declaration with what its kind gives filled in. Raises BadInput naming the field and the mend."""
    where = f"probes.{said.name}"
    if not said.name or len(said.name) > 100 or not said.name.replace("-", "").replace("_", "").isalnum():
        raise BadInput(f"{said.name[:60]!r} is no name.", field=where, mend="Use letters, digits, - and _, up to 100.")
    kind = KINDS.get(said.kind)
    if kind is None:
        mend = f"Use one of {', '.join(KINDS)}."
        raise BadInput(f"{said.kind!r} is no kind of probe.", field=f"{where}.kind", mend=mend)
    for name, value in said.options.items():
        if name not in kind.options:
            known = ", ".join(kind.options)
            raise BadInput(f"{name!r} is no option.", field=f"{where}.options.{name}", mend=f"{said.kind} has {known}.")
        _, least, most = kind.options[name]
        if not least <= value <= most:
            raise BadInput("is out of range.", field=f"{where}.options.{name}", mend=f"Write {least:g} to {most:g}.")
    every_s = said.every_s or kind.every_s
    if not LEAST_EVERY_S <= every_s <= MOST_EVERY_S:
        raise BadInput("is out of range.", field=f"{where}.every", mend="Write 1m to 30d.")
    if said.kind == "vendor" and "/" not in said.target:
        raise BadInput("must be a model.", field=f"{where}.target", mend="Write provider/model: a route mixes several.")
    if said.usd is not None and not said.usd > 0:
        raise BadInput("must be above 0.", field=f"{where}.budget.usd", mend="Write US dollars a day, such as 0.05.")
    if said.calls is not None and said.calls < 1:
        raise BadInput("must be 1 or more.", field=f"{where}.budget.calls", mend="Write calls a day, such as 500.")
    if said.action not in ACTIONS:
        raise BadInput(f"{said.action!r} is no action.", field=f"{where}.action", mend="Write note or page.")
    severity = said.severity or kind.severity
    if severity not in (1, 2, 3, 4):
        raise BadInput(f"{severity} is no severity.", field=f"{where}.severity", mend="Give 1 (worst) to 4.")
    owner = said.owner.strip() or owner_of.get(kind.layer, "")
    if not owner:
        raise BadInput("is owned by nobody.", field=f"{where}.owner", mend="Name who gets its alarm.")
    return replace(
        said, every_s=every_s, severity=severity, owner=owner, runbook=said.runbook or kind.runbook
    )  # fmt: skip


def usual(
    *, models: Iterable[str], judge: str = "", golden: str = "", named: Mapping[str, Declaration]
) -> list[Declaration]:
    """The probes that exist without configuration, where the configuration does not say another by the same name.

    What asks no model runs; what does is listed and waits for a budget.
    """
    own = list(named.values())
    found = [
        Declaration(name="guard-attacks", kind="guard_attacks"),
        Declaration(name="guard-benign", kind="guard_benign"),
        Declaration(name="retrieval", kind="retrieval"),
        Declaration(name="corpus", kind="corpus"),
    ]
    if judge and golden and not any(d.kind == "judge" for d in own):
        found.append(Declaration(name="judge", kind="judge", target=judge, dataset=golden))
    covered, asked = {d.target for d in own if d.kind == "vendor"}, list(dict.fromkeys(models))
    if asked:
        found.append(Declaration(name="citations", kind="citations"))
    for ref in asked:
        name = "vendor-" + "".join(letter if letter.isalnum() else "-" for letter in ref)[:80]
        if ref not in covered:
            found.append(Declaration(name=name, kind="vendor", target=ref))
    rest = [d for d in found if d.name not in named]
    return [*own, *rest][:MOST]
