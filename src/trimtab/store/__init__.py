"""The doors to databases: the data folder, the metadata database, blobs, the span store and an in-memory text index."""

from . import tables
from .answers import Batch, Page, ScoreBucket, SpanBucket, Trace
from .blobs import Blobs
from .buckets import bucket_of, quantile
from .folder import DataFolder
from .metadata import ENGINE_VERSION, Metadata
from .settings import Settings
from .spans import SpanStore
from .textindex import TextIndex

__all__ = [
    "ENGINE_VERSION",
    "Batch",
    "Blobs",
    "DataFolder",
    "Metadata",
    "Page",
    "ScoreBucket",
    "Settings",
    "SpanBucket",
    "SpanStore",
    "TextIndex",
    "Trace",
    "bucket_of",
    "quantile",
    "tables",
]
