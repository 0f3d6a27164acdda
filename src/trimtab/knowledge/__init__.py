"""Corpora: documents, their immutable snapshots, and the passages found in them."""

from .chunking import Chunk, chunks_of
from .corpora import Corpora, quarantined
from .disagreement import Disagreement, disagree, disagreements
from .documents import Document, Passage, render
from .markdown import load_markdown

__all__ = [
    "Chunk",
    "Corpora",
    "Disagreement",
    "Document",
    "Passage",
    "chunks_of",
    "disagree",
    "disagreements",
    "load_markdown",
    "quarantined",
    "render",
]
