"""Search among labelled windows: FAISS proposes, guards and exact similarities dispose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ragemo.errors import SettingsError
from ragemo.files import sha256_bytes
from ragemo.retrieval.embedder import Vectors
from ragemo.retrieval.guards import Guard, GuardedRows, Mask
from ragemo.retrieval.neighbours import Floats
from ragemo.types import Turn

FETCH_MARGIN = 1e-5
"""More than FAISS's single precision and the rounding to six digits can change a similarity."""

VISITED_LISTS = 0.25
"""Share of the lists of an inverted file (IVF) that are visited, at least 8 of them."""

VISITED_NODES = 256
"""efSearch of a graph (HNSW)."""

KEPT_SEARCHES, KEPT_NEIGHBOURS = 4, 4_000_000
"""So many searches are kept, each of at most so many neighbours (64 MB) in all: several who ask
the same in turn, such as a voter and a strategy, or the cells of a sweep, search once."""

PROPOSED = 2_000_000
"""So many candidates, of all queries together, are looked at at a time (24 MB)."""

PAIRS = 256
"""Pairs of a window and a query whose similarity is computed at a time."""

APPROXIMATE_FETCH = 4
"""Where similarities are approximate, so many times as many candidates are looked at closely."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Neighbours:
    """The examples found for a batch of queries, most similar (or most wanted) first.

    Attributes:
        rows: rows of the index's utterances, shape (n, k); -1 where there are fewer than k.
        similarities: shape (n, k); -inf where there are fewer than k.
    """

    rows: Rows
    similarities: Floats


class Searcher:
    """Finds the most similar of some labelled windows that a query may see.

    Args:
        vectors: composed vectors of all utterances of an index, shape (utterances, 2 d).
        turns: of all utterances.
        examples: rows of those to be found, rising.
        factory: FAISS's index factory string, such as "Flat" or "HNSW32".
        faiss_index: one that holds the examples already, in their order.

    Raises:
        SettingsError: if FAISS does not know the factory string or cannot make such an index of
            these examples.
    """

    def __init__(
        self,
        vectors: Vectors,
        turns: Sequence[Turn],
        examples: Rows,
        *,
        factory: str = "Flat",
        faiss_index: Any = None,
    ) -> None:
        self._vectors = vectors
        self.examples = examples
        self.guarded = GuardedRows([turns[row] for row in examples])
        self.exact = factory == "Flat"
        if faiss_index is None:
            faiss_index = _make(vectors[examples], factory)
        else:
            _widen(faiss_index)  # whatever its file says of how far to look
        self.faiss_index = faiss_index
        self._kept: dict[tuple[str, tuple[Turn, ...], Guard], Neighbours] = {}

    def search(self, queries: Vectors, targets: Sequence[Turn], k: int, guard: Guard) -> Neighbours:
        """The k most similar examples that each query may see.

        Args:
            queries: composed window vectors, shape (n, 2 d).
            targets: the query windows' target turns, for the guard.
            k: how many neighbours; fewer come only if fewer are allowed.
            guard: what is shut out beside the query's own dialogue.

        Ties are broken by the examples' order in the corpus. Similarities are computed again in
        double precision and rounded to six digits, so that a query's neighbours do not depend
        on which other queries it was searched with. More are fetched than asked for until the
        last one fetched is clearly less similar than the last one kept: which of many equal
        examples (a corpus's every "Yeah.") FAISS returns is chance. An approximate index cannot
        tell that; there, what it proposes is fetched amply and judged by exact similarity, and
        a query for which it proposes fewer than k allowed examples is compared with all.
        """
        key = (sha256_bytes(np.ascontiguousarray(queries).tobytes()), tuple(targets), guard)
        known = self._kept.pop(key, None)
        # What an approximate index finds first depends on how many are asked for.
        if known is None or known.rows.shape[1] < k or not (self.exact or known.rows.shape[1] == k):
            known = self._search(queries, targets, k, guard)
        if known.rows.size <= KEPT_NEIGHBOURS:
            self._kept[key] = known
            while len(self._kept) > KEPT_SEARCHES:
                del self._kept[next(iter(self._kept))]
        return Neighbours(known.rows[:, :k].copy(), known.similarities[:, :k].copy())

    def _search(
        self, queries: Vectors, targets: Sequence[Turn], k: int, guard: Guard
    ) -> Neighbours:
        """See `search`."""
        rows = np.full((len(targets), k), -1, dtype=np.int64)
        similarities = np.full((len(targets), k), -np.inf)
        pending = np.arange(len(targets))
        # As many more as are shut out on average, if they stand no closer than others.
        share = self.guarded.largest_share(targets, guard)
        fetch = int((k + 16) / max(1 - share, 0.1)) * (1 if self.exact else APPROXIMATE_FETCH)
        while len(pending) and k:
            fetch = min(fetch, len(self.examples))
            short = []
            size = max(1, PROPOSED // max(fetch, 1))
            for start in range(0, len(pending), size):
                block = pending[start : start + size]
                turns = [targets[query] for query in block.tolist()]
                near, candidates = self._propose(queries[block], fetch)
                allowed = self.guarded.allowed_of_each(candidates, turns, guard)
                if self.exact:
                    allowed &= near >= _too_far(near, allowed, k)[:, None]
                found = self._closest(queries[block], candidates, allowed, k)
                enough = found.rows[:, k - 1] >= 0
                if self.exact and fetch:
                    enough &= found.similarities[:, k - 1] > near[:, -1] + FETCH_MARGIN
                enough |= fetch == len(self.examples)
                rows[block[enough]] = found.rows[enough]
                similarities[block[enough]] = found.similarities[enough]
                short.append(block[~enough])
            pending = np.concatenate(short)
            fetch *= 4
        return Neighbours(rows, similarities)

    def _propose(self, queries: Vectors, fetch: int) -> tuple[Floats, Rows]:
        """Scores and positions of the examples in question, shape (n, fetch); -1 is nobody."""
        if not fetch:  # of a label that nobody bears; FAISS refuses to find nothing
            return np.zeros((len(queries), 0)), np.zeros((len(queries), 0), dtype=np.int64)
        if fetch == len(self.examples) and not self.exact:
            everybody = np.tile(np.arange(len(self.examples)), (len(queries), 1))
            return np.zeros(everybody.shape), everybody
        scores, found = self.faiss_index.search(queries, fetch)
        # An index from elsewhere may name examples that there are not.
        return scores, np.where(found < len(self.examples), found, -1)

    def _closest(self, queries: Vectors, candidates: Rows, allowed: Mask, k: int) -> Neighbours:
        """Of the allowed candidates of each query the k closest by exact similarity."""
        asking, places = np.nonzero(allowed)
        examples = self.examples[candidates[asking, places]]
        exact = _pairwise(self._vectors, examples, queries, asking)
        order = np.lexsort((examples, -exact, asking))
        asking, examples, exact = asking[order], examples[order], exact[order]
        counts = np.bincount(asking, minlength=len(queries))
        ranks = np.arange(len(asking)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = ranks < k
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        similarities = np.full((len(queries), k), -np.inf)
        rows[asking[kept], ranks[kept]] = examples[kept]
        similarities[asking[kept], ranks[kept]] = exact[kept]
        return Neighbours(rows, similarities)


def _too_far(near: Floats, allowed: Mask, k: int) -> Floats:
    """Of each query the score below which no closer look is needed; -inf: all need one."""
    ranks = np.cumsum(allowed, axis=1)
    floor = np.full(len(near), -np.inf)
    if near.shape[1] < k:
        return floor
    there = ranks[:, -1] >= k
    last = (ranks[there] >= k).argmax(axis=1)
    floor[there] = near[there, last] - 2 * FETCH_MARGIN
    return floor


def _pairwise(vectors: Vectors, rows: Rows, queries: Vectors, asking: Rows) -> Floats:
    """Exact similarities of windows to their queries, to six digits; shape of `rows`.

    In pieces that a processor's cache holds.
    """
    exact = np.empty(len(rows))
    asked = queries.astype(np.float64)
    for start in range(0, len(rows), PAIRS):
        piece = slice(start, start + PAIRS)
        left = vectors[rows[piece]].astype(np.float64)
        exact[piece] = np.einsum("ij,ij->i", left, asked[asking[piece]])
    return exact.round(6)


def similarities_of(vectors: Vectors, rows: Rows, query: Vectors) -> Floats:
    """Exact similarities of some windows to a query, to six digits; shape of `rows`."""
    exact: Floats = (vectors[rows].astype(np.float64) @ query.astype(np.float64)).round(6)
    return exact


def _make(vectors: Vectors, factory: str) -> Any:
    """A FAISS index over vectors, inner product."""
    import faiss

    threads = faiss.omp_get_max_threads()
    try:
        if re.search(r"HNSW[01](\D|$)", factory):
            raise RuntimeError("a graph needs 2 links or more")  # FAISS would end the process
        index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            index.train(vectors)
        if factory != "Flat":
            faiss.omp_set_num_threads(1)  # threads would race for a place in a graph
        index.add(vectors)
    except (RuntimeError, MemoryError) as error:
        # Without the place in FAISS's source that it begins with.
        reason = re.sub(r"^Error in .* at \S+:\d+: ", "", str(error).strip().splitlines()[-1])
        raise SettingsError(
            f"index.factory {factory!r}: FAISS cannot make such an index of {len(vectors)} windows "
            f"of {vectors.shape[1]} dimensions ({reason}); expected its index factory's language, "
            "such as Flat, HNSW32, IVF64,Flat or PQ48"
        ) from None
    finally:
        faiss.omp_set_num_threads(threads)
    _widen(index)
    return index


def _widen(index: Any) -> None:
    """Let an approximate index look further than FAISS's defaults, which are made for speed."""
    import faiss

    try:
        inverted = faiss.extract_index_ivf(index)
    except RuntimeError:  # there is none in it
        inverted = None
    if inverted is not None:
        inverted.nprobe = min(max(8, int(VISITED_LISTS * inverted.nlist)), inverted.nlist)
    graph = faiss.downcast_index(index)
    if hasattr(graph, "hnsw"):
        graph.hnsw.efSearch = VISITED_NODES
