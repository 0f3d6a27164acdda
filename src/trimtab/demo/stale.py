"""The documentation as it might have been long ago: what an index job serves that picks up the wrong folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trimtab.knowledge import Document

AGE_DAYS = 500
_DAY_NS = 86_400 * 1_000_000_000

#: What a page says now, and what its old state said. Each first text occurs in the documentation.
STALE: tuple[tuple[str, str], ...] = (
    # gateway
    ("4100", "8080"),
    ("at most 10 MiB large", "at most 2 MiB large"),
    ("answered with status 404, and the error lists the names that exist", "answered with status 400 and no details"),
    ("and is 3 unless the route says otherwise", "and is 5 unless the route says otherwise"),
    ("x-trimtab-trace-id", "x-correlation-id"),
    ("`data: [DONE]`", "`event: end`"),
    ("only before the first byte of the answer was sent", "at any moment of the answer"),
    ("x-trimtab-tags", "x-labels"),
    ("status 429", "status 503"),
    ("starts with `tt-`", "starts with `vk_`"),
    ('"tt-..."', '"vk_..."'),
    ("`x-trimtab-prompt` header", "`x-template` header"),
    ("answered with status 401", "answered with status 403"),
    # registry
    ("nine kinds", "four kinds"),
    (
        "They are prompts, models, corpora, guards, routes, judges, datasets, monitors and scorers.",
        "They are prompts, models and routes.",
    ),
    ("A version is immutable: nobody can edit or delete it.", "A version can be edited by its author for a day."),
    ("returns the existing version and makes no new number", "makes another version with a new number"),
    ("up to 100 characters", "up to 32 characters"),
    ("takes effect with the next request, without a restart", "takes effect after the server was restarted"),
    ("the second gets status 409", "the second overwrites the first"),
    ("only one running rollout", "up to four running rollouts"),
    ("moves the label to the candidate for everybody", "copies the candidate into the base version"),
    ("goes one step further back and never forward", "restores what the first one took away"),
    ("at most 16 MiB of JSON", "at most 1 MiB of JSON"),
    # traces
    ("32 hexadecimal digits", "16 letters and digits"),
    ("spans are dropped and the drop is counted", "requests wait until there is room"),
    ("to `POST /v1/traces`", "to `POST /collector`"),
    ("only after the spans are committed to disk", "as soon as the spans have arrived"),
    ("shown as unpriced and never as zero", "shown with a cost of zero"),
    ("shown in US dollars", "shown in euros"),
    ("at most 32 MiB as sent", "at most 4 MiB as sent"),
    ("buckets of 10 seconds", "buckets of five minutes"),
    ("compressed with zstd", "compressed with gzip"),
    ("are part of the input tokens and are not added to them", "are counted on top of the input tokens"),
    ("means that a text contains another", "means that two numbers are close"),
    # guard
    ("regular expressions of the RE2 engine", "regular expressions of the PCRE engine"),
    ("RE2 needs linear time, so no text can make a pattern hang", "A slow pattern is stopped after a second"),
    ("with a placeholder such as `[redacted:api-key]`", "with three asterisks"),
    ("the hardest action wins", "the first rule wins"),
    ("Private keys are blocked in both directions", "Private keys are flagged and let through"),
    ("A card number counts only if its Luhn check digit is right", "Any 16 digits count as a card number"),
    ("the last 128 characters", "the last 20 words"),
    ("is therefore still found", "goes through unseen"),
    ("lets nothing through", "is skipped"),
    ("`POST /api/guard/scan`", "`POST /api/moderate`"),
    # incidents
    ("The first 60 scores", "The first 500 scores"),
    ("at most one false alarm per million healthy requests", "about one false alarm a day"),
    ("only when the cause is proven or is the candidate of a running rollout", "only after the owner has agreed"),
    ("the route is diverted to its fallback model", "the owner is told to wait for the vendor"),
    ("open, acknowledged, mitigated, resolved and closed", "new, running and done"),
    ("Severity 1 is the worst and severity 4 is a note", "Severity 5 is the worst and severity 0 is a note"),
    ("are never recorded as traffic", "are counted like all other traffic"),
    ("requires a lesson", "requires the consent of its owner"),
    # operations
    ("trimtab-data", "var/trimtab"),
    ("lasts 12 hours", "lasts 30 days"),
    ("15 seconds to finish", "one minute to finish"),
    ("stored only as SHA-256 hashes", "stored encrypted with the admin key"),
    ("about 0.7 GB", "about 6 GB"),
    ("copy the whole data folder", "dump the database"),
    ("at least 16 characters", "at least 8 characters"),
    ("Write `env:NAME`, and the value is read from the environment variable of that name.", "Write it in plain text."),
    ("It prints 20 traces", "It prints 100 traces"),
    ("After ten wrong keys within a minute", "After three wrong keys within a day"),
)


def make_stale(documents: Sequence[Document]) -> list[Document]:
    """The same documents with outdated facts, each dated AGE_DAYS earlier."""
    return [
        replace(document, text=_outdated(document.text), updated_ns=document.updated_ns - AGE_DAYS * _DAY_NS)
        for document in documents
    ]


def _outdated(text: str) -> str:
    for current, outdated in STALE:
        text = text.replace(current, outdated)
    return text
