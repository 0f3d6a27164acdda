"""Layer 3: prompts, examples, tools and the steps between them. Carried by ``prompts``."""

from __future__ import annotations

from functools import partial

from .fault import Fault

_prompt = partial(Fault, carrier="prompts", layer=3)

FAULTS = (
    _prompt(
        name="instruction dropped", title="the rule to answer from the passages is gone",
        knobs=lambda s: {"careless": s, "uncited": s}, telltale=("cites",), tuned=True,
    ),
    _prompt(
        name="format broken", title="tools are called with text instead of JSON", slice="intent=orders",
        knobs=lambda s: {"badjson": 2.0 * s}, reaches=("slice",), telltale=("tool_arguments",),
    ),
    _prompt(
        name="wrong example", title="the model copies the example's value", knobs=lambda s: {"example": s},
        tuned=True,
    ),
    _prompt(
        name="variable missing", title="a variable of the template is not filled", knobs=lambda s: {"unfilled": s},
        telltale=("filled", "willing"), tuned=True,
    ),
    _prompt(
        name="wrong locale", title="German users get the English prompt", slice="language=de",
        knobs=lambda s: {"tongue": 1.5 * s}, reaches=("slice",),
    ),
    _prompt(
        name="tool schema drift", title="the prompt describes arguments that the tool no longer takes",
        slice="intent=cancelling", knobs=lambda s: {"toolname": 2.5 * s}, reaches=("slice",), tuned=True,
    ),
    _prompt(
        name="loop", title="the agent calls the same tool again and again", slice="intent=orders",
        knobs=lambda s: {"loop": 2.0 * s}, reaches=("slice",), telltale=("steps", "no_repeats", "cost"),
    ),
    _prompt(
        name="history cut", title="later turns lose what was said before",
        knobs=lambda s: {"forget": min(1.0, 2.0 * s)}, telltale=("willing",), reaches=("all", "sticky"),
    ),
    _prompt(
        name="wrong prompt chosen", title="the router sends questions to another intent's prompt",
        knobs=lambda s: {"misroute": s}, telltale=("willing",),
    ),
    _prompt(
        name="rambling", title="answers grow until they are cut", knobs=lambda s: {"ramble": s},
        telltale=("complete", "length"), tuned=True,
    ),
    _prompt(
        name="embellishing", title="answers add what no passage says", knobs=lambda s: {"invent": s},
        telltale=("length",),
    ),
    Fault(
        name="template bypassed", title="a deployment builds the prompt itself and forgets a variable", layer=3,
        knobs=lambda s: {"unfilled": s}, carrier="application", telltale=("filled", "willing"),
    ),
)  # fmt: skip
