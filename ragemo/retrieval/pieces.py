"""Window vectors cut into pieces, which are searched apart and joined to one exact search.

The k nearest of all are among the k nearest of each piece; joined, they come in the order in
which one search would have found them, the nearest first and of equal ones the earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.similarities import similarities_of_each
from ragemo.retrieval.stores import ExactStore, Rows
from ragemo.retrieval.voters.neighbours import Floats


@dataclass(frozen=True)
class Piece:
    """Consecutive window vectors of an index.

    Attributes:
        vectors: shape (m, 2 d).
        first: the row of the first one in the index.
        examples: rows of the index's examples among them, rising.
        before: how many examples the pieces before it have.
    """

    vectors: Vectors
    first: int
    examples: Rows
    before: int

    @cached_property
    def _store(self) -> ExactStore:
        return ExactStore(self.vectors, self.examples - self.first)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """See `VectorStore.search`; positions are among all examples of the index."""
        scores, found = self._store.search(queries, k)
        return scores, np.where(found >= 0, found + self.before, -1)

    def similarities(self, rows: Rows, queries: Vectors) -> Floats:
        """See `FarVectors.similarities`; -inf for rows of other pieces."""
        own = rows - self.first
        own = np.where((rows >= 0) & (own >= 0) & (own < len(self.vectors)), own, -1)
        return similarities_of_each(self.vectors, own, queries)


def cut(vectors: Vectors, examples: Rows, count: int) -> list[Piece]:
    """Pieces of an index's window vectors, which are not copied; some may be empty.

    Args:
        vectors: shape (all, 2 d).
        examples: rows of the examples, rising.
        count: how many pieces, at least 1.
    """
    bounds = [len(vectors) * number // count for number in range(count + 1)]
    places = np.searchsorted(examples, bounds).tolist()
    return [
        Piece(vectors[start:end], start, examples[place:after], place)
        for start, end, place, after in zip(
            bounds[:-1], bounds[1:], places[:-1], places[1:], strict=True
        )
    ]


def joined(found: Sequence[tuple[Vectors, Rows]], k: int) -> tuple[Vectors, Rows]:
    """What one search of all pieces would have found, from what that of each has."""
    scores = np.concatenate([own for own, _ in found], axis=1)
    positions = np.concatenate([own for _, own in found], axis=1)
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)
