"""How similar windows are, to the same six digits in whatever company they are compared."""

from __future__ import annotations

import numpy as np

from ragemo.retrieval.embedder import Vectors
from ragemo.retrieval.neighbours import Floats
from ragemo.retrieval.stores import Rows

PAIRS = 128
"""So many windows are compared in double precision at a time: more do not fit a core's cache."""


def similarities_of_each(vectors: Vectors, rows: Rows, queries: Vectors) -> Floats:
    """Exact similarities of n queries to k windows each, to six digits, shape (n, k).

    Args:
        vectors: of all windows, shape (all, 2 d).
        rows: shape (n, k); -1 where there is no window, whose similarity is -inf.
        queries: composed window vectors, shape (n, 2 d).
    """
    similarities = np.full(rows.shape, -np.inf)
    vectors, there, exact = np.asarray(vectors), rows >= 0, queries.astype(np.float64)
    widths = np.where(there, np.arange(1, rows.shape[1] + 1), 0).max(axis=1, initial=0)
    order, first = np.argsort(-widths, kind="stable"), 0
    while first < len(order) and (width := int(widths[order[first]])):
        group = order[first : first + max(1, PAIRS // width)]
        windows = vectors[rows[group, :width]].astype(np.float64)
        # Pair by pair, so that none depends on which others there are.
        similarities[group, :width] = np.vecdot(windows, exact[group, None])
        first += len(group)
    similarities[~there] = -np.inf
    return similarities.round(6)
