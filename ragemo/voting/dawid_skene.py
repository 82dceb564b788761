"""Who mistakes what for what: the voters' confusions and the labels, estimated together.

Dawid and Skene's model: utterance i has a true label z_i with prior probability p_i(l); voter v
calls an utterance of label l by the name m with probability T_v(l, m); given the label, voters err
independently. Neither labels nor confusions are known, so they are estimated in turn (EM):

    E:  q_i(l)    proportional to  p_i(l) prod_v P_vi(l)
    M:  T_v(l, m) proportional to  A_v(l, m) + expected number of times v called l by the name m

A_v are pseudo-counts: what is believed of the voter before a vote is seen (the mode of a
Dirichlet posterior). They may be counts from utterances whose labels are known.

A vote is rarely one bare label, so the name m is taken as something seen unclearly. With s_vi the
voter's mean distribution over its ballots on the utterance and b_v its base rates,

    P_vi(l) = sum_m  s_vi(m) / b_v(m)  T_v(l, m)

which is Dawid and Skene's own likelihood where all ballots name one label. All ballots of a voter
on an utterance are one observation: they come from one model and err together.

EM never lowers the objective  sum_i log sum_l p_i(l) prod_v P_vi(l)  +  sum A log T.

Sources: Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM
algorithm", Applied Statistics 28(1), 1979; the pseudo-counts: Paun et al., "Comparing Bayesian
models of annotation", TACL 6, 2018; unclear observations: Pearl, "Probabilistic reasoning in
intelligent systems", 1988, section 2.2.2 (virtual evidence).

Beware: voters that read the same words do not err independently. The distributions are then too
sure of themselves, and a single voter without known confusions, beside several that agree with
it, comes to be taken for the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ragemo.voting.votes import Floats, Integers, Votes

STRENGTH = 50.0
"""Pseudo-counts per true label of a voter of whom nothing is known."""

DIAGONAL = 0.4
"""Their share on the right label; the rest is spread evenly over all labels."""

BASE_STRENGTH = 20.0
"""Utterances' worth of the prior in a voter's base rates."""


@dataclass(frozen=True)
class DawidSkene:
    """What the voters said, put together.

    Attributes:
        distributions: of each utterance's label, shape (N, L), rows summing to 1.
        confusions: voter -> P(name it gives | true label), shape (L, L), rows summing to 1.
        objective: the log posterior (natural logarithm, up to a constant) at these distributions.
        iterations: how many times the confusions were estimated anew.
    """

    distributions: Floats
    confusions: dict[str, Floats]
    objective: float
    iterations: int


def default_confusion(labels: int) -> Floats:
    """Pseudo-counts of a voter of whom nothing is known, shape (labels, labels): right more
    often than wrong, all wrong names alike.
    """
    spread = (1 - DIAGONAL) / labels
    counts: Floats = STRENGTH * (DIAGONAL * np.eye(labels) + spread)
    return counts


def calibrated_confusions(votes: Votes, gold: Sequence[int] | Integers) -> dict[str, Floats]:
    """Pseudo-counts of each voter from utterances whose labels are known.

    Args:
        votes: on held-out utterances.
        gold: the position of each one's label, shape (N,); -1 where it is unknown.

    Each utterance a voter voted on counts once, shared out among its ballots' first choices; the
    pseudo-counts of an unknown voter are added, so no confusion is impossible.

    Raises:
        ValueError: if there are not as many gold labels as utterances, or one is no label.
    """
    labels = votes.shares.shape[2]
    right = _one_hot(gold, len(votes.utterances), labels)
    names = votes.firsts / np.maximum(votes.counts, 1)[:, :, None]
    return {
        voter: default_confusion(labels) + right.T @ called
        for voter, called in zip(votes.voters, names, strict=True)
    }


def dawid_skene(
    votes: Votes,
    prior: npt.ArrayLike,
    *,
    confusions: Mapping[str, Floats] | None = None,
    known: Sequence[int] | Integers | None = None,
    iterations: int = 100,
    tolerance: float = 1e-6,
) -> DawidSkene:
    """Estimate the labels and the voters' confusions together.

    Args:
        votes: of V voters on N utterances; a voter may be silent on any of them.
        prior: P(label) before any vote, shape (L,), or for each utterance, shape (N, L).
        confusions: voter -> pseudo-counts, shape (L, L), rows the true label, above 0; see
            `calibrated_confusions`. A voter that is not in it gets `default_confusion`.
        known: the position of each utterance's label, -1 where it is to be found.
        iterations: at most so many, 0 or more; 0 takes the pseudo-counts as they are.
        tolerance: stop when the objective rises by less than this per utterance.

    An utterance nobody voted on gets its prior. The order of voters and utterances leaves no
    trace in the result.

    Raises:
        ValueError: if shapes do not fit, a prior is not a distribution, pseudo-counts are not
            above 0, or a known label is none.
    """
    size, labels = votes.shares.shape[1:]
    priors = np.asarray(prior, dtype=np.float64)
    if priors.shape not in {(labels,), (size, labels)}:
        raise ValueError(f"prior has shape {priors.shape}, not ({labels},) or ({size}, {labels})")
    if (priors < 0).any() or not np.allclose(priors.sum(axis=-1), 1):
        raise ValueError("prior must be probabilities that sum to 1")
    # Sums are always taken in the order of the names: near a tie, the steps of EM would make a
    # difference in the last digit grow.
    by_voter = np.argsort(np.array(votes.voters, dtype=str), kind="stable")
    by_name = np.argsort(np.array(votes.utterances, dtype=str), kind="stable")
    voters = [votes.voters[row] for row in by_voter]
    priors = np.broadcast_to(priors, (size, labels))[by_name]
    fixed = _one_hot(np.full(size, -1) if known is None else known, size, labels)[by_name]
    pseudo = _pseudo_counts(voters, confusions or {}, labels)
    present = votes.present[by_voter][:, by_name]
    evidence = _evidence(votes.shares[by_voter][:, by_name], present, priors)

    # A known label is a prior that leaves no other; the floor keeps logarithms finite.
    start = np.log(np.maximum(np.where(fixed.any(axis=1, keepdims=True), fixed, priors), 1e-300))

    def expect(confusion: Floats) -> tuple[Floats, Floats, float]:
        """What each voter's vote says of each label, the labels, and the objective."""
        said = np.where(present[:, :, None], evidence @ confusion.transpose(0, 2, 1), 1.0)
        scores = start + np.log(said).sum(axis=0)
        total = np.logaddexp.reduce(scores, axis=1, keepdims=True)
        objective = total.sum() + (pseudo * np.log(confusion)).sum()
        return said, np.exp(scores - total), float(objective)

    confusion = pseudo / pseudo.sum(axis=2, keepdims=True)
    said, distributions, objective = expect(confusion)
    step, rise = 0, np.inf
    while step < iterations and rise > tolerance * size:
        # How often each voter gave each name while each label was the true one.
        parts = (distributions / said).transpose(0, 2, 1) @ evidence
        counts = pseudo + confusion * parts
        confusion = counts / counts.sum(axis=2, keepdims=True)
        before = objective
        said, distributions, objective = expect(confusion)
        step, rise = step + 1, objective - before
    restored = np.empty_like(distributions)
    restored[by_name] = distributions
    return DawidSkene(restored, dict(zip(voters, confusion, strict=True)), objective, step)


