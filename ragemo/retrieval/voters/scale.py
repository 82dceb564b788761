"""Scores of a voter as probabilities, with the prior taken for what it is.

    p(l | x)  proportional to  pi_l exp( T s_l(x) )

T >= 0 minimises the log loss on held-out windows (temperature scaling: Guo et al., "On
calibration of modern neural networks", ICML 2017, with T as its inverse temperature).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragemo.retrieval.voters.neighbours import Floats, Integers

SCALES = (0.0, *(float(scale) for scale in np.geomspace(0.02, 5, 56).round(4)))
"""The values of T that are tried; 0: the scores say nothing."""

UNTRIED = 0.5
"""T where there is no held-out window to fit it on."""


def scaled(scores: Floats, scale: float, prior: Sequence[float]) -> Floats:
    """The distributions for scores of shape (n, L), rounded to nine digits.

    Linear algebra differs in its last digits between machines; rounding keeps those out of
    files that should be the same everywhere.
    """
    weights = _weights(scores, scale, prior)
    return _rounded(weights / weights.sum(axis=1, keepdims=True))


def fit_scale(scores: Floats, gold: Integers, prior: Sequence[float]) -> float:
    """T by the log loss of scores, shape (n, L), on gold label positions, shape (n,)."""
    if not len(gold):
        return UNTRIED
    rows = np.arange(len(gold))
    losses = []
    for scale in SCALES:
        weights = _weights(scores, scale, prior)
        losses.append(-np.log(_rounded(weights[rows, gold] / weights.sum(axis=1))).mean())
    return SCALES[int(np.argmin(losses))]


def _weights(scores: Floats, scale: float, prior: Sequence[float]) -> Floats:
    """What the shares of a row are proportional to, the largest 1."""
    logits = scale * scores + np.log(prior)
    weights: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights


def _rounded(shares: Floats) -> Floats:
    return np.maximum(shares, 1e-9).round(9)
