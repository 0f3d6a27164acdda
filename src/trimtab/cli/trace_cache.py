"""``trimtab trace cache``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import click

from trimtab.core import BadInput
from trimtab.gateway.cache_trial import FEW, Asked, Near, Row, advised, nearest, table

from .listing import json_option, show_json, show_table
from .remote import Remote, server_options

#: Texts in one request for embeddings.
_BATCH = 100


@click.command(
    "cache",
    epilog="\b\nExamples:\n  trimtab trace cache 'name=support' --model openai/text-embedding-3-small\n"
    "  trimtab trace cache 'name=support' --model openai/text-embedding-3-small --same 0.95 --most 0.02 --show 20",
)
@click.argument("query", default="")
@click.option("--model", required=True, help="The model of embeddings that the cache would use, provider/model.")
@click.option("--limit", type=click.IntRange(2, 10_000), default=500, show_default=True, help="Traces, newest first.")
@click.option("--since", default="", help="So long ago (7d) or a time (2026-11-01).")
@click.option("--same", type=click.FloatRange(0, 1), default=0.9, show_default=True,
              help="Answers that are less alike than this count as different.")  # fmt: skip
@click.option("--most", type=click.FloatRange(0, 1), default=0.05, show_default=True,
              help="The share of hits that may have had another answer.")  # fmt: skip
@click.option("--show", type=click.IntRange(0, 1000), default=5, show_default=True,
              help="Hits to read, those whose answers differ most.")  # fmt: skip
@json_option
@server_options
def command(  # house: parameters because each is an option of the command
    remote: Remote, query: str, model: str, limit: int, since: str, same: float, most: float, show: int, as_json: bool
) -> None:
    """What a semantic cache would have answered, at each threshold, on your own questions. QUERY as for `trace list`.

    Questions and answers are sent to the model of embeddings, through the gateway: it needs a key that may ask.
    """
    given = list(_questions(remote, query, limit, since))
    if not given:
        raise BadInput("matches no answered question whose texts are kept.", field="query", mend="Try another.")
    near = nearest(_embedded(remote, model, given))
    rows = table(near, len(given), same)
    best = advised(rows, most)
    hits = [one for one in near if one.cosine >= (best or rows[-1]).threshold]
    shown = sorted(hits, key=lambda one: one.answers)[:show]
    if as_json:
        found = {"questions": len(given), "rows": [asdict(row) for row in rows], "pairs": [asdict(n) for n in shown]}
        show_json({**found, "threshold": best.threshold if best else None})
        return
    _print(rows, best, shown, most)


def _questions(remote: Remote, query: str, limit: int, since: str) -> Iterator[dict[str, str]]:
    """Question, answer and everything else of each trace, oldest first."""
    said = b"".join(remote.parts("/api/traces/export", q=query, format="jsonl", limit=limit, since=since))
    for line in reversed(said.splitlines()):
        root = json.loads(line)["spans"][0]
        told = root.get("attributes") or {}
        if root.get("status", "ok") != "ok" or told.get("cached_by") == "semantic":
            continue  # not whole, and never kept; or repeated by the cache itself, and so always alike
        asked = told.get("ask") or {}
        messages = asked.get("messages") or []
        last = messages[-1] if messages else {}
        question, answer = last.get("content"), root.get("output")
        if last.get("role") != "user" or not isinstance(question, str) or not question or not answer:
            continue
        found = [passage.get("text") for passage in told.get("passages") or ()]  # they stand before the question
        rest = [root["name"], messages[:-1], asked.get("params"), asked.get("prompt"), asked.get("variables"),
                asked.get("stream"), told.get("key"), found]  # fmt: skip
        yield {"group": json.dumps(rest, sort_keys=True), "question": question, "answer": answer}


def _embedded(remote: Remote, model: str, given: Sequence[Mapping[str, str]]) -> list[Asked]:
    texts = list(dict.fromkeys(text for one in given for text in (one["question"], one["answer"])))
    vectors: dict[str, list[float]] = {}
    for start in range(0, len(texts), _BATCH):
        some = texts[start : start + _BATCH]
        reply = remote.post("/v1/embeddings", {"model": model, "input": some, "encoding_format": "float"})
        vectors |= {some[row["index"]]: row["embedding"] for row in reply["data"]}
    return [
        Asked(**one, meaning=vectors[one["question"]], answer_meaning=vectors[one["answer"]])
        for one in given
    ]  # fmt: skip


def _print(rows: Sequence[Row], best: Row | None, shown: Sequence[Near], most: float) -> None:
    lines = [
        {
            "threshold": f"{row.threshold:.2f}",
            "hits": f"{row.hits} ({row.share:.0%})",
            "differing": row.differing,
            "bound": f"{row.bound:.0%}" if row.hits else "",
        }
        for row in rows
    ]
    columns = {"threshold": "THRESHOLD", "hits": "HITS", "differing": "OTHER ANSWER", "bound": "AT MOST (95 %)"}
    show_table(lines, columns, empty="")
    for one in shown:
        click.echo(f"\n{one.cosine:.3f}, answers {one.answers:.3f}\n  {one.earlier[:200]}\n  {one.question[:200]}")
    click.echo()
    if best is None:
        click.echo(f"No threshold is sure to keep other answers to {most:.0%} of the hits, of which it needs {FEW}.")
    else:
        click.echo(f"Write threshold: {best.threshold}. Read the pairs above before you do.")
