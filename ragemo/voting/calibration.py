"""Batch calibration: what a model says whatever it is asked is no evidence.

A small model's label likelihoods lean to one label for every prompt. With s_il = log P(l | x_i)
for the prompts i = 1..n of a run, m_l the mean of s_il over i, and pi_l the label shares of the
index (even shares without one),

    calibrated(l | x_i)  proportional to  exp( s_il - w (m_l - g log pi_l) ),   w = n / (n + 16)

takes that common part off and puts half of the training labels' own leaning (g = 0.5) in its
place. It needs no label of what is predicted. The weight w holds back on short runs, whose mean
is as much the utterances as the model: at n = 1 hardly anything is corrected.

Source: Zhou et al., "Batch calibration: rethinking calibration for in-context learning and
prompt engineering", ICLR 2024, which has g = 0 and w = 1. Pulling to even shares costs weighted
F1 where one label rules, pulling all the way to the index's shares costs recall of the others.

The price: a run's labels then depend on which utterances are in the run (`--limit` too), and a
run whose labels lean otherwise than the index's is pulled towards them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ragemo.types import Ballot

SHRINKAGE = 16
"""Prompts at which half of the common part is taken off."""

PRIOR_STRENGTH = 0.5
"""g, the same compromise as the neighbour voter's usual correction."""


def batch_calibrate(
    ballots: Sequence[Ballot], prior: Sequence[float] | None = None
) -> list[Ballot]:
    """The ballots with calibrated distributions where they hold label likelihoods.

    Args:
        ballots: of any voters, in any order, which is kept.
        prior: label shares of the index in label order; None: even.

    Each voter is calibrated on its own ballots. Ballots without likelihoods are returned as
    they are.
    """
    # A label that no example carries is rare, not impossible.
    leaning = 0.0 if prior is None else PRIOR_STRENGTH * np.log(np.maximum(prior, 1e-3))
    rows: dict[str, list[int]] = defaultdict(list)
    for row, ballot in enumerate(ballots):
        if ballot.log_likelihoods is not None:
            rows[ballot.voter].append(row)
    calibrated = list(ballots)
    for own in rows.values():
        scores = np.array([ballots[row].log_likelihoods for row in own])
        weight = len(own) / (len(own) + SHRINKAGE)
        # fsum, so that the order of the ballots leaves no trace.
        mean = np.array([math.fsum(column) for column in scores.T]) / len(own)
        scores -= weight * (mean - leaning)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        for row, distribution in zip(own, shares, strict=True):
            calibrated[row] = replace(
                ballots[row], distribution=tuple(float(share) for share in distribution)
            )
    return calibrated
