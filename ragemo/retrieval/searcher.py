"""Search among labelled windows: a store proposes, guards and exact similarities dispose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ragemo.files import sha256_bytes
from ragemo.retrieval.embedder import Vectors
from ragemo.retrieval.guards import Guard, GuardedRows, Mask
from ragemo.retrieval.neighbours import Floats
from ragemo.retrieval.stores import (
    EXACT,
    ExactStore,
    FarVectors,
    Rows,
    VectorStore,
    is_exact,
    make_store,
)
from ragemo.types import Turn

FETCH_MARGIN = 1e-5
"""More than FAISS's single precision and the rounding to six digits can change a similarity."""

KEPT_SEARCHES, KEPT_NEIGHBOURS = 4, 4_000_000
"""So many searches are kept, each of at most so many neighbours (64 MB) in all: several who ask
the same in turn, such as a voter and a strategy, or the cells of a sweep, search once."""

PROPOSED = 2_000_000
"""So many candidates, of all queries together, are looked at at a time (24 MB)."""

SPARE = 32
"""So many more neighbours than are wanted are fetched, for those that the guards shut out and for
equal ones: that costs less than to ask again for a few queries."""

MOST_PROPOSED = 65_536
"""An approximate store is asked for fewer; who needs more is better off with exact search."""

