"""The doors to databases: the data folder, the metadata database, blobs, the span store and an in-memory text index."""

from . import tables
from .answers import Batch, Page, ScoreBucket, SpanBucket, Trace
from .blobs import Blobs
from .buckets import bucket_of, quantile
from .folder import DataFolder
from .metadata import ENGINE_VERSION, Metadata
from .settings import Settings
from .shared import Answer, Demand, Level, Purse, Shared, SharedState
from .shared_door import open_shared
from .spans import SpanStore
from .textindex import TextIndex

__all__ = [
    "ENGINE_VERSION",
    "Answer",
    "Batch",
    "Blobs",
    "DataFolder",
    "Demand",
    "Level",
    "Metadata",
    "Page",
    "Purse",
    "ScoreBucket",
    "Settings",
    "Shared",
    "SharedState",
    "SpanBucket",
    "SpanStore",
    "TextIndex",
    "Trace",
    "bucket_of",
    "open_shared",
    "quantile",
    "tables",
]
