"""A few sets of demonstrations, shared by targets that are alike, so that prompts begin alike.

A server that keeps what it has computed of a prompt need not compute again what the next prompt
begins with. Demonstrations of a target's own leave nothing that repeats; these do.

The examples are parted into clusters by their window vectors (k-means on the unit sphere: Dhillon
and Modha, "Concept decompositions for large sparse text data using clustering", Machine Learning,
2001). The example in the middle of a cluster is asked for its demonstrations as a target would
be, its own words among them, and those are a set. A target is shown the set whose middle is most
similar to it, among those of which it may see every demonstration.

So the sets are made of the index alone, and a target's depends on no other target: not on what
else is in the run, on its order, or on where the run was stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.searcher import Neighbours
from ragemo.retrieval.similarities import similarities_of_each
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.stores.faiss_library import load_faiss
from ragemo.retrieval.strategies import Queries, Strategy, choose
from ragemo.retrieval.voters.beliefs import common_belief, votes_of

ROUNDS = 10
"""Of k-means; few windows change their cluster afterwards."""


def choose_shared(
    strategies: Sequence[Strategy],
    index: Index,
    queries: Queries,
    k: int,
    *,
    sets: int,
    seed: int = 0,
) -> Neighbours:
    """What the strategies choose for the middles of `sets` clusters, each query's nearest.

    A query that may see no set whole is shown what is chosen for itself.

    Args:
        strategies, index, queries, k: as `choose` takes them.
        sets: how many clusters, at least 1; there are fewer where examples are.
        seed: of where k-means begins.

    Raises:
        SettingsError: if a strategy chose what may not be seen.
    """
    middles = middles_of(index.window_vectors[index.examples], sets, seed)
    centres = index.examples[middles]
    nobody = Guard()  # of no dialogue, session or speaker, so that nothing is shut out
    turns = [replace(index.turns[row], dialogue_id="", session=None, speaker="") for row in centres]
    vectors = index.window_vectors[centres]
    beliefs = common_belief(votes_of(index, turns, vectors, nobody))
    shown = choose(strategies, index, Queries(turns, vectors, beliefs, nobody), k).rows

    rows = np.full((len(queries.turns), k), -1, dtype=np.int64)
    alone = []
    for query in range(len(queries.turns)):
        nearness = index.similarities(centres, queries.vectors[query])
        for place in np.argsort(-nearness, kind="stable").tolist():
            if _may_see(index, queries, query, shown[place]):
                rows[query] = shown[place]
                break
        else:
            alone.append(query)
    if alone:
        own = Queries(
            [queries.turns[query] for query in alone],
            queries.vectors[alone],
            queries.beliefs[alone],
            queries.guard,
        )
        rows[alone] = choose(strategies, index, own, k).rows
    return Neighbours(rows, similarities_of_each(index.window_vectors, rows, queries.vectors))


def middles_of(vectors: Vectors, count: int, seed: int) -> Rows:
    """Positions of the windows nearest to the centres of `count` clusters, rising.

    Args:
        vectors: composed window vectors, shape (n, 2 d).
        count: of clusters.
        seed: of where they begin.

    Returns:
        At most `count`, none twice.
    """
    faiss = load_faiss()
    count = min(count, len(vectors))
    clusters: Any = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=ROUNDS,
        seed=seed % 2**31,  # as large as FAISS takes
        spherical=True,
        min_points_per_centroid=1,  # it would only warn
    )
    clusters.train(np.ascontiguousarray(vectors))
    # Rounded, so that of equal windows the first one counts.
    nearness = (vectors @ clusters.centroids.T).round(5)
    middles: Rows = np.unique(nearness.argmax(axis=0))
    return middles


def _may_see(index: Index, queries: Queries, query: int, shown: Rows) -> bool:
    """Whether a query may see every demonstration of a set."""
    places = np.searchsorted(index.examples, shown[shown >= 0])
    turn = queries.turns[query]
    return bool(index.searcher.guarded.allowed(places, turn, queries.guard).all())
