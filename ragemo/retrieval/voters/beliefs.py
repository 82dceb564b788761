"""What an index's own voters say of windows, each alone and all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.voters.fitting import questions_of
from ragemo.retrieval.voters.neighbours import Floats
from ragemo.types import Turn


def votes_of(
    part: Index, turns: Sequence[Turn], vectors: Vectors, guard: Guard
) -> Mapping[str, Floats]:
    """What the voters of an index, or of a part of it, say of windows, shape (n, L) each."""
    questions = questions_of(part, turns, vectors, guard)
    return {name: voter.distributions(questions) for name, voter in part.voters.items()}


def common_belief(votes: Mapping[str, Floats]) -> Floats:
    """What voters say together, each counting alike: their geometric mean; shape (n, L)."""
    logs = np.mean([np.log(shares) for shares in votes.values()], axis=0)
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    beliefs: Floats = shares / shares.sum(axis=1, keepdims=True)
    return beliefs
