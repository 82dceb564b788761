"""How similar windows are, to the same six digits in whatever company they are compared."""

from __future__ import annotations

import numpy as np

from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.stores.faiss_library import load_faiss
from ragemo.retrieval.voters.neighbours import Floats

FEW = 10_000
"""So many pairs take one core a millisecond, and are not parted among threads: these would go on
waiting for more, and take the cores from whatever comes next."""


def similarities_of_each(vectors: Vectors, rows: Rows, queries: Vectors) -> Floats:
    """Similarities of n queries to k windows each, to six digits, shape (n, k).

    FAISS computes them pair by pair, so that none depends on which others there are, as those of
    a product of matrices do. It does so in single precision, which is exact to about seven digits.

    Args:
        vectors: of all windows, shape (all, 2 d).
        rows: shape (n, k); -1 where there is no window, whose similarity is -inf.
        queries: composed window vectors, shape (n, 2 d).

    Raises:
        IndexError: if a row is none of the windows'.
        ValueError: if shapes do not fit.
    """
    faiss = load_faiss()
    vectors, queries = (np.ascontiguousarray(those, np.float32) for those in (vectors, queries))
    rows = np.ascontiguousarray(rows, np.int64)
    if rows.max(initial=-1) >= len(vectors):
        raise IndexError(f"row {rows.max()} of {len(vectors)} windows")
    if queries.shape != (len(rows), vectors.shape[1]):
        raise ValueError(f"queries of shape {queries.shape} for {len(rows)} rows of neighbours")
    found = np.full(rows.shape, -np.inf, dtype=np.float32)
    own, theirs, places, out = map(faiss.swig_ptr, (queries, vectors, rows, found))
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads if rows.size > FEW else 1)
    try:
        faiss.fvec_inner_products_by_idx(out, own, theirs, places, vectors.shape[1], *rows.shape)
    finally:
        faiss.omp_set_num_threads(threads)
    similarities: Floats = found.astype(np.float64).round(6)
    return similarities
