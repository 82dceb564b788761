"""Similar, and each unlike those before: maximal marginal relevance.

Of the nearest C examples, the next one chosen maximises, with S the chosen ones, q the query
and lambda the weight of relevance,

    lambda sim(e, q) - (1 - lambda) max_{s in S} sim(e, s)

After the candidates the nearest others follow.

Source: Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
documents and producing summaries", SIGIR (1998).
"""

from __future__ import annotations

import numpy as np

from ragemo.retrieval.index import Index
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries, check_count, check_number, filled


class Mmr:
    """k diverse examples among the nearest.

    Args:
        index: what is chosen from.
        seed: of nothing here.
        relevance: lambda, in [0, 1]; 1: the nearest examples as they are.
        candidates: C, at least 1.

    Raises:
        SettingsError: if a value is outside of its range.
    """

    def __init__(
        self, index: Index, *, seed: int, relevance: float = 0.7, candidates: int = 100
    ) -> None:
        check_number("mmr.relevance", relevance, 1)
        check_count("mmr.candidates", candidates)
        self._index = index
        self._relevance = relevance
        self._candidates = candidates

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        near = self._index.search(queries.vectors, queries.turns, self._candidates, queries.guard)
        chosen: list[list[int]] = []
        for query, rows in enumerate(near.rows):
            rows = rows[rows >= 0]
            vectors = self._index.window_vectors[rows].astype(np.float64)
            gains = self._relevance * near.similarities[query, : len(rows)]
            nearest_chosen = np.zeros(len(rows))
            left = np.ones(len(rows), dtype=bool)
            own: list[int] = []
            for place in range(min(k, len(rows))):
                values = gains - (1 - self._relevance) * nearest_chosen
                pick = int(np.where(left, values.round(9), -np.inf).argmax())
                own.append(int(rows[pick]))
                left[pick] = False
                similarities = vectors @ vectors[pick]
                nearest_chosen = np.maximum(nearest_chosen, similarities) if place else similarities
            chosen.append(own)
        return filled(self._index, queries, chosen, k)
