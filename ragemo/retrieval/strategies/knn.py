"""The nearest examples (Liu et al., "What makes good in-context examples for GPT-3?", 2022)."""

from __future__ import annotations

from ragemo.retrieval.index import Index
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries


class Knn:
    """The k examples whose window vectors are most similar to the query's."""

    def __init__(self, index: Index, *, seed: int) -> None:
        self._index = index

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        return self._index.search(queries.vectors, queries.turns, k, queries.guard).rows
