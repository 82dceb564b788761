"""Similar as a whole and diverse as a whole: a determinantal point process.

Of the nearest C examples, with S_ij the similarity of examples i and j, r_i that of i to the
query and gamma the weight of relevance, the chosen set Y of size k has a large determinant of

    L_ij = exp(gamma r_i) S_ij exp(gamma r_j),    restricted to Y

found greedily: each example adds the most to log det L_Y. Once no candidate adds anything that
is not there already, the nearest ones fill up; after the candidates the nearest others follow.

Source: Kulesza and Taskar, "k-DPPs", ICML (2011); Chen, Zhang and Zhou, "Fast greedy MAP
inference for determinantal point process to improve recommendation diversity", NeurIPS (2018);
for demonstrations: Ye et al., "Compositional exemplars for in-context learning", ICML (2023).
"""

from __future__ import annotations

import numpy as np

from ragemo.retrieval.index import Index
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries, check_count, check_number, filled
from ragemo.retrieval.voters.neighbours import Floats

NOTHING_NEW = 1e-9
"""What an example adds at least, as a share of its own quality."""

EQUAL = 1e-6
"""Shares by which single precision can tell equal gains apart; the nearer example goes first."""


class Dpp:
    """k examples of a large determinant among the nearest.

    Args:
        index: what is chosen from.
        seed: of nothing here.
        relevance: gamma, in [0, 100]; 0: the most diverse of the candidates.
        candidates: C, at least 1.

    Raises:
        SettingsError: if a value is outside of its range.
    """

    def __init__(
        self, index: Index, *, seed: int, relevance: float = 5.0, candidates: int = 100
    ) -> None:
        check_number("dpp.relevance", relevance, 100)
        check_count("dpp.candidates", candidates)
        self._index = index
        self._relevance = relevance
        self._candidates = candidates

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        near = self._index.search(queries.vectors, queries.turns, self._candidates, queries.guard)
        chosen = []
        for query, rows in enumerate(near.rows):
            rows = rows[rows >= 0]
            vectors = self._index.window_vectors[rows].astype(np.float64)
            # exp(gamma (r - 1)): the factor common to all changes no choice.
            quality = np.exp(self._relevance * (near.similarities[query, : len(rows)] - 1))
            picks = _greedy(vectors * quality[:, None], k)
            chosen.append(rows[picks].tolist())
        return filled(self._index, queries, chosen, k)


def _greedy(features: Floats, k: int) -> list[int]:
    """Positions of at most k rows of features whose Gram matrix has a large determinant.

    Incremental Cholesky: `gains` are the squared lengths of what each row has that the chosen
    ones have not.
    """
    count = len(features)
    gains = (features**2).sum(axis=1)
    least = NOTHING_NEW * gains
    factors = np.zeros((min(k, count), count))
    picks: list[int] = []
    while len(picks) < min(k, count):
        open_gains = np.where(gains > least, gains, -np.inf)
        open_gains[picks] = -np.inf
        most = open_gains.max()
        if not np.isfinite(most):
            break
        pick = int((open_gains >= most * (1 - EQUAL)).argmax())
        done = factors[: len(picks)]
        row = features @ features[pick] - done.T @ done[:, pick]
        factors[len(picks)] = row / np.sqrt(gains[pick])
        gains = gains - factors[len(picks)] ** 2
        picks.append(pick)
    return [*picks, *(row for row in range(count) if row not in picks)][:k]