APPROXIMATE_FETCH = 4
"""Where similarities are approximate, so many times as many candidates are looked at closely."""


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
        vectors: composed vectors of all utterances of an index, shape (utterances, 2 d); or what
            searches these elsewhere.
        turns: of all utterances.
        examples: rows of those to be found, rising.
        factory: FAISS's index factory string, such as "Flat" or "HNSW32", or an outside store's
            name.
        store: one that holds the examples already, in their order.

    Raises:
        SettingsError: if FAISS does not know the factory string or cannot make such an index of
            these examples.
    """

    def __init__(
        self,
        vectors: Vectors | FarVectors,
        turns: Sequence[Turn],
        examples: Rows,
        *,
        factory: str = EXACT,
        store: VectorStore | None = None,
        guarded: GuardedRows | None = None,
    ) -> None:
        self._vectors = vectors
        self.examples = examples
        self.guarded = guarded or GuardedRows([turns[row] for row in examples])
        self.exact = is_exact(factory)
        self.store = store or (
            make_store(vectors, examples, factory) if isinstance(vectors, np.ndarray) else vectors
        )
        self._kept: dict[tuple[str, Guard], tuple[tuple[Turn, ...], Neighbours]] = {}

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
        examples (a corpus's every "Yeah.") it returns is chance. An approximate store cannot
        tell that; there, what it proposes is fetched amply and judged by exact similarity, and
        a query for which it proposes fewer than k allowed examples is searched exactly.
        """
        key, asked = (sha256_bytes(np.ascontiguousarray(queries).data), guard), tuple(targets)
        # Turns are compared, which for the same ones takes far less than to hash them.
        before, known = self._kept.pop(key, ((), None))
        if before != asked:
            known = None
        # What an approximate store finds first depends on how many are asked for.
        if known is None or known.rows.shape[1] < k or not (self.exact or known.rows.shape[1] == k):
            known = self._search(queries, targets, k, guard)
        if known.rows.size <= KEPT_NEIGHBOURS:
            self._kept[key] = asked, known
            while len(self._kept) > KEPT_SEARCHES:
                del self._kept[next(iter(self._kept))]
        return Neighbours(known.rows[:, :k].copy(), known.similarities[:, :k].copy())

    def _search(
        self, queries: Vectors, targets: Sequence[Turn], k: int, guard: Guard
    ) -> Neighbours:
        """See `search`."""
        found = Neighbours(
            np.full((len(targets), k), -1, dtype=np.int64), np.full((len(targets), k), -np.inf)
        )
        pending: Rows = np.arange(len(targets) if k and len(self.examples) else 0)
        for store, exact in self._stores():
            pending = self._fill(
                found, pending, store, queries=queries, targets=targets, guard=guard, exact=exact
            )
        return found

    def _stores(self) -> Iterator[tuple[VectorStore, bool]]:
        """What is asked, and whether it is exact: the last one is."""
        if self.exact:
            yield self.store, True
        else:
            yield self.store, False
            yield self._everything, True

    @cached_property
    def _everything(self) -> VectorStore:
        if not isinstance(self._vectors, np.ndarray):
            return self._vectors
        return ExactStore(self._vectors, self.examples)

    def similarities(self, rows: Rows, queries: Vectors) -> Floats:
        """See `similarities_of_each`, of these windows."""
        if not isinstance(self._vectors, np.ndarray):
            return self._vectors.similarities(rows, queries)
        return similarities_of_each(self._vectors, rows, queries)

    def _fill(
        self,
        found: Neighbours,
        pending: Rows,
        store: VectorStore,
        *,
        queries: Vectors,
        targets: Sequence[Turn],
        guard: Guard,
        exact: bool,
    ) -> Rows:
        """Fill in the neighbours of the pending queries that a store has enough for.

        Returns:
            Those for which it proposes too few that are allowed; none if it is exact.
        """
        k = found.rows.shape[1]
        # As many more as are shut out on average, if they stand no closer than others.
        share = self.guarded.largest_share(targets, guard)
        fetch = int((k + SPARE) / max(1 - share, 0.1)) * (1 if exact else APPROXIMATE_FETCH)
        most = len(self.examples) if exact else min(len(self.examples), MOST_PROPOSED)
        while len(pending) and (exact or fetch < most):
            fetch = min(fetch, most)
            short = []
            size = max(1, PROPOSED // fetch)
            for start in range(0, len(pending), size):
                block = pending[start : start + size]
                turns = [targets[query] for query in block.tolist()]
                near, candidates = store.search(queries[block], fetch)
                # A store from elsewhere may name examples that there are not.
                candidates = np.where(candidates < len(self.examples), candidates, -1)
                allowed = self.guarded.allowed_of_each(candidates, turns, guard)
                if exact:
                    allowed &= near >= _too_far(near, allowed, k)[:, None]
                closest = self._closest(queries[block], candidates, allowed, k)
                enough = closest.rows[:, k - 1] >= 0
                if exact:
                    enough &= closest.similarities[:, k - 1] > near[:, -1] + FETCH_MARGIN
                    enough |= fetch == most
                found.rows[block[enough]] = closest.rows[enough]
                found.similarities[block[enough]] = closest.similarities[enough]
                short.append(block[~enough])
            pending = np.concatenate(short)
            fetch *= 4
        return pending

    def _closest(self, queries: Vectors, candidates: Rows, allowed: Mask, k: int) -> Neighbours:
        """Of the allowed candidates of each query the k closest by exact similarity."""
        examples = np.where(allowed, self.examples[candidates], -1)
        exact = self.similarities(examples, queries)
        order = np.lexsort((examples, -exact))[:, :k]
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        similarities = np.full((len(queries), k), -np.inf)
        rows[:, : order.shape[1]] = np.take_along_axis(examples, order, axis=1)
        similarities[:, : order.shape[1]] = np.take_along_axis(exact, order, axis=1)
        return Neighbours(rows, similarities)


def _too_far(near: Vectors, allowed: Mask, k: int) -> Floats:
    """Of each query the score below which no closer look is needed; -inf: all need one."""
    ranks = np.cumsum(allowed, axis=1)
    floor = np.full(len(near), -np.inf)
    if near.shape[1] < k:
        return floor
    there = ranks[:, -1] >= k
    last = (ranks[there] >= k).argmax(axis=1)
    floor[there] = near[there, last] - 2 * FETCH_MARGIN
    return floor


def similarities_of_each(vectors: Vectors, rows: Rows, queries: Vectors) -> Floats:
    """Exact similarities of n queries to k windows each, to six digits, shape (n, k).

    Args:
        vectors: of all windows, shape (all, 2 d).
        rows: shape (n, k); -1 where there is no window, whose similarity is -inf.
        queries: composed window vectors, shape (n, 2 d).
    """
    similarities = np.full(rows.shape, -np.inf)
    vectors, there = np.asarray(vectors), rows >= 0
    for query, vector in enumerate(queries):
        own = there[query]
        # Pair by pair, so that none depends on which others there are.
        similarities[query, own] = np.vecdot(
            vectors[rows[query, own]].astype(np.float64), vector.astype(np.float64)
        )
    return similarities.round(6)
