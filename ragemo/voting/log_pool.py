"""The weighted logarithmic opinion pool: every voter's evidence, in proportion to its worth.

With p_v(l | x) the vote of voter v, b_v(l) what it says whatever it is asked (its base), w_v >= 0
its weight and pi the label shares of the index,

    P(l | x)  proportional to  pi_l  prod_v ( p_v(l | x) / b_v(l) )^{w_v}

A voter's evidence is what it says beyond its base; the prior comes in once, not once a voter.
With all weights 1 this is what independent voters would give (naive Bayes); weights below 1
allow for voters that know the same things, and 0 leaves a voter out.

Source: Genest and Zidek, "Combining probability distributions: a critique and an annotated
bibliography", Statistical Science (1986); Hinton, "Training products of experts by minimizing
contrastive divergence", Neural Computation (2002).

The weights minimise the log loss on labelled windows, held towards a prior guess w0:

    w = argmin  sum_i -log P(y_i | x_i)  +  sum_v (w_v - w0_v)^2 / (2 sigma_v^2),   w_v >= 0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ragemo.voting.votes import Floats, Integers, Votes, normalised

DIGITS = 4
"""To which fitted weights are rounded."""


def evidence(votes: Votes, bases: Mapping[str, Sequence[float]]) -> Floats:
    """log p_v - log b_v, shape (V, N, L); 0 where a voter is silent.

    Args:
        votes: of V voters on N utterances.
        bases: log b_v of each voter, L values; a voter without one has an even base.
    """
    labels = votes.shares.shape[2]
    even = np.full(labels, -np.log(labels))
    base = np.array([bases.get(voter, even) for voter in votes.voters]).reshape(-1, 1, labels)
    found: Floats = np.where(votes.present[:, :, None], votes.logs() - base, 0.0)
    return found


def log_pool(found: Floats, weights: Floats, start: Floats) -> Floats:
    """The pooled distributions, shape (N, L).

    Args:
        found: evidence, shape (V, N, L).
        weights: w, shape (V,).
        start: log pi, shape (L,), or what was believed before these voters, shape (N, L).
    """
    return normalised(_scores(found, weights, start))


def _scores(found: Floats, weights: Floats, start: Floats) -> Floats:
    """The logarithm of the pool's product, not normalised, shape (N, L)."""
    # A sum over voters in order of size, so that the voters' order leaves no trace.
    parts = np.sort(weights[:, None, None] * found, axis=0).sum(axis=0)
    scores: Floats = start + parts
    return scores


def fit_weights(
    found: Floats, gold: Integers, start: Floats, guess: Floats, spread: Floats
) -> Floats:
    """The weights by penalised log loss, shape (V,); a convex problem with one solution.

    Args:
        found: evidence, shape (V, N, L).
        gold: label positions, shape (N,).
        start: log pi, shape (L,), or (N, L).
        guess: w0, shape (V,).
        spread: sigma, shape (V,), above 0.
    """
    from scipy.optimize import minimize

    rows = np.arange(len(gold))

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = _scores(found, weights, start)
        # In logs throughout: a step of the search may go so far that shares vanish.
        totals = np.logaddexp.reduce(scores, axis=1)
        pull = (weights - guess) / spread**2
        value = (totals - scores[rows, gold]).sum() + 0.5 * (pull * (weights - guess)).sum()
        expected = (np.exp(scores - totals[:, None]) * found).sum(axis=2)
        return float(value), (expected - found[:, rows, gold]).sum(axis=1) + pull

    if not len(guess):
        return guess
    best = minimize(
        loss,
        guess,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * len(guess),
        options={"ftol": 1e-13, "gtol": 1e-7},
    )
    # To digits that the order of windows and voters does not reach.
    weights: Floats = best.x.round(DIGITS)
    return weights
