"""The majority: every usable ballot is one vote for its first choice.

    P(l) = (ballots whose first choice is l) / (usable ballots)

Wang et al., "Self-consistency improves chain of thought reasoning in language models", ICLR
2023, for the answers of a language model; here every voter's ballots count alike. Ties go to the
label that stands first in the label set.
"""

from __future__ import annotations

import numpy as np

from ragemo.voting.votes import Floats, Votes


def majority_pool(votes: Votes) -> Floats:
    """Shares of the votes, shape (N, L); rows of 0 where nobody voted."""
    totals = votes.firsts.sum(axis=0)
    shares: Floats = totals / np.maximum(totals.sum(axis=1, keepdims=True), 1)
    return shares
