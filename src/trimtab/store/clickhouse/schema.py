"""The tables in ClickHouse: one wide table of spans that are never changed, and what is derived from it on insert."""

from __future__ import annotations

from trimtab.core import Conflict

from .connection import FIELD, Connection

#: The tables below, as they are kept in ``trimtab_store``. In 1 there was no index of sessions.
VERSION = 2
SPANS, SCORES, IDS = "trimtab_spans", "trimtab_scores", "trimtab_ids"
SPAN_ROLLUP, SCORE_ROLLUP = "trimtab_span_rollup", "trimtab_score_rollup"
#: The tables with a partition for every day.
DAILY = (SPANS, SCORES, IDS, SPAN_ROLLUP, SCORE_ROLLUP)
#: An insert is on disk before it is answered.
_DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1"
#: Rows of one key are reduced to the one with the greatest ``first``, which is the one that was numbered first.
_FIRST = "first Int64 DEFAULT -seq"

_SESSIONS = "INDEX by_session session TYPE bloom_filter(0.01) GRANULARITY 1"
_WORD, _TEXT, _LONG = "LowCardinality(String)", "String CODEC(ZSTD(1))", "String CODEC(ZSTD(3))"
_WHOLE, _TIME = "Nullable(Int64) CODEC(ZSTD(1))", "Int64 CODEC(Delta, ZSTD(1))"
_STAMP = "\n  ".join(f"stamp_{layer} {_WORD}," for layer in ("model", "knowledge", "prompt", "guard", "route"))

