"""An index's vectors lie in pieces on a cluster, and are searched where they lie.

A worker keeps what the index knows of its windows but the vectors. It asks every piece for the
nearest and joins what they say, see `ragemo.retrieval.pieces`; guards are heeded by the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ragemo.errors import SettingsError
from ragemo.pipeline.cluster.connection import Cluster, outcome
from ragemo.retrieval.embedder import Vectors
from ragemo.retrieval.index import Index
from ragemo.retrieval.neighbours import Floats
from ragemo.retrieval.pieces import Piece, cut, joined
from ragemo.retrieval.stores import EXACT, Rows
from ragemo.settings import OnlySettings, Settings

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle


class Holder:
    """An actor that holds a piece; one that begins anew takes it again when it is asked."""

    def __init__(self) -> None:
        self._piece: Piece | None = None

    def search(self, piece: list[ObjectRef], queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """See `Piece.search`.

        Args:
            piece: reference to the `Piece`, in a list, so that it does not come with every call.
            queries, k: see there.
        """
        return self._held(piece).search(queries, k)

    def similarities(self, piece: list[ObjectRef], rows: Rows, queries: Vectors) -> Floats:
        """See `Piece.similarities`."""
        return self._held(piece).similarities(rows, queries)

    def _held(self, piece: list[ObjectRef]) -> Piece:
        import ray

        if self._piece is None:
            self._piece = ray.get(piece[0])
        return self._piece


class FarPieces:
    """The `FarVectors` of an index in pieces.

    Args:
        holders: `Holder`s.
        pieces: references to the `Piece` of each.
    """

    def __init__(self, holders: Sequence[ActorHandle], pieces: Sequence[ObjectRef]) -> None:
        self._asked = list(zip(holders, ([piece] for piece in pieces), strict=True))

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """See `VectorStore.search`; exact to single precision."""
        return joined(self._all("search", queries, k), k)

    def similarities(self, rows: Rows, queries: Vectors) -> Floats:
        """See `FarVectors.similarities`."""
        found: Floats = np.maximum.reduce(self._all("similarities", rows, queries))
        return found

    def _all(self, what: str, *arguments: Any) -> list[Any]:
        """What all pieces say, asked at once."""
        import ray

        shared = [ray.put(one) for one in arguments]  # travels once to each node
        calls = [getattr(holder, what).remote(piece, *shared) for holder, piece in self._asked]
        return [outcome(call) for call in calls]


def check_pieces(index: Index, settings: Settings) -> None:
    """Refuse what cannot be done with an index whose vectors lie in pieces.

    Raises:
        SettingsError: if the index is not searched exactly by FAISS, or more is asked of its
            vectors than to be searched.
    """
    how = settings.retrieval
    reason = ""
    if index.factory != EXACT:
        reason = f"the index's factory is {index.factory}, and pieces are searched exactly (Flat)"
    elif how.k and [*how.strategy] != ["knn"]:
        reason = f"retrieval.strategy {', '.join(how.strategy)} reads vectors; knn searches alone"
    elif how.k and how.sets is not None:
        reason = "retrieval.sets reads all vectors"
    elif how.exclude != "dialogue":
        reason = f"retrieval.exclude {how.exclude} fits voters anew, which reads all vectors"
    elif how.only != OnlySettings():
        reason = "retrieval.only fits voters anew, which reads all vectors"
    if reason:
        raise SettingsError(f"--index-shards: {reason}; change that, or leave --index-shards out")


@contextmanager
def in_pieces(cluster: Cluster, index: Index, count: int) -> Iterator[Index]:
    """An index without its vectors, which lie in so many pieces on a cluster until the block ends.

    Args:
        cluster: where they are put, one after the other: at most one is copied at a time here.
        index: one that is searched exactly.
        count: of pieces, at least 1.
    """
    import ray

    with cluster.actors(Holder, count=count) as holders:
        pieces = [ray.put(piece) for piece in cut(index.window_vectors, index.examples, count)]
        yield index.apart(FarPieces(holders, pieces))
