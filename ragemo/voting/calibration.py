"""Batch calibration: what a model says whatever it is asked is no evidence.

A small model's label likelihoods lean to one label for every prompt. With s_il = log P(l | x_i)
for the prompts i = 1..n of a run and m_l the mean of s_il over i,

    calibrated(l | x_i)  proportional to  exp( s_il - w m_l ),   w = n / (n + 16)

takes that common part off. It needs no label. The weight w holds back on short runs, whose
mean is as much the utterances as the model. At n = 1 hardly anything is corrected.

Source: Zhou et al., "Batch calibration: rethinking calibration for in-context learning and
prompt engineering", ICLR 2024; the weight w is ours.

The price: a run's labels then depend on which utterances are in the run (`--limit` too), and a
run whose labels truly lean one way is pulled towards an even mix.
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


def batch_calibrate(ballots: Sequence[Ballot]) -> list[Ballot]:
    """The ballots with calibrated distributions where they hold label likelihoods.

    Each voter is calibrated on its own ballots. Ballots without likelihoods are returned as
    they are, and the order is kept.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, ballot in enumerate(ballots):
        if ballot.log_likelihoods is not None:
            rows[ballot.voter].append(row)
    calibrated = list(ballots)
    for own in rows.values():
        scores = np.array([ballots[row].log_likelihoods for row in own])
        weight = len(own) / (len(own) + SHRINKAGE)
        # fsum, so that the order of the ballots leaves no trace.
        scores -= weight / len(own) * np.array([math.fsum(column) for column in scores.T])
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        for row, distribution in zip(own, shares, strict=True):
            calibrated[row] = replace(
                ballots[row], distribution=tuple(float(share) for share in distribution)
            )
    return calibrated
