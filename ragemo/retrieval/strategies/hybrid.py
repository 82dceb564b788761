"""Similar by vector and by word: dense and sparse ranks fused.

With r_dense(e) and r_sparse(e) the ranks of an example among the C nearest by window vector and
the C best by BM25 over the words of the target utterances (from 1; a missing rank adds 0, and an
example without a word of the query's has no sparse rank),

    score(e) = 1 / (60 + r_dense(e)) + 1 / (60 + r_sparse(e))

After those with a rank the nearest others follow.

Source: Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and
individual rank learning methods", SIGIR (2009); Robertson and Zaragoza, "The probabilistic
relevance framework: BM25 and beyond" (2009), computed by the library bm25s.
"""

from __future__ import annotations

import numpy as np

from ragemo.retrieval.guards import words
from ragemo.retrieval.index import Index
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries, best, check_count, filled
from ragemo.retrieval.voters.neighbours import Floats

DAMPING = 60
"""Keeps the first ranks from deciding everything; the value of the source."""


class Hybrid:
    """The examples best by reciprocal rank fusion.

    Args:
        index: what is chosen from.
        seed: of nothing here.
        candidates: C, how many of the nearest and of the best by BM25 have a rank, at least 1.

    Raises:
        SettingsError: if `candidates` is no such number.
    """

    def __init__(self, index: Index, *, seed: int, candidates: int = 100) -> None:
        import bm25s

        check_count("hybrid.candidates", candidates)
        self._index = index
        self._candidates = candidates
        texts = [words(index.turns[row].text) for row in index.examples]
        self._bm25 = bm25s.BM25()
        self._known = {word for text in texts for word in text}
        if self._known:  # an empty vocabulary cannot be indexed
            self._bm25.index(texts, show_progress=False)

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        count = self._candidates
        dense = self._index.search(queries.vectors, queries.turns, count, queries.guard).rows
        chosen = []
        for query, turn in enumerate(queries.turns):
            by_words = self._sparse(turn.text)
            sparse = best(self._index, queries, query, by_words, count)
            shared = by_words[np.searchsorted(self._index.examples, sparse[sparse >= 0])] > 0
            scores: dict[int, float] = {}
            for ranked in (dense[query], sparse[sparse >= 0][shared]):
                for rank, row in enumerate(ranked[ranked >= 0].tolist(), start=1):
                    scores[row] = scores.get(row, 0.0) + 1 / (DAMPING + rank)
            chosen.append(sorted(scores, key=lambda row: (-scores[row], row)))
        return filled(self._index, queries, chosen, k)

    def _sparse(self, text: str) -> Floats:
        """BM25 of each example, shape (E,)."""
        asked = [word for word in words(text) if word in self._known]
        if not asked:
            return np.zeros(len(self._index.examples))
        scores: Floats = self._bm25.get_scores(asked).astype(np.float64)
        return scores
