"""The majority of a voter's ballots.

With p_j the distribution of ballot j of n usable ones, the verdict's distribution is

    P(l) = (1/n) sum_j p_j(l)

A bare label is one-hot, so for sampled answers P is exactly the share of votes and the winner is
the majority (Wang et al., "Self-consistency improves chain of thought reasoning in language
models", ICLR 2023); a ballot that holds likelihoods gives each label its part.

Ties are broken by the total similarity of the demonstrations that carry the label, then by the
label set's order; never by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ragemo.labels import LabelSet
from ragemo.types import Ballot, Demonstration, Verdict

PRECISION = 12
"""Digits to which shares are compared, so that equal sums of other fractions tie."""


def majority(
    utterance_id: str,
    ballots: Sequence[Ballot],
    demonstrations: Sequence[Demonstration],
    labels: LabelSet,
) -> Verdict:
    """The verdict on one utterance; without a usable ballot it has no label."""
    usable = [ballot.distribution for ballot in ballots if ballot.distribution is not None]
    invalid = sum(ballot.invalid for ballot in ballots)
    failed = sum(ballot.failed for ballot in ballots)
    if not usable:
        return Verdict(utterance_id, None, None, 0.0, 0.0, invalid, failed)
    support = [
        round(math.fsum(d.similarity for d in demonstrations if d.label == name), PRECISION)
        for name in labels.names
    ]

    def first_choice(shares: Sequence[float]) -> int:
        return max(
            range(len(labels)),
            key=lambda label: (round(shares[label], PRECISION), support[label], -label),
        )

    # fsum, so that the order of the ballots leaves no trace.
    shares = [math.fsum(column) / len(usable) for column in zip(*usable, strict=True)]
    winner = first_choice(shares)
    agreeing = sum(first_choice(distribution) == winner for distribution in usable)
    return Verdict(
        utterance_id=utterance_id,
        label=labels.names[winner],
        distribution=tuple(shares),
        confidence=shares[winner],
        agreement=agreeing / len(usable),
        invalid=invalid,
        failed=failed,
    )
