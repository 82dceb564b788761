"""Where window vectors are searched: by exact comparison, in one of FAISS's indexes, or outside.

A store only proposes. Guards and similarities computed pair by pair decide among what it finds, see
`ragemo.retrieval.searcher`, so a store may be approximate and may live anywhere.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.stores.faiss_library import load_faiss

EXACT = "Flat"
"""The factory string of exact search."""

OUTSIDE: dict[str, str] = {"lancedb": "ragemo.retrieval.stores.lance_store:LanceStore"}
"""Stores of other libraries: the name that stands for a factory string -> where the class is."""

ADDED_AT_ONCE = 65_536
"""Windows that are read and added in one go, which bounds the memory that building takes."""

TILE = 1024, 2048
"""So many queries are compared with so many windows in one product of FAISS's. That is half of what
it takes by default (4,096 and 1,024), and among many windows it is done sooner."""

Rows = npt.NDArray[np.int64]


class VectorStore(Protocol):
    """Anything that proposes the nearest of some stored vectors, by inner product."""

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Scores and positions of about the k nearest, the nearest first, shape (n, k) each.

        The position is -1 where fewer than k were found.
        """
        ...


class FarVectors(VectorStore, Protocol):
    """Window vectors that do not lie in this process; their search is exact."""

    def similarities(self, rows: Rows, queries: Vectors) -> npt.NDArray[np.float64]:
        """See `ragemo.retrieval.similarities.similarities_of_each`; rows are the index's."""
        ...


class WrittenStore(VectorStore, Protocol):
    """A store that lies in a file or folder of its own beside the vectors."""

    def write(self, path: Path) -> None:
        """Write it; nothing is at `path` yet.

        Raises:
            OSError, RuntimeError: if it cannot be written.
        """
        ...


class OutsideStore(WrittenStore, Protocol):
    """A store of another library, exact to single precision; it lies in a folder of its own."""

    @classmethod
    def make(cls, vectors: Vectors, rows: Rows) -> OutsideStore:
        """A store of the given rows of some vectors, in their order.

        Raises:
            SettingsError: if the library is not installed.
        """
        ...

    @classmethod
    def read(cls, path: Path, *, count: int, dimension: int) -> OutsideStore:
        """What `write` wrote, or anybody else: nothing in it may run or reach out of the folder.

        Raises:
            SettingsError: if the library is not installed.
            Exception: whatever the library raises, if it does not hold that many such vectors.
        """
        ...


def is_exact(factory: str) -> bool:
    """Whether a store of such a factory finds exactly the nearest, to single precision."""
    return factory == EXACT or factory in OUTSIDE


def store_name(factory: str) -> str | None:
    """What the store's file or folder is called in an index's folder; None: it has none."""
    if factory == EXACT:
        return None
    return f"windows.{factory if factory in OUTSIDE else 'faiss'}"


def _outside(factory: str) -> type[OutsideStore]:
    module, _, class_name = OUTSIDE[factory].partition(":")
    return cast("type[OutsideStore]", getattr(import_module(module), class_name))


class ExactStore:
    """Compares a query with all vectors, which stay where they are: in memory or in a file.

    Args:
        vectors: shape (rows, D); a file that is mapped into memory is not copied.
        rows: those that count, rising.
    """

    def __init__(self, vectors: Vectors, rows: Rows) -> None:
        # Rows that do not count are cheaper to pass over than the others are to copy, unless
        # they are the most.
        self._whole = 2 * len(rows) > len(vectors)
        self._vectors = vectors if self._whole else vectors[rows]
        self._count = len(rows)
        self._position: Rows = np.full(len(self._vectors), -1, dtype=np.int64)
        self._position[rows if self._whole else slice(None)] = np.arange(len(rows))

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """See `VectorStore.search`; exact to single precision, and as many as there are."""
        total, k = len(self._vectors), min(k, self._count)
        if k == 0 or total == self._count:
            return _nearest(queries, self._vectors, k)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        found: Rows = np.full((len(queries), k), -1, dtype=np.int64)
        pending = np.arange(len(queries))
        fetch = min(total, k * total // self._count + 16)
        while len(pending):
            near, rows = _nearest(queries[pending], self._vectors, fetch)
            positions = np.where(rows >= 0, self._position[rows], -1)
            counts = positions >= 0
            # What is no number is near to nothing, and FAISS does not find it.
            enough = (counts.sum(axis=1) >= k) | (fetch == total)
            # Those that count, in their order, before the others.
            order = np.argsort(~counts[enough], axis=1, kind="stable")[:, :k]
            scores[pending[enough]] = np.take_along_axis(near[enough], order, axis=1)
            found[pending[enough]] = np.take_along_axis(positions[enough], order, axis=1)
            pending, fetch = pending[~enough], min(total, 4 * fetch)
        return scores, found


def _nearest(queries: Vectors, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
    """Scores and rows of the k nearest of all vectors.

    Scores may differ in their last digits by how many are asked about at once, which `Searcher`
    does not rest on.
    """
    if k == 0:
        return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
    if len(queries) == 1:
        # FAISS would take one core for it, and twice the time.
        return _nearest_to(queries[0], vectors, k)
    faiss = load_faiss()
    # By default FAISS multiplies matrices from 128,000 numbers of queries on; below, it compares
    # pair by pair, which for a few dozen queries takes ten times as long.
    faiss.cvar.distance_compute_blas_threshold = 2 * vectors.shape[1]
    faiss.cvar.distance_compute_blas_query_bs, faiss.cvar.distance_compute_blas_database_bs = TILE
    scores, found = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, found


def _nearest_to(query: Vectors, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
    """Scores and rows of the k vectors, at least one, nearest to one query, shape (1, k) each."""
    scores = vectors @ query
    scores[np.isnan(scores)] = -np.inf  # what is no number is near to nothing
    found: Rows = np.argpartition(scores, -k)[-k:]
    found = found[np.argsort(-scores[found], kind="stable")]
    return scores[found][None], found[None]


def make_store(vectors: Vectors, rows: Rows, factory: str) -> VectorStore:
    """A store of some vectors.

    Args:
        vectors: shape (all, D); may be mapped from a file.
        rows: those to be stored, rising.
        factory: FAISS's index factory string, or a name of `OUTSIDE`; "Flat" is `ExactStore`.

    Raises:
        SettingsError: if FAISS does not know the factory string or cannot make such an index, or
            what an outside store needs is not installed.
    """
    if factory == EXACT:
        return ExactStore(vectors, rows)
    if factory in OUTSIDE:
        return _outside(factory).make(vectors, rows)
    from ragemo.retrieval.stores.faiss_store import FaissStore  # it takes its words from here

    return FaissStore.make(vectors, rows, factory)


def read_store(path: Path, factory: str, *, count: int, dimension: int) -> WrittenStore:
    """A store from a file or folder that may be anybody's.

    Raises:
        ValueError: if it does not hold `count` vectors of `dimension`.
        RuntimeError: if FAISS cannot read it.
        SettingsError: if the library of an outside store is not installed.
        Exception: if that cannot read it.
    """
    if factory in OUTSIDE:
        return _outside(factory).read(path, count=count, dimension=dimension)
    from ragemo.retrieval.stores.faiss_store import FaissStore

    return FaissStore.read(path, count=count, dimension=dimension)
