"""The retrieved neighbours as a voter: what similar labelled windows were labelled.

With s_i the similarity of neighbour i, y_i its label, pi the label shares of the index, T a
temperature, N the number of neighbours and g the strength of the prior correction:

    p(l) = ( sum_{i<=N} exp((s_i - s_1)/T) [y_i = l] + pi_l )
           / ( sum_{i<=N} exp((s_i - s_1)/T) + 1 )
    vote(l)  proportional to  p(l) / pi_l^g

The one added example with the prior's distribution keeps every label possible; pi counts each
label once more than the index has it, so that none of its shares is 0. N and T
minimise the log loss, then g maximises weighted F1, both on the index's own windows asked with
their dialogue held out. A full correction (g = 1) would ask for rare labels far too often.

The kernel-weighted vote is that of Dudani, "The distance-weighted k-nearest-neighbor rule",
IEEE Trans. SMC (1976), with a softmax kernel as in Khandelwal et al., "Generalization through
memorization", ICLR (2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

COUNTS = (8, 16, 32, 64, 128, 256)
TEMPERATURES = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
CORRECTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True)
class NeighbourVoter:
    """The voter's settings, fitted when the index is built.

    Attributes:
        count: N, how many neighbours vote (more than are shown to an LLM).
        temperature: T, above 0.
        correction: g, in [0, 1].
        prior: pi, the label shares of the index, in label order; all above 0.
    """

    count: int
    temperature: float
    correction: float
    prior: tuple[float, ...]

    def distributions(self, similarities: Floats, labels: Integers) -> Floats:
        """The votes.

        Args:
            similarities: falling within a row, shape (n, N); -inf where there is no neighbour.
            labels: label positions, shape (n, N); anything where there is no neighbour.

        Returns:
            Shape (n, number of labels); rows sum to 1, every share is above 0.
        """
        corrected = self._uncorrected(similarities[:, : self.count], labels[:, : self.count])
        corrected /= np.array(self.prior) ** self.correction
        votes: Floats = corrected / corrected.sum(axis=1, keepdims=True)
        return votes

    def _uncorrected(self, similarities: Floats, labels: Integers) -> Floats:
        prior = np.array(self.prior)
        if similarities.shape[1] == 0:
            return np.tile(prior, (len(similarities), 1))
        first = similarities[:, :1]
        found = np.isfinite(similarities)
        weights = np.where(
            found,
            np.exp((similarities - np.where(np.isfinite(first), first, 0)) / self.temperature),
            0,
        )
        counts = np.stack(
            [(weights * (labels == label)).sum(axis=1) for label in range(len(prior))], axis=1
        )
        shares: Floats = (counts + prior) / (weights.sum(axis=1, keepdims=True) + 1)
        return shares

    def to_dict(self) -> dict[str, Any]:
        """Plain data for manifests; `NeighbourVoter(**data)` reads it back."""
        return {
            "count": self.count,
            "temperature": self.temperature,
            "correction": self.correction,
            "prior": list(self.prior),
        }


def fit_neighbour_voter(
    similarities: Floats, labels: Integers, gold: Integers, prior: tuple[float, ...]
) -> NeighbourVoter:
    """Choose N, T and g on windows whose neighbours come from other dialogues.

    Args:
        similarities, labels: of each window's neighbours, shape (n, at least N), most similar
            first; -inf where there is no neighbour.
        gold: the windows' own label positions, shape (n,).
        prior: label shares of the index, all above 0.
    """
    rows = np.arange(len(gold))

    def log_loss(voter: NeighbourVoter) -> float:
        votes = voter.distributions(similarities, labels)
        return float(-np.log(votes[rows, gold]).mean())

    def weighted_f1(voter: NeighbourVoter) -> float:
        predicted = voter.distributions(similarities, labels).argmax(axis=1)
        total = 0.0
        for label in range(len(prior)):
            hits = int(((predicted == label) & (gold == label)).sum())
            named = int((predicted == label).sum()) + int((gold == label).sum())
            total += int((gold == label).sum()) * (2 * hits / named if named else 0.0)
        return total / len(gold)

    sharpest = min(
        (
            NeighbourVoter(count, temperature, 0.0, prior)
            for count in COUNTS
            if count <= max(similarities.shape[1], COUNTS[0])
            for temperature in TEMPERATURES
        ),
        key=log_loss,
    )
    return max(
        (
            NeighbourVoter(sharpest.count, sharpest.temperature, correction, prior)
            for correction in CORRECTIONS
        ),
        key=weighted_f1,
    )
