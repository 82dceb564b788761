"""The weighted mean of the voters' distributions (the linear opinion pool).

    P(l | x) = sum_v w_v p_v(l | x) / sum_v w_v,   over the voters that voted on x

Source: Stone, "The opinion pool", Ann. Math. Statist. (1961).
"""

from __future__ import annotations

import numpy as np

from ragemo.voting.votes import Floats, Votes


def mean_pool(votes: Votes, weights: Floats) -> Floats:
    """The pooled distributions, shape (N, L); rows of 0 where nobody with a weight voted.

    Args:
        votes: of V voters.
        weights: w, shape (V,), at least 0.
    """
    # A sum over voters in order of size, so that the voters' order leaves no trace.
    totals = np.sort(weights[:, None, None] * votes.shares, axis=0).sum(axis=0)
    mass = totals.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(totals, mass, out=np.zeros_like(totals), where=mass > 0)
    return shares