# Sorted by time, for nearly every question is about the newest spans and has no project: reading backwards stops at the
# first fifty. Text lies as it is, block after block of a column compressed together, and folded where folding changes
# more than A to Z. ``trimtab_ids`` is the index of ids, in small granules, so that a thousand are found at once.
_TABLES = (
    f"""CREATE TABLE IF NOT EXISTS {SPANS} (
  day Date, seq {_TIME}, writer {_WORD}, {_FIRST},
  trace_id {_TEXT}, span_id {_TEXT}, parent_id {_TEXT},
  project {_WORD}, session {_TEXT}, name {_WORD}, kind {_WORD}, status {_WORD}, layer {_WHOLE},
  start_ns {_TIME}, end_ns {_TIME},
  model {_WORD}, provider {_WORD}, fingerprint {_WORD},
  {_STAMP}
  input_tokens {_WHOLE}, output_tokens {_WHOLE}, cached_tokens {_WHOLE}, reasoning_tokens {_WHOLE},
  cost_usd Nullable(Float64) CODEC(ZSTD(1)), ttft_ns {_WHOLE},
  tags Map({_WORD}, String), folded Map({_WORD}, String), bucket Int32,
  error {_TEXT}, input {_LONG}, output {_LONG}, input_folded {_LONG}, output_folded {_LONG}, attributes {_LONG},
  INDEX by_seq seq TYPE minmax GRANULARITY 1,
  {_SESSIONS}
) ENGINE = ReplacingMergeTree(first) PARTITION BY day ORDER BY (start_ns, trace_id, span_id)
  SETTINGS {_DURABLE}""",
    f"""CREATE TABLE IF NOT EXISTS {SCORES} (
  day Date, seq {_TIME}, writer {_WORD}, {_FIRST},
  id {_TEXT}, trace_id {_TEXT}, span_id {_TEXT}, project {_WORD}, name {_WORD}, value Float64, by {_WORD},
  by_version {_WORD}, label {_WORD}, reason {_TEXT}, slice {_WORD}, time_ns {_TIME},
  {_STAMP}
  INDEX by_seq seq TYPE minmax GRANULARITY 1,
  INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree(first) PARTITION BY day ORDER BY (time_ns, id) SETTINGS {_DURABLE}""",
    f"""CREATE TABLE IF NOT EXISTS {IDS} (day Date, trace_id {_TEXT}, span_id {_TEXT}, start_ns Int64)
  ENGINE = MergeTree PARTITION BY day ORDER BY (trace_id, span_id) SETTINGS index_granularity = 256, {_DURABLE}""",
    f"""CREATE MATERIALIZED VIEW IF NOT EXISTS {IDS}_of TO {IDS}
  AS SELECT day, trace_id, span_id, start_ns FROM {SPANS}""",
    f"""CREATE TABLE IF NOT EXISTS {SPAN_ROLLUP} (
  day Date, start_s Int64, project {_WORD}, bucket Int32,
  n Int64, errors Int64, refused Int64, input_tokens Int64, output_tokens Int64, cost_usd Float64, unpriced Int64
) ENGINE = SummingMergeTree((n, errors, refused, input_tokens, output_tokens, cost_usd, unpriced))
  PARTITION BY day ORDER BY (start_s, project, bucket) SETTINGS {_DURABLE}""",
    f"""CREATE MATERIALIZED VIEW IF NOT EXISTS {SPAN_ROLLUP}_of TO {SPAN_ROLLUP} AS SELECT
  day, intDiv(start_ns, 10000000000) * 10 AS start_s, project, bucket,
  toInt64(count()) AS n, toInt64(countIf(status = 'error')) AS errors, toInt64(countIf(status = 'refused')) AS refused,
  sum(ifNull(trimtab_spans.input_tokens, 0)) AS input_tokens,
  sum(ifNull(trimtab_spans.output_tokens, 0)) AS output_tokens,
  sum(ifNull(trimtab_spans.cost_usd, 0.)) AS cost_usd,
  toInt64(countIf(isNull(trimtab_spans.cost_usd))) AS unpriced
  FROM {SPANS} WHERE parent_id = '' GROUP BY day, start_s, project, bucket""",
    f"""CREATE TABLE IF NOT EXISTS {SCORE_ROLLUP} (
  day Date, start_s Int64, project {_WORD}, name {_WORD}, slice {_WORD}, n Int64, total Float64, total_sq Float64
) ENGINE = SummingMergeTree((n, total, total_sq)) PARTITION BY day ORDER BY (start_s, project, name, slice)
  SETTINGS {_DURABLE}""",
    f"""CREATE MATERIALIZED VIEW IF NOT EXISTS {SCORE_ROLLUP}_of TO {SCORE_ROLLUP} AS SELECT
  day, intDiv(time_ns, 10000000000) * 10 AS start_s, project, name, slice,
  toInt64(count()) AS n, sum(value) AS total, sum(value * value) AS total_sq
  FROM {SCORES} GROUP BY day, start_s, project, name, slice""",
    "CREATE TABLE IF NOT EXISTS trimtab_store (version UInt32) ENGINE = MergeTree ORDER BY version",
)


def prepare(connection: Connection) -> str:
    """Make the tables where they are missing, and return the store's id. Raises Conflict for newer ones."""
    for sql in _TABLES:
        connection.run(sql)
    version = int(connection.rows("SELECT max(version) FROM trimtab_store")[0][0])
    if version > VERSION:
        raise Conflict(
            f"the span store has schema {version}, newer than this program's {VERSION}.",
            field=FIELD,
            mend="Use the program that made it or a newer one, or another database.",
        )
    if version == 1:  # of the parts that come from now on
        connection.run(f"ALTER TABLE {SPANS} ADD {_SESSIONS.replace('INDEX', 'INDEX IF NOT EXISTS', 1)}")
    if version < VERSION:
        connection.run(f"INSERT INTO trimtab_store VALUES ({VERSION})")
    ((uuid,),) = connection.rows(
        "SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = %s", (SPANS,)
    )
    return str(uuid)[:8]


def days(connection: Connection) -> list[str]:
    """The days that have rows, oldest first."""
    found = connection.rows(
        "SELECT DISTINCT partition FROM system.parts WHERE database = currentDatabase() AND active AND table IN %s",
        (DAILY,),
    )
    return sorted(str(day) for (day,) in found)


def settled(connection: Connection) -> bool:
    """Whether no part that was replaced lies on the disk still."""
    ((old,),) = connection.rows(
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND NOT active AND table IN %s", (DAILY,)
    )
    return not old
