"""What a voter says whatever it is asked is no evidence: its base is taken off.

A language model leans to some labels for every prompt. With p_v(l | x_i) what it says of the
windows i = 1..n,

    log b_v(l) = w (1/n) sum_i log p_v(l | x_i)  -  (1 - w) log L,     w = n / (n + 16)

needs no label of anything: the x_i are the labelled windows that the voter was tried on, if they
are enough (a verdict then does not depend on which other utterances are in the run), else the
run itself. The weight w holds back where n is small and the mean is as much the utterances as
the model. Source: Zhou et al., "Batch calibration: rethinking calibration for in-context
learning and prompt engineering", ICLR 2024.

The other way is to ask about windows that say nothing, and to take what is answered for the
base: Zhao et al., "Calibrate before use: improving few-shot performance of language models",
ICML 2021. Their few answers are all model, so nothing is held back: w = 1.
"""

from __future__ import annotations

import math

import numpy as np

from ragemo.voting.votes import Floats, Votes

SHRINKAGE = 16
"""Windows at which half of the common part is taken off."""

ENOUGH = 16
"""Windows that a base may rest on alone."""


def base_of(voter: str, *places: Votes, shrinkage: float = SHRINKAGE) -> tuple[float, ...]:
    """log b_v for each label.

    Args:
        voter: its name.
        places: votes on several sets of windows; the first set in which the voter voted on
            `ENOUGH` windows is used, or else the one with the most.
        shrinkage: 16, or 0 for windows that say nothing.
    """
    found = [_logs(voter, votes) for votes in places]
    logs = next((own for own in found if len(own) >= ENOUGH), max(found, key=len))
    count = len(logs)
    weight = count / (count + shrinkage) if count else 0.0
    even = -math.log(logs.shape[1])
    # fsum, so that the order of the windows leaves no trace.
    return tuple(
        round(weight * math.fsum(column) / max(count, 1) + (1 - weight) * even, 6)
        for column in logs.T.tolist()
    )


def _logs(voter: str, votes: Votes) -> Floats:
    """What a voter says of the windows it voted on, log p, shape (n, L)."""
    own = votes.of([voter])
    return own.logs()[0][own.present[0]] if own.voters else np.zeros((0, votes.shares.shape[2]))
