"""Layer 2: what the index holds and what retrieval finds. Carried by ``corpora``."""

from __future__ import annotations

from functools import partial

from .fault import Fault

_corpus = partial(Fault, carrier="corpora", layer=2)

FAULTS = (
    _corpus(
        name="index job died", title="the world moved on and the index did not", silent=True,
        knobs=lambda s: {"stale": s, "aged": 40.0}, telltale=("age", "fresh"), tuned=True,
    ),
    _corpus(
        name="old snapshot", title="a snapshot built from old documents went live",
        knobs=lambda s: {"stale": s, "aged": 300.0}, telltale=("age", "fresh"),
    ),
    _corpus(
        name="missing documents", title="a source was left out of the snapshot", knobs=lambda s: {"missing": 1.1 * s},
        telltale=("coverage", "top_score", "willing"), tuned=True,
    ),
    _corpus(
        name="partial reindex", title="a language was indexed half", silent=True, slice="language=de",
        knobs=lambda s: {"missing": 2.0 * s}, reaches=("slice",), telltale=("coverage", "top_score"),
    ),
    _corpus(
        name="poisoned documents", title="planted documents give orders",
        knobs=lambda s: {"poison": s, "orders": 1.0}, telltale=("plain_passages", "top_score"), tuned=True,
    ),
    _corpus(
        name="quiet poison", title="planted documents state other facts", silent=True,
        knobs=lambda s: {"poison": s}, telltale=("top_score",),
    ),
    _corpus(
        name="contradictions", title="old documents stand beside the new ones",
        knobs=lambda s: {"contradict": 2.0 * s}, telltale=("age",),
    ),
    _corpus(
        name="embedding mismatch", title="questions and index use different embeddings",
        knobs=lambda s: {"mismatch": s}, telltale=("coverage", "top_score"), tuned=True,
    ),
    _corpus(
        name="ranker regression", title="the right passage falls out of the first four",
        knobs=lambda s: {"demote": 1.4 * s}, telltale=("coverage", "top_score"), tuned=True,
    ),
    _corpus(
        name="chunking change", title="passages end before the fact", knobs=lambda s: {"chunk": 1.1 * s},
        telltale=("coverage",),
    ),
    _corpus(
        name="strict access filter", title="a tenant may not see its own documents", slice="tenant=borealis",
        knobs=lambda s: {"empty": 1.5 * s}, reaches=("slice",), telltale=("retrieved", "passages_found"),
    ),
    _corpus(
        name="search outage", title="the index answers with nothing now and then", silent=True,
        knobs=lambda s: {"empty": s}, telltale=("retrieved", "passages_found"), tuned=True,
    ),
    _corpus(
        name="duplicates", title="one document fills all four places", knobs=lambda s: {"crowd": s},
        telltale=("coverage",),
    ),
    _corpus(
        name="foreign documents", title="the other language's documents are found", knobs=lambda s: {"foreign": s},
        telltale=("coverage", "top_score"), reaches=("all", "slice"),
    ),
)  # fmt: skip
