"""Vectors kept on disk by what they were made from: a text is embedded once on a machine.

One SQLite file an embedder, in the folder `vectors` of ragemo's cache (see `ragemo.models`). Its
name is a hash of the embedder's identity and of the versions of the libraries that compute, so
nothing that changes a vector can go unnoticed. A row holds the text's SHA-256, never the text;
its vector; and a checksum of both.

A cache may only ever save time. A row whose checksum does not fit, and a file that is none, are
passed over and written anew; a folder that cannot be written means that nothing is kept.
`RAGEMO_VECTORS=off` does without. Several processes may use a file at once.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ragemo.files import canonical_json, sha256_bytes, write_ahead
from ragemo.models import cache_folder
from ragemo.retrieval.embedding.embedder import Embedder, Vectors
from ragemo.retrieval.embedding.wrapped import WrappedEmbedder

LIBRARIES = ("onnxruntime", "sentence-transformers", "tokenizers", "torch", "transformers")
"""Whose versions may change a vector in its last bits."""

MOST = 500_000
"""So many vectors of an embedder are kept, the newest (with minilm 0.8 GB)."""

AT_ONCE = 16_384
"""So many texts are embedded before they are written; what was stopped later need not be again."""

WAIT = 10.0
"""Seconds to wait for another process that writes."""

_TABLE = (
    "CREATE TABLE IF NOT EXISTS vectors "
    "(number INTEGER PRIMARY KEY, text TEXT UNIQUE, vector BLOB, checksum INTEGER)"
)

_ASKED = "SELECT text, vector, checksum FROM vectors WHERE text IN (SELECT value FROM json_each(?))"


def vectors_folder() -> Path:
    """Where the files are."""
    return cache_folder() / "vectors"


def with_cache(embedder: Embedder) -> Embedder:
    """The embedder with its vectors kept on disk, unless `RAGEMO_VECTORS` is "off"."""
    return embedder if os.environ.get("RAGEMO_VECTORS") == "off" else CachedEmbedder(embedder)


class CachedEmbedder(WrappedEmbedder):
    """An embedder that looks on disk first.

    Args:
        embedder: asked for what is not there.
        file: the cache; by default the embedder's own in `vectors_folder`.
        most: so many vectors are kept.
    """

    def __init__(self, embedder: Embedder, file: Path | None = None, *, most: int = MOST) -> None:
        super().__init__(embedder)
        self._file = file or vectors_folder() / f"{_name(embedder.identity)}.sqlite"
        self._most = most

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy elsewhere looks into the cache that is there."""
        return with_cache, (self._embedder,)

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda done: None
    ) -> Vectors:
        """See `Embedder.embed`."""
        distinct = list(dict.fromkeys(texts))
        keys = {
            text: sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in distinct
        }
        row_of = {text: row for row, text in enumerate(distinct)}
        vectors = np.zeros((len(distinct), self.dimension), dtype=np.float32)
        found = self._read([keys[text] for text in distinct], vectors)
        progress(int(found.sum()))
        new = [text for text, there in zip(distinct, found.tolist(), strict=True) if not there]
        rows = np.flatnonzero(~found)
        for start in range(0, len(new), AT_ONCE):
            some = new[start : start + AT_ONCE]
            own = vectors[rows[start : start + AT_ONCE]] = self._embedder.embed(some, progress)
            self._write([keys[text] for text in some], own)
        return vectors[[row_of[text] for text in texts]]

    def _read(self, keys: Sequence[str], vectors: Vectors) -> np.ndarray[Any, Any]:
        """Fill in the rows that are known; which ones, shape (len(keys),)."""
        row_of = {key: row for row, key in enumerate(keys)}
        found = np.zeros(len(keys), dtype=bool)
        if not self._file.is_file():
            return found
        with suppress(sqlite3.Error, OSError), self._opened() as opened:
            for key, data, checksum in opened.execute(_ASKED, (json.dumps(list(keys)),)):
                sound = isinstance(data, bytes) and len(data) == 4 * self.dimension
                if sound and _checksum(key, data) == checksum:
                    vectors[row_of[key]] = np.frombuffer(data, dtype="<f4")
                    found[row_of[key]] = True
        return found

    def _write(self, keys: Sequence[str], vectors: Vectors) -> None:
        rows = [
            (key, data := vector.astype("<f4").tobytes(), _checksum(key, data))
            for key, vector in zip(keys, vectors, strict=True)
        ]
        try:
            self._insert(rows)
        except sqlite3.DatabaseError as error:
            # Locked for too long, or a full disk: the next run is slower. No database: a new one.
            if not isinstance(error, sqlite3.OperationalError):
                with suppress(sqlite3.Error, OSError):
                    self._file.unlink(missing_ok=True)
                    self._insert(rows)
        except OSError:
            return

    def _insert(self, rows: Sequence[tuple[str, bytes, int]]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as opened, opened:
            opened.execute(_TABLE)
            # REPLACE, so that a damaged row is mended.
            opened.executemany(
                "INSERT OR REPLACE INTO vectors (text, vector, checksum) VALUES (?, ?, ?)", rows
            )
            opened.execute(
                "DELETE FROM vectors WHERE number <= (SELECT MAX(number) FROM vectors) - ?",
                (self._most,),
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=WAIT)) as opened:
            write_ahead(opened, WAIT)
            opened.execute("PRAGMA synchronous=NORMAL")
            yield opened


def kept_vectors() -> tuple[int, int]:
    """How many files there are, and their bytes."""
    files = [file for file in vectors_folder().glob("*.sqlite*") if file.is_file()]
    sizes = [file.stat().st_size for file in files]
    return sum(file.suffix == ".sqlite" for file in files), sum(sizes)


def _name(identity: Mapping[str, Any]) -> str:
    versions = {}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return sha256_bytes(canonical_json({"embedder": identity, "with": versions}).encode())[:32]


def _checksum(key: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key.encode()))
