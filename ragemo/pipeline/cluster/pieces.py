"""An index's vectors lie in pieces on a cluster, and are searched where they lie.

A worker keeps what the index knows of its windows but the vectors. It asks every piece for the
nearest and joins what they say, see `ragemo.retrieval.pieces`; guards are heeded by the worker.
What is asked about the index's own dialogues finds fewer examples among the same vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ragemo.errors import SettingsError
from ragemo.pipeline.cluster.connection import Cluster, outcome
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.index import Index
from ragemo.retrieval.pieces import Piece, cut, joined
from ragemo.retrieval.stores import EXACT, Rows
from ragemo.retrieval.voters.neighbours import Floats
from ragemo.settings import Settings

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle


@dataclass(frozen=True)
class FarPiece:
    """A piece that a holder takes when it is first asked, so that it does not come with every call.

    Attributes:
        holder: a `Holder`.
        bare: reference to the `Piece` without its vectors.
        vectors: reference to these, which are the same whichever examples are to be found.
    """

    holder: ActorHandle
    bare: ObjectRef
    vectors: ObjectRef


class Holder:
    """An actor that holds a piece; one that begins anew takes it again when it is asked."""

    def __init__(self) -> None:
        self._pieces: dict[ObjectRef, Piece] = {}

    def search(self, piece: FarPiece, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """See `Piece.search`."""
        return self._held(piece).search(queries, k)

    def similarities(self, piece: FarPiece, rows: Rows, queries: Vectors) -> Floats:
        """See `Piece.similarities`."""
        return self._held(piece).similarities(rows, queries)

    def _held(self, piece: FarPiece) -> Piece:
        import ray

        if piece.bare not in self._pieces:
            bare, vectors = ray.get([piece.bare, piece.vectors])
            self._pieces[piece.bare] = replace(bare, vectors=vectors)
        return self._pieces[piece.bare]


class FarPieces:
    """The `FarVectors` of an index in pieces.

    Args:
        pieces: all of them.
    """

    def __init__(self, pieces: Sequence[FarPiece]) -> None:
        self._pieces = pieces

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
        calls = [getattr(one.holder, what).remote(one, *shared) for one in self._pieces]
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
    if reason:
        raise SettingsError(f"--index-shards: {reason}; change that, or leave --index-shards out")


@contextmanager
def in_pieces(cluster: Cluster, index: Index, count: int) -> Iterator[Index]:
    """An index without its vectors, which lie in so many pieces on a cluster until the block ends.

    Args:
        cluster: where they are put, one after the other: at most one is copied at a time here.
        index: one that is searched exactly; so are its parts that are kept, see `Index.without`.
        count: of pieces, at least 1.
    """
    import ray

    with cluster.actors(Holder, count=count) as holders:
        vectors = [
            ray.put(piece.vectors) for piece in cut(index.window_vectors, index.examples, count)
        ]

        def far(examples: Rows) -> FarPieces:
            pieces = cut(index.window_vectors, examples, count)
            bare = [ray.put(replace(piece, vectors=piece.vectors[:0])) for piece in pieces]
            return FarPieces([*map(FarPiece, holders, bare, vectors)])

        yield index.apart(far)