def _evidence(shares: Floats, present: npt.NDArray[np.bool_], priors: Floats) -> Floats:
    """What was seen of each name, shape (V, N, L): shares over the voter's base rates.

    Only ratios between the names matter. Few votes say little of a base rate, so it leans on the
    prior.
    """
    seen = present.sum(axis=1)[:, None]
    mean_prior = priors.mean(axis=0) if len(priors) else np.ones(shares.shape[2])
    base = (shares.sum(axis=1) + BASE_STRENGTH * mean_prior) / (seen + BASE_STRENGTH)
    evidence: Floats = shares / np.maximum(base, 1e-12)[:, None, :]
    return evidence


def _pseudo_counts(voters: Sequence[str], confusions: Mapping[str, Floats], labels: int) -> Floats:
    """The voters' pseudo-counts, shape (V, L, L)."""
    pseudo = np.empty((len(voters), labels, labels))
    for row, voter in enumerate(voters):
        counts = np.asarray(confusions.get(voter, default_confusion(labels)), dtype=np.float64)
        if counts.shape != (labels, labels) or not (counts > 0).all():
            raise ValueError(
                f"the confusions of {voter!r} must be {labels} x {labels} counts above 0"
            )
        pseudo[row] = counts
    return pseudo


def _one_hot(gold: Sequence[int] | Integers, size: int, labels: int) -> Floats:
    """Rows with a 1 at the gold label, rows of 0 for -1."""
    positions = np.asarray(gold, dtype=np.int64)
    if positions.shape != (size,):
        raise ValueError(f"expected {size} gold labels, found shape {positions.shape}")
    if ((positions < -1) | (positions >= labels)).any():
        raise ValueError(f"a gold label must be in 0..{labels - 1}, or -1 where it is unknown")
    one_hot: Floats = (positions[:, None] == np.arange(labels)).astype(np.float64)
    return one_hot
