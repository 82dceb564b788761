"""Similar, and labelled with one of the two labels between which the query stands.

Of those two, which the index's own voters find likeliest, the nearest examples are taken, of
whichever of the two they are: what tells the two apart is then in front of the model.

Source: Gao et al., "Ambiguity-aware in-context learning with large language models" (2023).
"""

from __future__ import annotations

import numpy as np

from ragemo.retrieval.index import Index
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries, filled


class Ambiguous:
    """The nearest examples of the query's two likeliest labels."""

    def __init__(self, index: Index, *, seed: int) -> None:
        self._index = index

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        index = self._index
        by_label = [
            index.search_label(label, queries.vectors, queries.turns, k, queries.guard)
            for label in range(len(index.labels))
        ]
        likeliest_first = np.argsort(-queries.beliefs.round(9), axis=1, kind="stable")
        chosen = []
        for query in range(len(queries.turns)):
            two = [by_label[label] for label in likeliest_first[query, :2]]
            rows = np.concatenate([found.rows[query] for found in two])
            similarities = np.concatenate([found.similarities[query] for found in two])
            own = rows[np.lexsort((rows, -similarities))]
            chosen.append(own[own >= 0].tolist())
        # Where the two labels have too few examples, the nearest of the others follow.
        return filled(index, queries, chosen, k)
