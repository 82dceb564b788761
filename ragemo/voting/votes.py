"""The ballots of several voters on the same utterances, as arrays that pools work on.

A voter may cast several ballots on an utterance (an LLM's samples, say). They come from one
model and err together, so they are joined to one vote of that voter first: the mean of their
distributions. Pools then weigh voters, not ballots.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ragemo.types import Ballot

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PRECISION = 12
"""Digits to which shares are compared, so that equal sums of other fractions tie."""

LEAST = 1e-4
"""No voter's share of a label counts as less: nobody can rule a label out alone."""


@dataclass(frozen=True, eq=False)
class Votes:
    """What each voter says of each utterance.

    Attributes:
        voters: V names, in a fixed order that no result depends on.
        utterances: N ids.
        shares: each voter's mean distribution, shape (V, N, L); rows of 0 where it cast no
            usable ballot.
        firsts: how many of its ballots have each label as their first choice, shape (V, N, L).
        bare: how many of its ballots are bare labels, shape (V, N).
    """

    voters: tuple[str, ...]
    utterances: tuple[str, ...]
    shares: Floats
    firsts: Floats
    bare: Floats

    @cached_property
    def counts(self) -> Floats:
        """How many usable ballots each voter cast on each utterance, shape (V, N)."""
        counts: Floats = self.firsts.sum(axis=2)
        return counts

    @cached_property
    def present(self) -> Mask:
        """Whether a voter cast a usable ballot on an utterance, shape (V, N)."""
        present: Mask = self.counts > 0
        return present

    def logs(self) -> Floats:
        """log p_v(l | x), shape (V, N, L); 0 where a voter cast no usable ballot.

        A bare label is a sample of a distribution that is not seen. Of h of them,

            p = (1 - e) mean + e / L,   e = (h / n) / (h + 1)

        for n ballots in all: Laplace's rule of succession with one even vote added. Shares below
        `LEAST` count as that much.
        """
        counts = np.maximum(self.counts, 1)
        evenly = (self.bare / counts / (self.bare + 1))[:, :, None]
        smoothed = (1 - evenly) * self.shares + evenly / self.shares.shape[2]
        logs: Floats = np.log(np.maximum(smoothed, LEAST))
        return np.where(self.present[:, :, None], logs, 0.0)

    def of(self, voters: Sequence[str]) -> Votes:
        """The votes of some voters, in the order given; one that never voted is left out."""
        rows = [self.voters.index(voter) for voter in voters if voter in self.voters]
        return Votes(
            tuple(self.voters[row] for row in rows),
            self.utterances,
            self.shares[rows],
            self.firsts[rows],
            self.bare[rows],
        )

    def on(self, rows: Integers | Mask) -> Votes:
        """The votes on some utterances, by position or mask."""
        kept = np.arange(len(self.utterances))[rows]
        return Votes(
            self.voters,
            tuple(self.utterances[row] for row in kept),
            self.shares[:, kept],
            self.firsts[:, kept],
            self.bare[:, kept],
        )


def count_votes(ballots: Sequence[Ballot], utterances: Sequence[str], labels: int) -> Votes:
    """Ballots as votes.

    Args:
        ballots: of any voters, in any order, which leaves no trace; those on other utterances
            and those without a distribution are passed over.
        utterances: N ids, the order of the rows.
        labels: L, how many labels there are.

    A ballot whose first choice ties counts for its first label among equals.
    """
    rows = {utterance: row for row, utterance in enumerate(utterances)}
    cast: dict[tuple[str, int], list[Sequence[float]]] = defaultdict(list)
    for ballot in ballots:
        if ballot.distribution is not None and (row := rows.get(ballot.utterance_id)) is not None:
            cast[ballot.voter, row].append(ballot.distribution)
    voters = tuple(sorted({voter for voter, _ in cast}))
    position = {voter: number for number, voter in enumerate(voters)}
    shares = np.zeros((len(voters), len(rows), labels))
    firsts, bare = np.zeros_like(shares), np.zeros(shares.shape[:2])
    # Most cast one: all of those together.
    alone = [(position[voter], row, own[0]) for (voter, row), own in cast.items() if len(own) == 1]
    if alone:
        places, at, said = (np.array(column) for column in zip(*alone, strict=True))
        shares[places, at] = said
        firsts[places, at, said.round(PRECISION).argmax(axis=1)] = 1
        bare[places, at] = said.max(axis=1) == 1
    for (voter, row), distributions in cast.items():
        if len(distributions) == 1:
            continue
        # fsum, so that the order of the ballots leaves no trace.
        shares[position[voter], row] = [
            math.fsum(column) / len(distributions) for column in zip(*distributions, strict=True)
        ]
        for distribution in distributions:
            firsts[position[voter], row, int(np.argmax(np.round(distribution, PRECISION)))] += 1
            bare[position[voter], row] += max(distribution) == 1
    return Votes(voters, tuple(utterances), shares, firsts, bare)


def votes_of_arrays(shares: Mapping[str, Floats], utterances: Sequence[str], labels: int) -> Votes:
    """Votes of voters that say one distribution on each of N utterances.

    Args:
        shares: voter -> shape (N, L); rows of 0 where it is silent.
        utterances: N ids.
        labels: L.
    """
    voters = tuple(sorted(shares))
    stacked = np.zeros((len(voters), len(utterances), labels))
    for row, voter in enumerate(voters):
        stacked[row] = shares[voter]
    firsts = np.eye(labels)[stacked.round(PRECISION).argmax(axis=2)]
    firsts *= stacked.any(axis=2, keepdims=True)
    return Votes(voters, tuple(utterances), stacked, firsts, np.zeros(stacked.shape[:2]))


def normalised(scores: Floats) -> Floats:
    """Scores in the log domain as distributions: exp, rows summing to 1."""
    shares: Floats = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return shares
