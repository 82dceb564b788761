"""Fit the index's own voters, and keep what they say of windows they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ragemo.files import sha256_bytes
from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.voters import (
    INDEX_VOTERS,
    Examples,
    IndexVoter,
    Questions,
    voter_class,
)
from ragemo.retrieval.voters.neighbours import COUNTS, Floats, Integers, fit_neighbour_voter
from ragemo.types import Turn

if TYPE_CHECKING:
    from ragemo.retrieval.index import Index

HELD_OUT_WINDOWS = 6000
"""Whole dialogues are held out until there are so many windows: enough to weigh a few voters."""


FAR = 0.05
"""Share of held-out windows whose closest example counts as far away."""


@dataclass(frozen=True)
class FittedVoters:
    """The voters of an index, and their worth on held-out windows.

    Attributes:
        voters: by name.
        held_out: rows of the index's utterances, rising, shape (S,); whole dialogues.
        votes: each voter's distributions on them, made without sight of their dialogues (or
            sessions, or speakers), shape (S, L) each.
        close: the similarity that the closest example of 95 of 100 held-out windows reaches; -1
            without any.
    """

    voters: Mapping[str, IndexVoter]
    held_out: Integers
    votes: Mapping[str, Floats]
    close: float


def fit_voters(index: Index, alike: FittedVoters | None = None) -> FittedVoters:
    """Fit every voter of `INDEX_VOTERS` on an index's examples.

    Args:
        index: the labelled windows.
        alike: the voters of an index that differs in nothing but windows' vectors; those that
            learn nothing from vectors are taken over.
    """
    examples = _examples(index)
    fitted = {}
    for name in INDEX_VOTERS:
        kind = voter_class(name)
        if alike is None or kind.reads_vectors:
            fitted[name] = kind.fit(examples)
        else:
            fitted[name] = alike.voters[name], alike.votes[name]
    return FittedVoters(
        voters={name: voter for name, (voter, _) in fitted.items()},
        held_out=index.examples[examples.held_out],
        votes={name: votes for name, (_, votes) in fitted.items()},
        close=_usual_similarity(examples.questions.similarities),
    )


def refit_neighbours(index: Index, fitted: FittedVoters) -> FittedVoters:
    """The voters of an index, of one that differs in nothing but how many neighbours vote."""
    rows = fitted.held_out
    asked = _asked(index, rows)
    gold = index.label_positions[rows]
    voter = fit_neighbour_voter(
        asked.similarities, asked.neighbour_labels, gold, index.prior, index.neighbours
    )
    return replace(
        fitted,
        voters={**fitted.voters, "neighbours": voter},
        votes={**fitted.votes, "neighbours": voter.distributions(asked)},
    )


def _examples(index: Index) -> Examples:
    """What the voters of an index learn from, and are asked to be weighed."""
    turns = [index.turns[row] for row in index.examples]
    folds = index.folds(index.exclude)
    asked = _some_dialogues(turns)
    cells = [
        (folds.seen(cell), folds.inside(cell)[asked])
        for cell in folds.cells()
        if folds.seen(cell).any()
    ]
    # A window that nobody may be asked about (there is no other dialogue) weighs nobody.
    askable = np.zeros(len(asked), dtype=bool)
    for _, inside in cells:
        askable |= inside
    asked = asked[askable]
    rows = index.examples[asked]
    return Examples(
        turns=turns,
        vectors=index.window_vectors[index.examples],
        labels=index.label_positions[index.examples],
        prior=index.prior,
        held_out=asked,
        questions=_asked(index, rows),
        folds=[(seen, inside[askable]) for seen, inside in cells],
        neighbours=index.neighbours,
    )


def _asked(index: Index, rows: Integers) -> Questions:
    """Held-out windows as questions; no neighbour is of their own dialogue."""
    turns = [index.turns[row] for row in rows]
    return questions_of(index, turns, index.window_vectors[rows], Guard(index.exclude))


def _usual_similarity(similarities: Floats) -> float:
    closest = similarities[:, 0] if similarities.shape[1] else np.zeros(0)
    closest = closest[np.isfinite(closest)]
    return float(np.quantile(closest, FAR)) if len(closest) else -1.0


def questions_of(index: Index, turns: Sequence[Turn], vectors: Vectors, guard: Guard) -> Questions:
    """Windows with their neighbours, for the voters."""
    count = max(COUNTS[-1], index.neighbours or 0)
    if index.neighbours is not None and index.searcher.exact:
        count = max(index.neighbours, 1)  # the closest tells what is far away
    found = index.search(vectors, turns, count, guard)
    return Questions(turns, vectors, found.similarities, index.label_positions[found.rows])


def _some_dialogues(turns: Sequence[Turn]) -> Integers:
    """Positions of all windows, or of those of some dialogues drawn by lot, rising.

    The lot of a dialogue is the hash of its id, so that an index and the same index without some
    of its labels draw the same ones.
    """
    names = dict.fromkeys(turn.dialogue_id for turn in turns)
    lots = {name: sha256_bytes(name.encode()) for name in names}
    order = {name: number for number, name in enumerate(sorted(lots, key=lots.__getitem__))}
    ranks = np.array([order[turn.dialogue_id] for turn in turns])
    last = np.sort(ranks)[min(HELD_OUT_WINDOWS, len(turns)) - 1]
    return np.flatnonzero(ranks <= last)
