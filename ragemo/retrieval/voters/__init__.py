"""The index's own voters: everything that knows labels without asking a language model.

A voter is a class with the members of `IndexVoter` and a line in `INDEX_VOTERS`. It is fitted
when an index is built, on the labelled windows, and says a distribution over the labels of any
other window. Fitting also gives its statements on held-out windows, made by voters that did not
see the window's own dialogue: what they are worth is learned from those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol, cast

import numpy as np

from ragemo.retrieval.embedding.embedder import Vectors
from ragemo.retrieval.guards import Mask
from ragemo.retrieval.voters.neighbours import Floats, Integers
from ragemo.types import Turn

INDEX_VOTERS: Mapping[str, str] = {
    "neighbours": "ragemo.retrieval.voters.neighbours:NeighbourVoter",
    "probe": "ragemo.retrieval.voters.probe:Probe",
    "words": "ragemo.retrieval.voters.words:WordVoter",
}
"""Name -> where its class is."""


@dataclass(frozen=True)
class Questions:
    """Windows that voters are asked about.

    Attributes:
        turns: the n target turns.
        vectors: composed window vectors, shape (n, 2 d).
        similarities, neighbour_labels: of each window's neighbours, most similar first, shape
            (n, K); -inf where there is none.
    """

    turns: Sequence[Turn]
    vectors: Vectors
    similarities: Floats
    neighbour_labels: Integers


@dataclass(frozen=True)
class Examples:
    """What a voter learns from.

    Attributes:
        turns: the E labelled windows' target turns.
        vectors: composed window vectors, shape (E, 2 d).
        labels: label positions, shape (E,).
        prior: label shares, each label counted once more so that none is at 0.
        held_out: positions of the S examples that are asked, too, shape (S,).
        questions: those S as questions; no neighbour is of their own dialogue.
        folds: pairs of (examples a voter may learn from, shape (E,); which of the S it is then
            asked about, shape (S,)).
        neighbours: how many neighbours vote, at least 0; None: as many as fit best.
    """

    turns: Sequence[Turn]
    vectors: Vectors
    labels: Integers
    prior: tuple[float, ...]
    held_out: Integers
    questions: Questions
    folds: Sequence[tuple[Mask, Mask]]
    neighbours: int | None = None


class IndexVoter(Protocol):
    """A voter that the index brings along; plain data and arrays describe it whole.

    Attributes:
        reads_vectors: whether it learns from windows' vectors or neighbours, and not from their
            words and labels alone.
    """

    reads_vectors: ClassVar[bool]

    @classmethod
    def fit(cls, examples: Examples) -> tuple[IndexVoter, Floats]:
        """The voter, and its distributions on the held-out examples, shape (S, L)."""
        ...

    def distributions(self, questions: Questions) -> Floats:
        """Shape (n, L); rows sum to 1, and every share is above 0."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Its settings, ready for JSON."""
        ...

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """What it has learned, without Python objects."""
        ...

    @classmethod
    def from_parts(
        cls, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]
    ) -> IndexVoter:
        """The voter from what `to_dict` and `arrays` gave.

        Raises:
            KeyError, TypeError, ValueError: if they are not that.
        """
        ...


def voter_class(name: str) -> type[IndexVoter]:
    """The class behind a name of `INDEX_VOTERS`."""
    module, _, class_name = INDEX_VOTERS[name].partition(":")
    return cast("type[IndexVoter]", getattr(import_module(module), class_name))
