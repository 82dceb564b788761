"""How much a voter from outside the index counts: what it is worth beside those who vote anyway.

A language model or another system is tried on labelled windows of the index, each asked with
its own dialogue held out. Its weight in the pool minimises the log loss there, given what the
index's own voters say of the same windows, held towards a small guess (see
`ragemo.voting.log_pool`). So a voter counts for what it adds: one that knows no more than the
index comes out near the guess or at 0, however confident it is, and a strong one leads.

A system that brings no answers on labelled windows is weighed by how it agrees with the others
(`ragemo.voting.agreement`).

In the pool "mean" the log loss is that of the mean (see `ragemo.voting.mean`).

The pool "dawid-skene" knows voters by their confusions, which are counted on the labelled
windows, and the majority asks nobody's worth: there, all weights are 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ragemo.voting import conformal
from ragemo.voting.agreement import agreement_weight
from ragemo.voting.bases import base_of
from ragemo.voting.dawid_skene import calibrated_confusions
from ragemo.voting.log_pool import evidence, fit_weights
from ragemo.voting.mean import fit_joining
from ragemo.voting.panel import UNTRIED_CORRECTION, Labelled, Panel, temperature
from ragemo.voting.transitions import Links
from ragemo.voting.votes import Integers, Votes

GUESS = 0.2
"""w0: the weight of a voter of whom little is known."""

SPREAD = 0.4
"""sigma: how far from the guess a weight may be before it costs half a nat."""

ENOUGH = 8
"""Labelled windows from which a voter is weighed by them."""


@dataclass(frozen=True)
class Weighed:
    """A voter from outside and how its weight came about.

    Attributes:
        voter: its name.
        weight: in the pool.
        by: "labelled windows", "agreement" or "nothing".
        windows: how many windows it rests on.
        accuracy: share of the labelled windows whose label was its first choice, or the estimate
            by agreement; None where there is neither.
    """

    voter: str
    weight: float
    by: str
    windows: int
    accuracy: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "voter": self.voter,
            "weight": self.weight,
            "by": self.by,
            "windows": self.windows,
            "accuracy": self.accuracy,
        }


def weigh(
    panel: Panel,
    known: Labelled,
    tried: Votes,
    votes: Votes,
    *,
    contentless: Votes | None = None,
    calibrate: bool = True,
    coverage: float = 0.9,
    correction: float | None = None,
) -> tuple[Panel, list[Weighed]]:
    """A panel with the voters from outside added.

    Args:
        panel: of the index's own voters; it may have none.
        known: their votes on labelled windows.
        tried: the outside voters' votes on the same windows, silent where they were not asked.
        votes: all voters' votes on the utterances to decide.
        contentless: the outside voters' votes on windows that say nothing, for their bases.
        calibrate: whether bases are taken off at all.
        coverage: of the label sets.
        correction: g where the panel has no voters of the index.
    """
    outside = [voter for voter in votes.voters if voter not in panel.weights]
    bases = dict(panel.bases)
    if calibrate:
        for voter in outside:
            bases[voter] = (
                base_of(voter, contentless, shrinkage=0)
                if contentless is not None and voter in contentless.voters
                else base_of(voter, tried, votes)
            )
    own = panel
    panel = replace(panel, bases=bases)
    if not own.weights and panel.pool == "log" and known.votes.utterances:
        g = UNTRIED_CORRECTION if correction is None else correction
        panel = replace(panel, correction=g)
    tried = tried.of(outside)
    labelled = tried.of(
        [
            voter
            for voter, present in zip(tried.voters, tried.present, strict=True)
            if (present & (known.gold >= 0)).sum() >= ENOUGH
        ]
    )
    if panel.pool == "majority":
        weighed = [Weighed(voter, 1.0, "nothing", 0, None) for voter in outside]
    else:
        panel, weighed = _by_labels(panel, known, labelled)
        others = [voter for voter in outside if voter not in labelled.voters]
        weighed += [_by_agreement(panel, votes, voter) for voter in others]
    panel = _with_weights(panel, weighed)
    if weighed and not any(weight > 0 for weight in panel.weights.values()):
        # Somebody has to decide, be it by little.
        weighed = [replace(one, weight=GUESS) for one in weighed]
        panel = _with_weights(panel, weighed)
    heard = [voter for voter in outside if panel.weights[voter] > 0]
    if heard:
        threshold = _new_threshold(panel, known, labelled.of(heard), heard, coverage)
        panel = replace(panel, threshold=threshold)
    return panel, sorted(weighed, key=lambda one: outside.index(one.voter))


def _with_weights(panel: Panel, weighed: Sequence[Weighed]) -> Panel:
    return replace(panel, weights={**panel.weights, **{one.voter: one.weight for one in weighed}})


def _tried_on(tried: Votes, known: Labelled) -> Integers:
    """The rows of the labelled windows that somebody was tried on."""
    return np.flatnonzero(tried.present.any(axis=0) & (known.gold >= 0))


def _by_labels(panel: Panel, known: Labelled, tried: Votes) -> tuple[Panel, list[Weighed]]:
    """The panel with the voters that were tried on enough labelled windows."""
    rows = _tried_on(tried, known)
    gold, own = known.gold[rows], tried.on(rows)
    if panel.pool == "dawid-skene":
        weights = np.ones(len(own.voters))
        counted = calibrated_confusions(own, gold)
        panel = replace(panel, confusions={**panel.confusions, **counted})
    else:
        others = known.votes.on(rows)
        beliefs = panel.pooled(others)
        even = np.ones(len(own.voters))
        if panel.pool == "mean":
            total = sum(panel.weights.get(voter, 0.0) for voter in others.voters)
            # Without the prior correction: it costs log loss, so a voter that undid it by naming
            # the frequent labels would seem to know something.
            plain = replace(panel, correction=0.0, decoder="none", temperature=1.0)
            sharpness = 1 / temperature(plain, known)
            weights = fit_joining(
                own, gold, total * beliefs, GUESS * even, SPREAD * even, sharpness=sharpness
            )
        else:
            spoken = beliefs.any(axis=1, keepdims=True)
            start = np.where(spoken, np.log(np.maximum(beliefs, 1e-12)), panel.log_prior)
            found = evidence(own, panel.bases)
            weights = fit_weights(found, gold, start, GUESS * even, SPREAD * even)
    # The share of each voter's ballots on a window whose first choice is the gold label.
    right = own.firsts[:, np.arange(len(gold)), gold] / np.maximum(own.counts, 1)
    weighed = [
        Weighed(
            voter,
            float(weights[row]),
            "labelled windows",
            int(own.present[row].sum()),
            round(float(right[row][own.present[row]].mean()), 4),
        )
        for row, voter in enumerate(own.voters)
    ]
    return _with_weights(panel, weighed), weighed


def _by_agreement(panel: Panel, votes: Votes, voter: str) -> Weighed:
    trusted = votes.of([name for name in votes.voters if panel.weights.get(name, 0) > 0])
    if not trusted.voters or panel.pool == "dawid-skene":
        return Weighed(voter, 1.0, "nothing", 0, None)
    beliefs = panel.pooled(trusted)
    own = votes.of([voter])
    compared = own.present[0] & beliefs.any(axis=1)
    found = agreement_weight(
        own.shares[0],
        compared,
        np.where(compared[:, None], beliefs, 1 / beliefs.shape[1]),
        members=[shares for shares in trusted.shares if len(trusted.voters) > 1],
        ballots=max(float(own.bare[0][compared].mean()) if compared.any() else 1.0, 1.0),
    )
    return Weighed(voter, round(found.weight, 4), "agreement", found.n, round(found.accuracy, 4))


def _new_threshold(
    panel: Panel, known: Labelled, tried: Votes, heard: Sequence[str], coverage: float
) -> float | None:
    """The label sets' threshold on the labelled windows where all who are heard voted.

    None where one of them was not tried, or there are too few such windows for the coverage: the
    threshold of the index alone says nothing of a verdict that others had a say in.
    """
    rows = np.flatnonzero(tried.present.all(axis=0) & (known.gold >= 0))
    if len(tried.voters) < len(heard) or not conformal.is_enough(len(rows), coverage):
        return None
    beliefs = panel.pooled(joined(known.votes.on(rows), tried.on(rows)))
    alone = np.full(len(rows), -1)
    shares, _ = panel.decided(beliefs, Links(alone, alone))
    return conformal.threshold(shares, known.gold[rows], coverage)


def joined(first: Votes, second: Votes) -> Votes:
    """The votes of two groups of voters on the same utterances."""
    if first.utterances != second.utterances:
        raise ValueError("votes on different utterances cannot be joined")
    return Votes(
        (*first.voters, *second.voters),
        first.utterances,
        np.concatenate([first.shares, second.shares]),
        np.concatenate([first.firsts, second.firsts]),
        np.concatenate([first.bare, second.bare]),
    )
