"""How much an approximate index misses: its search against an exact one, on its own windows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.searcher import Neighbours, Searcher
from ragemo.retrieval.voters.neighbours import NeighbourVoter

DEPTHS = (1, 8, 64)

QUERIES = 1000
"""So many windows are asked at most, drawn by lot."""


@dataclass(frozen=True)
class Recall:
    """What an index finds of what an exact search finds.

    Attributes:
        factory: FAISS's factory string.
        queries: how many windows were asked, each with its own dialogue shut out.
        recall: k -> the share of the k truly nearest that are among the k found, in [0, 1]. An
            example as similar as the last of them counts as one of them.
        voting: how many neighbours vote in the index's own voter.
        same_label: share of queries on which those found vote for the same label.
        seconds, exact_seconds: what the searches for as many as vote took.
    """

    factory: str
    queries: int
    recall: Mapping[int, float]
    voting: int
    same_label: float
    seconds: float
    exact_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def measure_recall(index: Index, *, seed: int = 0) -> Recall:
    """Ask an index about windows of its own, and an exact search about the same."""
    drawn = np.random.default_rng(seed).permutation(index.examples)[:QUERIES]
    rows = np.sort(drawn)
    voter = index.voters["neighbours"]
    if not isinstance(voter, NeighbourVoter):
        raise TypeError(f"the index's neighbours are a {type(voter).__name__}")
    exact = Searcher(index.window_vectors, index.turns, index.examples)
    shares = {}
    for k in DEPTHS:
        found, _ = _timed(index.searcher, index, rows, k)
        shares[k] = recall_of(found, _timed(exact, index, rows, k)[0])
    found, seconds = _timed(index.searcher, index, rows, voter.count)
    true, exact_seconds = _timed(exact, index, rows, voter.count)
    labels = [
        voter.votes(one.similarities, index.label_positions[one.rows]).argmax(axis=1)
        for one in (found, true)
    ]
    return Recall(
        factory=index.factory,
        queries=len(rows),
        recall=shares,
        voting=voter.count,
        same_label=float((labels[0] == labels[1]).mean()),
        seconds=seconds,
        exact_seconds=exact_seconds,
    )


def _timed(
    searcher: Searcher, index: Index, rows: np.ndarray[Any, Any], k: int
) -> tuple[Neighbours, float]:
    turns = [index.turns[row] for row in rows.tolist()]
    started = time.perf_counter()
    found = searcher.search(index.window_vectors[rows], turns, k, Guard())
    return found, time.perf_counter() - started


def recall_of(found: Neighbours, true: Neighbours) -> float:
    """The share of the true neighbours that were found; equally similar ones are as good."""
    there = np.isfinite(true.similarities)
    last = np.where(there, true.similarities, np.inf).min(axis=1, keepdims=True)
    hits = (found.similarities >= last).sum(axis=1)
    return float(hits.sum() / max(there.sum(), 1))
