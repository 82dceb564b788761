"""A few examples that stand for all: a small pool worth labelling, chosen without labels.

Each example links to the M most similar ones. With L the chosen examples, the next one chosen
maximises

    sum over u not in L that link to e, of  rho^-|{ l in L : u links to l }|      (rho = 10)

so that dense regions are covered, and covered ones count less and less.

Source: Su et al., "Selective annotation makes language models better few-shot learners", ICLR
(2023).
"""

from __future__ import annotations

import numpy as np

from ragemo.errors import SettingsError
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.index import Index
from ragemo.retrieval.searcher import Searcher
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.stores.faiss_library import load_faiss
from ragemo.retrieval.strategies import Queries, check_count

LINKS = 150
"""M, the value of the source."""

DISCOUNT = 10.0
"""rho, the value of the source."""


class VoteK:
    """The nearest examples within a small pool that vote-k has chosen.

    Args:
        index: what is chosen from; its labels do not sway the pool.
        seed: of nothing here.
        pool: how many examples the pool has, at least 1.

    Raises:
        SettingsError: if `pool` is no such number, or more are asked for than the pool has while
            the index has others.
    """

    def __init__(self, index: Index, *, seed: int, pool: int = 500) -> None:
        check_count("vote-k.pool", pool)
        self._pool = pool
        self._examples = len(index.examples)
        chosen = vote_k(index.window_vectors[index.examples], pool)
        self._searcher = Searcher(
            index.window_vectors, index.turns, index.examples[np.sort(chosen)]
        )

    def choose(self, queries: Queries, k: int) -> Rows:
        """See `ragemo.retrieval.strategies.Strategy`."""
        if self._pool < min(k, self._examples):
            raise SettingsError(
                f"retrieval.options.vote-k.pool: {self._pool}, and {k} demonstrations are asked "
                "for (retrieval.k, times llm.samples where demonstrations vary); expected a pool "
                "of as many or more"
            )
        return self._searcher.search(queries.vectors, queries.turns, k, queries.guard).rows


def vote_k(vectors: Vectors, count: int) -> Rows:
    """Positions of the windows most worth labelling, the first chosen first.

    Args:
        vectors: composed window vectors, shape (n, 2 d).
        count: how many are wanted; all come if there are no more.

    Returns:
        Shape (min(count, n),).
    """
    faiss = load_faiss()
    total = len(vectors)
    if not total:
        return np.zeros(0, dtype=np.int64)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    _, found = index.search(vectors, min(LINKS + 1, total))
    linked = [row[row != own] for own, row in enumerate(found)]
    sources = np.concatenate([np.full(len(row), own) for own, row in enumerate(linked)])
    targets = np.concatenate(linked) if total > 1 else np.zeros(0, dtype=np.int64)
    weights = np.ones(total)  # of each window as a voter
    voters_of = _grouped(targets, sources, total)  # window -> the windows that are linked to it
    scores = np.bincount(targets, weights=weights[sources], minlength=total).astype(np.float64)
    chosen = np.zeros(min(count, total), dtype=np.int64)
    taken = np.zeros(total, dtype=bool)
    for place in range(len(chosen)):
        pick = int(np.where(taken, -np.inf, scores.round(9)).argmax())
        chosen[place] = pick
        taken[pick] = True
        for voter in voters_of[pick].tolist():
            lost = weights[voter] * (1 - 1 / DISCOUNT)
            weights[voter] -= lost
            scores[linked[voter]] -= lost
        scores[linked[pick]] -= weights[pick]
        weights[pick] = 0.0
    return chosen


def _grouped(keys: Rows, values: Rows, count: int) -> list[Rows]:
    """The values of each key from 0 to count - 1."""
    order = np.argsort(keys, kind="stable")
    ends = np.cumsum(np.bincount(keys, minlength=count))
    return np.split(values[order], ends[:-1])
