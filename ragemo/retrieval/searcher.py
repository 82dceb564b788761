"""Search among labelled windows: a store proposes, guards and similarities decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from ragemo.cores import cores
from ragemo.files import sha256_bytes
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.guards import Guard, GuardedQueries, GuardedRows, Mask
from ragemo.retrieval.similarities import similarities_of_each
from ragemo.retrieval.stores import (
    EXACT,
    ExactStore,
    FarVectors,
    Rows,
    VectorStore,
    is_exact,
    make_store,
)
from ragemo.retrieval.stores.faiss_library import load_faiss
from ragemo.retrieval.voters.neighbours import Floats
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

JUDGED = 131_072
"""So many of the wanted neighbours are judged at a time, each time on another core if there is
one; cores that take turns more often than that wait for one another."""

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


@dataclass(frozen=True)
class _Asked:
    """The queries of a search.

    Attributes:
        vectors: composed window vectors, shape (n, 2 d).
        guarded: the query windows' target turns, and what is shut out.
        k: how many neighbours are wanted.
    """

    vectors: Vectors
    guarded: GuardedQueries
    k: int

    def vectors_of(self, queries: Rows) -> Vectors:
        """Those of some of the queries; of all of them in their order without a copy."""
        if len(queries) == len(self.vectors) and (np.diff(queries) == 1).all():
            return self.vectors
        return self.vectors[queries]


@dataclass(frozen=True)
class _Proposed:
    """What a store proposes.

    Attributes:
        queries: which were asked for, shape (n,).
        near, candidates: scores and positions among the examples, shape (n, m) each.
        whole: whether there are no more examples.
    """

    queries: Rows
    near: Vectors
    candidates: Rows
    whole: bool


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

        Ties are broken by the examples' order in the corpus. Similarities are computed again, pair
        by pair, and rounded to six digits, so that a query's neighbours do not depend on which
        other queries it was searched with. More are fetched than asked for until the
        last one fetched is clearly less similar than the last one kept: which of many equal
        examples (a corpus's every "Yeah.") it returns is chance. An approximate store cannot
        tell that; there, what it proposes is fetched amply and judged by similarity, and
        a query for which it proposes fewer than k allowed examples is searched exactly.
        """
        key, turns = (sha256_bytes(np.ascontiguousarray(queries).data), guard), tuple(targets)
        # Turns are compared, which for the same ones takes far less than to hash them.
        before, known = self._kept.pop(key, ((), None))
        if before != turns:
            known = None
        # What an approximate store finds first depends on how many are asked for.
        if known is None or known.rows.shape[1] < k or not (self.exact or known.rows.shape[1] == k):
            known = self._search(_Asked(queries, self.guarded.asked_by(turns, guard), k))
        if known.rows.size <= KEPT_NEIGHBOURS:
            self._kept[key] = turns, known
            while len(self._kept) > KEPT_SEARCHES:
                del self._kept[next(iter(self._kept))]
        return Neighbours(known.rows[:, :k].copy(), known.similarities[:, :k].copy())

    def _search(self, asked: _Asked) -> Neighbours:
        """See `search`."""
        shape = len(asked.vectors), asked.k
        found = Neighbours(np.full(shape, -1, dtype=np.int64), np.full(shape, -np.inf))
        pending: Rows = np.arange(len(asked.vectors) if asked.k and len(self.examples) else 0)
        for store, exact in self._stores():
            pending = self._fill(found, pending, store, asked, exact=exact)
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
        self, found: Neighbours, pending: Rows, store: VectorStore, asked: _Asked, *, exact: bool
    ) -> Rows:
        """Fill in the neighbours of the pending queries that a store has enough for.

        Returns:
            Those for which it proposes too few that are allowed; none if it is exact.
        """
        # As many more as are shut out on average, if they stand no closer than others.
        fetch = int((asked.k + SPARE) / max(1 - asked.guarded.largest_share, 0.1))
        fetch *= 1 if exact else APPROXIMATE_FETCH
        most = len(self.examples) if exact else min(len(self.examples), MOST_PROPOSED)
        while len(pending) and (exact or fetch < most):
            fetch = min(fetch, most)
            short = []
            size = max(1, PROPOSED // fetch)
            for start in range(0, len(pending), size):
                block = pending[start : start + size]
                near, candidates = store.search(asked.vectors_of(block), fetch)
                proposed = _Proposed(block, near, candidates, whole=fetch == most)
                short += self._judge(found, proposed, asked, exact=exact)
            pending = np.concatenate(short)
            fetch *= 4
        return pending

    def _judge(
        self, found: Neighbours, proposed: _Proposed, asked: _Asked, *, exact: bool
    ) -> list[Rows]:
        """Fill in the neighbours of some queries from what a store proposes for each.

        Args:
            found: is filled in.
            proposed: by the store.
            asked: all queries.
            exact: whether no example that is nearer is missing.

        Returns:
            Those of the queries for which there are too few.
        """
        near, candidates = proposed.near, proposed.candidates

        def judge(start: int) -> Rows:
            part = slice(start, start + size)
            own = proposed.queries[part]
            # A store from elsewhere may name examples that there are not.
            known = (candidates[part] >= 0) & (candidates[part] < len(self.examples))
            there = np.where(known, candidates[part], -1)
            allowed = asked.guarded.allowed(there, own)
            if exact:
                allowed &= near[part] >= _too_far(near[part], allowed, asked.k)[:, None]
            closest = self._closest(asked.vectors_of(own), _packed(there, allowed), asked.k)
            enough = closest.rows[:, asked.k - 1] >= 0
            if exact:
                least = near[part, -1] + FETCH_MARGIN
                enough &= closest.similarities[:, asked.k - 1] > least
                enough |= proposed.whole
            found.rows[own[enough]] = closest.rows[enough]
            found.similarities[own[enough]] = closest.similarities[enough]
            return own[~enough]

        # What lies elsewhere is asked for all of them at once.
        far = not isinstance(self._vectors, np.ndarray)
        size = len(proposed.queries) if far else max(1, JUDGED // asked.k)
        starts = range(0, len(proposed.queries), size)
        if len(starts) == 1:
            return [judge(0)]
        # Threads of threads would wait for one another.
        alone = partial(load_faiss().omp_set_num_threads, 1)
        with ThreadPoolExecutor(cores(), initializer=alone) as pool:
            return list(pool.map(judge, starts))

    def _closest(self, queries: Vectors, candidates: Rows, k: int) -> Neighbours:
        """Of the candidates of each query (-1: none) the k closest by similarity, pair by pair."""
        examples = np.where(candidates >= 0, self.examples[candidates], -1)
        own = self.similarities(examples, queries)
        order = np.lexsort((examples, -own))[:, :k]
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        similarities = np.full((len(queries), k), -np.inf)
        rows[:, : order.shape[1]] = np.take_along_axis(examples, order, axis=1)
        similarities[:, : order.shape[1]] = np.take_along_axis(own, order, axis=1)
        return Neighbours(rows, similarities)


def _packed(candidates: Rows, allowed: Mask) -> Rows:
    """Of each query the allowed candidates, those that others have more of filled up with -1."""
    counts = allowed.sum(axis=1)
    packed = np.full((len(candidates), counts.max(initial=0)), -1, dtype=np.int64)
    packed[np.arange(packed.shape[1]) < counts[:, None]] = candidates[allowed]
    return packed


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
