"""How far to trust a voter that brings no answers to check: by its agreement with those known.

Let r_i be the calibrated belief of the trusted voters about utterance i, y_i the true label
(one-hot) and v_i the unknown voter's distribution. Say the voter knows the label with
probability a and otherwise guesses by rates g of its own (one coin). If its errors have nothing
to do with the trusted voters', then E[v_i | r_i] = a r_i + (1 - a) g, and for any function f_i of
what the trusted voters said

    a = cov(v, f) / cov(r, f),     cov summed over the labels.

With f = r this is Cohen's kappa for beliefs: agreement beyond chance, over what a voter that is
always right would reach. A guesser has a = 0 whatever labels it favours, "always neutral"
included, one that is always right has a = 1.

Errors do have to do with each other: who reads the same words falls into the same traps. That
shows in three ways, and all are held against the voter. With low and high the least and the
greatest of the estimates from f = r, r^2 and each trusted voter's own belief,

    skill = 1/2 ( low - (high - low) - 3 max(0, high - 1) ),  in [0, 1]

- the estimates differ: it follows one of the trusted voters, or agrees just where the belief is
  unsure;
- an estimate is above 1: it agrees more than one that is always right would;
- and half of the rest is taken for shared error. Voters simulated on MELD's training dialogues
  had about that much, where they gained from the index what real LLMs are known to gain.

The weight rises in proportion to the skill and stops at a cap. It is for the pool of
`log_pool`, with the voter's own base taken off.

What agreement cannot tell: a voter that draws its answers from the trusted voters' pooled belief
looks like a good one. The cap bounds the harm: 2.2 points of weighted F1 on MELD's training
dialogues for bare labels drawn from the belief itself.

Sources: the one coin: Dawid and Skene, Applied Statistics 28(1), 1979; agreement beyond chance:
Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement
20(1), 1960; accuracy from agreement without labels: Platanios et al., "Estimating accuracy from
unlabeled data", UAI 2014; the quotient of covariances is that of instrumental variables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ragemo.voting.votes import Floats, Mask

CAP = 0.6
"""The greatest weight: what the log loss gave simulated voters with a weighted F1 of 59 to 65
beside an index of MELD's training dialogues (0.5 to 0.6), where GPT-4o stands, too."""

ENOUGH = 0.3
"""The skill from which on the weight is the cap."""

SHARED = 0.5
"""The part of the agreement beyond chance that is taken for shared error."""

EXCESS = 3.0
"""How much an estimate above 1 counts against the voter."""

ENOUGH_UTTERANCES = 20
"""With fewer, the estimate is mixed with `DEFAULT_SKILL` in proportion."""

DEFAULT_SKILL = 0.125
"""Of a voter nothing is known of: a weight of 0.25 with one ballot, which costs little if it
guesses.
"""


@dataclass(frozen=True, slots=True)
class AgreementWeight:
    """What a voter's agreement with the trusted ones is worth.

    Attributes:
        weight: for a log-linear pool, in [0, `CAP`].
        accuracy: its estimated accuracy, shared error taken off, in [0, 1].
        agreement: the mean probability that the reference gives to what the voter says, in
            [0, 1]; 0 without an utterance.
        n: on how many utterances this rests.
    """

    weight: float
    accuracy: float
    agreement: float
    n: int


def agreement_weight(
    shares: Floats,
    present: Mask,
    reference: Floats,
    *,
    members: Sequence[Floats] = (),
    ballots: float = 1.0,
) -> AgreementWeight:
    """Weigh a voter by its agreement with a belief whose reliability is known.

    Args:
        shares: the voter's distributions, shape (N, L).
        present: whether it voted, shape (N,); the other rows are passed over.
        reference: what the trusted voters believe together, shape (N, L), calibrated on held-out
            labels and not corrected for anything else (no prior taken off). The unknown voter
            must have no part in it.
        members: each trusted voter's own distributions, shape (N, L), where there are several;
            they betray a voter that copies one of them. Rows of 0 where a member is silent.
        ballots: how many bare labels the voter's vote on an utterance comes from, on average; 1
            for a voter that gives distributions. More of them sharpen the vote (`Votes.logs`)
            although they err together, so the weight falls by log(1 + L) / log(1 + n L).

    Raises:
        ValueError: if the shapes do not fit or `ballots` is below 1.
    """
    for name, belief in [("reference", reference), *(("a member", m) for m in members)]:
        if belief.shape != shares.shape:
            raise ValueError(f"{name} has shape {belief.shape}, expected {shares.shape}")
    if present.shape != shares.shape[:1]:
        raise ValueError(f"present has shape {present.shape}, expected {shares.shape[:1]}")
    if not ballots >= 1:
        raise ValueError(f"ballots is {ballots}, expected a number from 1 up")
    said, belief = shares[present], reference[present]
    n, labels = said.shape
    known = [belief, belief**2, *(member[present] for member in members)]
    estimates = [
        _covariance(said, part) / shared
        for part in known
        # Nothing can be learnt where the trusted voters hardly vary, or contradict each other.
        if n > 0 and (shared := _covariance(belief, part)) > 1e-6
    ]
    trust = min(1.0, n / ENOUGH_UTTERANCES) if estimates else 0.0
    skill = trust * _skill(estimates) + (1 - trust) * DEFAULT_SKILL
    weight = CAP * min(1.0, skill / ENOUGH)
    if n == 0:
        said = belief = np.full((1, labels), 1 / labels)
    base = belief.mean(axis=0)
    accuracy = skill * (1 - base @ base) + said.mean(axis=0) @ base
    return AgreementWeight(
        weight=weight * math.log1p(labels) / math.log1p(ballots * labels),
        accuracy=float(np.clip(accuracy, 0, 1)),
        agreement=float((said * belief).sum(axis=1).mean()) if n else 0.0,
        n=n,
    )


def _skill(estimates: Sequence[float]) -> float:
    """The chance that the voter knows the label, doubts taken off."""
    if not estimates:
        return 0.0
    low, high = min(estimates), max(estimates)
    unshared = (1 - SHARED) * (low - (high - low) - EXCESS * max(0.0, high - 1))
    return min(1.0, max(0.0, unshared))


def _covariance(one: Floats, other: Floats) -> float:
    """Covariance over the utterances, summed over the labels."""
    total: npt.NDArray[np.float64] = (one - one.mean(axis=0)) * (other - other.mean(axis=0))
    return float(total.sum(axis=1).mean())
