"""Window vectors in a table of LanceDB's, on disk: exact search that holds no vector in memory.

LanceDB (Apache-2.0) runs inside the process, without a server. Its table is a folder of columns
that others can read, too (Arrow, DuckDB, pandas). Vectors are compared one and all, none of its
approximate indexes is asked, so that what it proposes is what `ExactStore` does, to single
precision.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from ragemo.errors import IndexFolderError, SettingsError
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.stores import ADDED_AT_ONCE, Rows

TABLE = "windows"

ASKED_AT_ONCE = 256
"""Queries in one search; LanceDB plans each of them apart."""


class LanceStore:
    """A table of vectors in their order.

    Args:
        folder: of the database, with `windows.lance` in it.
        count: how many vectors it holds.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._count = count

    @classmethod
    def make(cls, vectors: Vectors, rows: Rows) -> LanceStore:
        """A table of some vectors, in a temporary folder that is removed with the store.

        Raises:
            SettingsError: if LanceDB is not installed.
        """
        lancedb = _lancedb()
        import pyarrow

        dimension = vectors.shape[1]
        vector = pyarrow.list_(pyarrow.float32(), dimension)
        schema = pyarrow.schema([("position", pyarrow.int64()), ("vector", vector)])

        def batches() -> Iterator[Any]:
            for start in range(0, len(rows), ADDED_AT_ONCE):
                some = vectors[rows[start : start + ADDED_AT_ONCE]]
                positions = pyarrow.array(np.arange(start, start + len(some)))
                flat = pyarrow.array(some.reshape(-1))
                lists = pyarrow.FixedSizeListArray.from_arrays(flat, dimension)
                yield pyarrow.record_batch([positions, lists], schema=schema)

        folder = mkdtemp(prefix="ragemo-lance-")
        store = cls(Path(folder), len(rows))
        weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
        reader = pyarrow.RecordBatchReader.from_batches(schema, batches())
        lancedb.connect(folder).create_table(TABLE, data=reader)
        return store

    def write(self, path: Path) -> None:
        """Copy the database's folder.

        Raises:
            OSError: if it cannot be written.
        """
        shutil.copytree(self._folder, path)

    @classmethod
    def read(cls, path: Path, *, count: int, dimension: int) -> LanceStore:
        """A store from a folder that may be anybody's.

        Raises:
            SettingsError: if LanceDB is not installed.
            ValueError: if it does not hold `count` vectors of `dimension` in their order.
            Exception: of LanceDB's, if it cannot read it.
        """
        for file in sorted(path.rglob("*.manifest")):
            if b"://" in file.read_bytes():  # a table may say that it lies elsewhere
                raise ValueError(f"{file.name} names another place; expected none")
        store = cls(path, count)
        kind = store._table.schema.field("vector").type
        positions = store._table.search().select(["position"]).to_arrow()["position"]
        if getattr(kind, "list_size", 0) != dimension or not np.array_equal(
            positions.to_numpy(), np.arange(count)
        ):
            raise ValueError(f"{path.name} does not hold {count} vectors of {dimension} numbers")
        return store

    @cached_property
    def _table(self) -> Any:
        return _lancedb().connect(str(self._folder)).open_table(TABLE)

    def __getstate__(self) -> dict[str, Any]:
        """A copy elsewhere opens the same folder."""
        return {"_folder": self._folder, "_count": self._count}

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """See `ragemo.retrieval.stores.VectorStore`; exact, and as many as there are.

        Raises:
            IndexFolderError: if LanceDB can no longer read the table.
        """
        k = min(k, self._count)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        found: Rows = np.full((len(queries), k), -1, dtype=np.int64)
        for start in range(0, len(queries) if k else 0, ASKED_AT_ONCE):
            some = queries[start : start + ASKED_AT_ONCE]
            near = self._nearest(some, k)
            query = near["query_index"].to_numpy() if len(some) > 1 else np.zeros(len(near), int)
            distances = near["_distance"].to_numpy()  # 1 less the product
            order = np.lexsort((distances, query))
            query = query[order]
            rank = np.arange(len(query)) - np.searchsorted(query, query)
            scores[start + query, rank] = 1 - distances[order]
            found[start + query, rank] = near["position"].to_numpy()[order]
        return scores, found

    def _nearest(self, queries: Vectors, k: int) -> Any:
        """A table of LanceDB's answers; with one query alone it does not number them."""
        asked = queries[0] if len(queries) == 1 else list(queries)
        try:
            search = self._table.search(asked).distance_type("dot").bypass_vector_index()
            return search.limit(k).select(["position", "_distance"]).to_arrow()
        except (OSError, RuntimeError, ValueError) as error:
            raise IndexFolderError(
                f"{self._folder}: LanceDB cannot search its table ({error}); build the index anew"
            ) from None


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError:
        raise SettingsError(
            "index.factory 'lancedb' needs LanceDB: pip install 'ragemo[lancedb]'"
        ) from None
    return lancedb
