"""The ballots of several voters on the same utterances, as arrays that pools work on.

A voter may cast several ballots on an utterance (an LLM's samples, say). They come from one
model and err together, so they are joined to one vote of that voter first: the mean of their
distributions. Pools then weigh voters, not ballots.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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

    def on(self, rows: Integers | Mask | slice) -> Votes:
        """The votes on some utterances, by position, mask or slice; those of a slice are views."""
        kept = np.arange(len(self.utterances))[rows]
        return Votes(
            self.voters,
            tuple(self.utterances[row] for row in kept.tolist()),
            self.shares[:, rows],
            self.firsts[:, rows],
            self.bare[:, rows],
        )


def count_votes(ballots: Iterable[Ballot], utterances: Sequence[str], labels: int) -> Votes:
    """Ballots as votes.

    Args:
        ballots: of any voters, in any order, which leaves no trace; they are taken one by one and
            not kept. Those on other utterances and those without a distribution are passed over.
        utterances: N ids, the order of the rows.
        labels: L, how many labels there are.

    A ballot whose first choice ties counts for its first label among equals.
    """
    rows = {utterance: row for row, utterance in enumerate(utterances)}
    met: dict[str, int] = {}  # voters, in the order in which they come
    voter_column, row_column, share_column = array("q"), array("q"), array("d")
    for ballot in ballots:
        if ballot.distribution is not None and (row := rows.get(ballot.utterance_id)) is not None:
            voter_column.append(met.setdefault(ballot.voter, len(met)))
            row_column.append(row)
            share_column.extend(ballot.distribution)
    voters = tuple(sorted(met))
    place = np.zeros(len(voters), dtype=np.int64)
    place[[met[voter] for voter in voters]] = np.arange(len(voters))
    by, at = place[np.array(voter_column, dtype=np.int64)], np.array(row_column, dtype=np.int64)
    said = np.array(share_column, dtype=np.float64).reshape(len(by), labels)
    del rows, voter_column, row_column, share_column
    shares = np.zeros((len(voters), len(utterances), labels))
    firsts, bare = np.zeros_like(shares), np.zeros(shares.shape[:2])
    shares[by, at] = said
    np.add.at(firsts, (by, at, said.round(PRECISION).argmax(axis=1)), 1)
    np.add.at(bare, (by, at), said.max(axis=1) == 1)
    # Most cast one, and those are done.
    several = np.flatnonzero((firsts.sum(axis=2) > 1)[by, at])
    together: dict[tuple[int, int], list[int]] = defaultdict(list)
    for ballot_row in several.tolist():
        together[int(by[ballot_row]), int(at[ballot_row])].append(ballot_row)
    for own, ballot_rows in together.items():
        # fsum, so that the order of the ballots leaves no trace.
        shares[own] = [math.fsum(column) / len(ballot_rows) for column in said[ballot_rows].T]
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
