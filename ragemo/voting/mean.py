"""The weighted mean of the voters' distributions (the linear opinion pool).

    P(l | x) = sum_v w_v p_v(l | x) / sum_v w_v,   over the voters that voted on x

A voter that joins voters whose weights are there gets the weight that minimises the log loss on
labelled windows of the mean at the T that suits the others alone, held towards a guess,

    - sum_i log Q(y_i | x_i)  +  1/2 sum_v ((w_v - w0_v) / sigma_v)^2,    Q ~ P^{1/T}

A mean is flatter than its voters, so it is sharpened afterwards, and with it what the voter that
joins says; at a T that does not suit, one that guesses would seem to bring the right flatness.
The weights of the index's own voters are those of `ragemo.voting.log_pool`: on MELD, with three
that are calibrated and much alike, the mean by them is as good as the log pool.

Sources: Stone, "The opinion pool", Ann. Math. Statist. (1961); Ranjan and Gneiting, "Combining
probability forecasts", JRSS B 72(1), 2010 (why a mean is too flat).
"""

from __future__ import annotations

import numpy as np

from ragemo.voting.votes import LEAST, Floats, Integers, Votes

DIGITS = 4
"""To which fitted weights are rounded."""


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


def fit_joining(
    votes: Votes,
    gold: Integers,
    settled: Floats,
    guess: Floats,
    spread: Floats,
    *,
    sharpness: float,
) -> Floats:
    """The weights of voters that join others, by penalised log loss, shape (V,).

    Args:
        votes: of the V voters on N labelled windows.
        gold: label positions, shape (N,).
        settled: the weighted sum of what the others say, shape (N, L); 0 where nobody does.
        guess: w0, shape (V,), at least 0.
        spread: sigma, shape (V,), above 0.
        sharpness: 1/T.
    """
    from scipy.optimize import minimize

    rows = np.arange(len(gold))
    # Or a sum could be 0, and a bare label that is wrong never be made up for.
    said = np.where(votes.present[:, :, None], np.maximum(votes.shares, LEAST), 0.0)
    others = np.maximum(settled, LEAST**2)

    def loss(weights: Floats) -> tuple[float, Floats]:
        sums = others + np.sort(weights[:, None, None] * said, axis=0).sum(axis=0)
        scores = sharpness * np.log(sums)
        totals = np.logaddexp.reduce(scores, axis=1)
        pull = (weights - guess) / spread**2
        value = (totals - scores[rows, gold]).sum() + 0.5 * (pull * (weights - guess)).sum()
        slope = np.exp(scores - totals[:, None])
        slope[rows, gold] -= 1
        return float(value), (sharpness * slope / sums * said).sum(axis=(1, 2)) + pull

    if not len(guess):
        return guess
    bounds = [(0.0, None)] * len(guess)
    best = minimize(loss, guess, jac=True, method="L-BFGS-B", bounds=bounds)
    # To digits that the order of windows and voters does not reach.
    weights: Floats = best.x.round(DIGITS)
    return weights
