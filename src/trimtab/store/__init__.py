"""The doors to databases: the data folder, the metadata database, blobs, the span store and an in-memory text index."""

from . import tables
from .answers import Batch, Erased, Group, Outline, Page, ScoreBucket, SpanBucket, Trace
from .blobs import Blobs
from .buckets import bucket_of, quantile
from .door import Spans
from .folder import DataFolder
from .metadata import ENGINE_VERSION, Metadata
from .payload import STRIPPED
from .settings import Settings
from .shared import Answer, Demand, Kind, Level, Purse, Shared, SharedState, taken
from .shared_door import open_shared
from .spans import SpanStore
from .spans_door import is_served, open_spans
from .textindex import TextIndex

__all__ = [
    "ENGINE_VERSION",
    "STRIPPED",
    "Answer",
    "Batch",
    "Blobs",
    "DataFolder",
    "Demand",
    "Erased",
    "Group",
    "Kind",
    "Level",
    "Metadata",
    "Outline",
    "Page",
    "Purse",
    "ScoreBucket",
    "Settings",
    "Shared",
    "SharedState",
    "SpanBucket",
    "SpanStore",
    "Spans",
    "TextIndex",
    "Trace",
    "bucket_of",
    "is_served",
    "open_shared",
    "open_spans",
    "quantile",
    "tables",
    "taken",
]
