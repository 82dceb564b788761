"""Every label gets its share: label by label, the nearest examples of each.

No label can crowd out another: k examples are k / L of each of L labels. Labels take turns,
the likeliest for this query first, so that with fewer than L examples the unlikely ones are
left out. (Autolabel's label-diverse similarity and the label-balanced demonstrations of Min et
al., "Rethinking the role of demonstrations", EMNLP 2022, are the like.)
"""

from __future__ import annotations

import numpy as np

from ragemo.retrieval.index import Index
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries


class Balanced:
    """The nearest examples of each label, by turns."""

    def __init__(self, index: Index, *, seed: int) -> None:
        self._index = index

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        index, labels = self._index, len(self._index.labels)
        # A label that runs out leaves its share to the others, down to a single one.
        by_label = np.stack(
            [
                index.search_label(label, queries.vectors, queries.turns, k, queries.guard).rows
                for label in range(labels)
            ],
            axis=1,
        )
        chosen = np.full((len(queries.turns), k), -1, dtype=np.int64)
        likeliest_first = np.argsort(-queries.beliefs.round(9), axis=1, kind="stable")
        for query, own in enumerate(by_label):
            in_turn = own[likeliest_first[query]].T.ravel()
            found = in_turn[in_turn >= 0][:k]
            chosen[query, : len(found)] = found
        return chosen
