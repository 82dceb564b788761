"""The retrieved neighbours as a voter: what similar labelled windows were labelled.

With s_i the similarity of neighbour i, y_i its label, pi the label shares of the index, T a
temperature and N the number of neighbours:

    p(l) = ( sum_{i<=N} exp((s_i - s_1)/T) [y_i = l] + pi_l )
           / ( sum_{i<=N} exp((s_i - s_1)/T) + 1 )

The one added example with the prior's distribution keeps every label possible; pi counts each
label once more than the index has it, so that none of its shares is 0. N and T minimise the
log loss on the index's own windows asked with their dialogue held out.

The kernel-weighted vote is that of Dudani, "The distance-weighted k-nearest-neighbor rule",
IEEE Trans. SMC (1976), with a softmax kernel as in Khandelwal et al., "Generalization through
memorization", ICLR (2020).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ragemo.cores import cores
from ragemo.retrieval.voters.numbers import read_number, read_prior

if TYPE_CHECKING:
    from ragemo.retrieval.voters import Examples, Questions

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

COUNTS = (8, 16, 32, 64, 128, 256)
TEMPERATURES = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2)

UNTRIED = (64, 0.07)
"""N and T where there is no held-out window to fit them on."""


@dataclass(frozen=True)
class NeighbourVoter:
    """The voter's settings, fitted when the index is built.

    Attributes:
        count: N, how many neighbours vote (more than are shown to an LLM, if nobody asks for
            another number).
        temperature: T, above 0.
        prior: pi, the label shares of the index, in label order; all above 0.
    """

    count: int
    temperature: float
    prior: tuple[float, ...]

    reads_vectors: ClassVar[bool] = True

    @classmethod
    def fit(cls, examples: Examples) -> tuple[NeighbourVoter, Floats]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        asked = examples.questions
        gold = examples.labels[examples.held_out]
        voter = fit_neighbour_voter(
            asked.similarities, asked.neighbour_labels, gold, examples.prior, examples.neighbours
        )
        return voter, voter.distributions(asked)

    def distributions(self, questions: Questions) -> Floats:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        return self.votes(questions.similarities, questions.neighbour_labels)

    def votes(self, similarities: Floats, labels: Integers) -> Floats:
        """The votes.

        Args:
            similarities: falling within a row, shape (n, K); -inf where there is no neighbour.
            labels: label positions, shape (n, K); anything where there is no neighbour.

        Returns:
            Shape (n, number of labels); rows sum to 1, every share is above 0.
        """
        similarities, labels = similarities[:, : self.count], labels[:, : self.count]
        prior = np.array(self.prior)
        if similarities.shape[1] == 0:
            return np.tile(prior, (len(similarities), 1))
        weights = _weights(similarities, self.temperature)
        counts = np.stack(
            [(weights * (labels == label)).sum(axis=1) for label in range(len(prior))], axis=1
        )
        shares: Floats = (counts + prior) / (weights.sum(axis=1, keepdims=True) + 1)
        return shares

    def to_dict(self) -> dict[str, Any]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        return {
            "count": self.count,
            "temperature": self.temperature,
            "prior": list(self.prior),
        }

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        return {}

    @classmethod
    def from_parts(
        cls, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]
    ) -> NeighbourVoter:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        count = int(read_number(data, "count", 0, sys.maxsize))
        temperature = read_number(data, "temperature", 1e-3, 1e3)
        return cls(count, temperature, read_prior(data))


def fit_neighbour_voter(
    similarities: Floats,
    labels: Integers,
    gold: Integers,
    prior: tuple[float, ...],
    count: int | None = None,
) -> NeighbourVoter:
    """Choose N and T by log loss on windows whose neighbours come from other dialogues.

    Args:
        similarities, labels: of each window's neighbours, shape (n, at least N), most similar
            first; -inf where there is no neighbour.
        gold: the windows' own label positions, shape (n,).
        prior: label shares of the index, all above 0.
        count: N, if it is not to be chosen.
    """
    if not len(gold):
        return NeighbourVoter(UNTRIED[0] if count is None else count, UNTRIED[1], prior)
    rows = np.arange(len(gold))
    counts = [n for n in COUNTS if n <= max(similarities.shape[1], COUNTS[0])]
    if count is not None:
        counts = [count]
        similarities, labels = similarities[:, :count], labels[:, :count]
    labelled_alike = labels == gold[:, None]

    def tried(temperature: float) -> list[tuple[tuple[int, float], float]]:
        """Each N's log loss with that T."""
        # The gold label's share under each N: the sums up to N, whatever N is.
        weights = _weights(similarities, temperature)
        totals = np.cumsum(weights, axis=1)
        hits = np.cumsum(np.multiply(weights, labelled_alike, out=weights), axis=1)
        losses = []
        for number in counts:
            last = min(number, similarities.shape[1]) - 1
            own, total = (hits[rows, last], totals[rows, last]) if last >= 0 else (0.0, 0.0)
            shares = (own + np.array(prior)[gold]) / (total + 1)
            losses.append(((number, temperature), float(-np.log(shares).mean())))
        return losses

    with ThreadPoolExecutor(cores()) as pool:
        losses = {setting: loss for some in pool.map(tried, TEMPERATURES) for setting, loss in some}
    number, temperature = min(losses, key=lambda setting: (losses[setting], setting))
    return NeighbourVoter(number, temperature, prior)


def _weights(similarities: Floats, temperature: float) -> Floats:
    """exp((s_i - s_1) / T), and 0 where there is no neighbour."""
    first = similarities[:, :1]
    first = np.where(np.isfinite(first), first, 0)
    weights: Floats = np.exp((similarities - first) / temperature)
    return weights
