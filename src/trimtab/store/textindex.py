"""Lexical search over a handful of thousand texts, in memory."""

from __future__ import annotations

import re
import sqlite3
import threading
import weakref
from collections.abc import Sequence

#: More words than this do not make a question any clearer.
_MOST_WORDS = 64
_WORD = re.compile(r"[^\W_]+")


class TextIndex:
    """An immutable full-text index: SQLite FTS5 with Porter stemming over Unicode words, accents ignored.

    It may be searched from any thread. It keeps no copy of the texts and frees its memory when it is forgotten.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        weakref.finalize(self, self._connection.close)
        self._connection.execute(
            "CREATE VIRTUAL TABLE texts USING fts5(body, content='', tokenize='porter unicode61 remove_diacritics 2')"
        )
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO texts (rowid, body) VALUES (?, ?)",
            ((position, _storable(body)) for position, body in enumerate(texts)),
        )
        self._connection.execute("COMMIT")

    def search(self, query: str, limit: int) -> list[tuple[int, float]]:
        """The best texts for the words of ``query``, best first, as (position in ``texts``, BM25 score).

        A text matches when it has any of the words; higher scores are better. The query has no syntax: whatever a
        person types is safe. Equal scores keep the order of the texts.
        """
        words = list(dict.fromkeys(word.casefold() for word in _WORD.findall(query)))[:_MOST_WORDS]
        if not words or limit < 1:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            found = self._connection.execute(
                "SELECT rowid, -bm25(texts) FROM texts WHERE texts MATCH ? ORDER BY bm25(texts), rowid LIMIT ?",
                (match, limit),
            ).fetchall()
        return [(int(position), float(score)) for position, score in found]


def _storable(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8 and a NUL would end the text; both count as a gap between words."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")
