"""Layer 1: what a vendor or a model does. Carried by ``models``; our own ledger knows only what the vendor reports."""

from __future__ import annotations

from functools import partial

from .fault import Fault

_alpha = partial(Fault, carrier="models", provider="alpha", layer=1)

FAULTS = (
    _alpha(
        name="silent swap", title="another model behind the same name, which reports itself", seen=True, silent=True,
        knobs=lambda s: {"wrong": 0.8 * s, "refuse": 0.2 * s}, telltale=("length", "willing"), tuned=True,
    ),
    _alpha(
        name="quantised model", title="a cheaper build behind the same name and fingerprint", silent=True,
        knobs=lambda s: {"wrong": s}, reaches=("all", "sticky"),
    ),
    _alpha(
        name="sampling change", title="the vendor's default temperature rose", seen=True, silent=True,
        knobs=lambda s: {"wrong": 0.6 * s, "invent": 0.4 * s},
    ),
    _alpha(
        name="truncation", title="answers end at a lower token limit", silent=True, telltale=("complete", "length"),
        knobs=lambda s: {"cut": s}, tuned=True,
    ),
    Fault(
        name="vendor errors", title="the vendor answers 503", silent=True, telltale=("answered", "first_choice"),
        knobs=lambda s: {"err": 1.7 * s**0.5}, reaches=("all", "slice"), tuned=True, layer=1, carrier="models",
    ),
    _alpha(
        name="vendor latency", title="the first token takes long", silent=True, harms="wait",
        knobs=lambda s: {"slow": 1.0 + 5.0 * s}, telltale=("first_token", "speed"), reaches=("all",),
    ),
    _alpha(
        name="context cut", title="the vendor drops the beginning of long prompts", silent=True,
        knobs=lambda s: {"narrow": s}, telltale=("willing",),
    ),
    _alpha(
        name="corrupt backend", title="one backend garbles what it serves to its sessions", silent=True,
        knobs=lambda s: {"garble": s}, reaches=("sticky",), telltale=("same_script", "cites"),
    ),
    _alpha(
        name="token count change", title="the same text costs more tokens", silent=True, harms="cost",
        knobs=lambda s: {"dear": 0.2 + 1.5 * s}, reaches=("all",), telltale=("cost", "prompt_length", "length"),
        tuned=True,
    ),
    _alpha(
        name="over-refusal", title="the model declines what it could answer", silent=True,
        knobs=lambda s: {"refuse": s}, telltale=("willing",),
    ),
    _alpha(
        name="wrong language", title="the model answers in another language than it is asked", silent=True,
        knobs=lambda s: {"tongue": s},
    ),
    _alpha(
        name="broken tool calls", title="the model's tool arguments are cut", silent=True, slice="intent=orders",
        knobs=lambda s: {"badjson": 2.0 * s}, reaches=("slice",), telltale=("tool_arguments",), tuned=True,
    ),
)  # fmt: skip
