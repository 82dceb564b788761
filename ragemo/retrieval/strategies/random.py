"""Examples drawn by lot: the control that any other strategy has to beat."""

from __future__ import annotations

from hashlib import sha256

import numpy as np

from ragemo.retrieval.index import Index
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries, best


class Random:
    """k examples, each as likely as any other; a query's lot is its own, by seed and id."""

    def __init__(self, index: Index, *, seed: int) -> None:
        self._index = index
        self._seed = seed

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        rows = np.full((len(queries.turns), k), -1, dtype=np.int64)
        for query, turn in enumerate(queries.turns):
            key = f"{self._seed}\0{turn.utterance_id}".encode(errors="surrogatepass")
            lots = np.random.default_rng(list(sha256(key).digest()))
            scores = lots.random(len(self._index.examples))
            rows[query] = best(self._index, queries, query, scores, k)
        return rows
