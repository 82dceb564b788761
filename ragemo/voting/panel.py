"""Who votes, how much each voter counts, and how their votes become one distribution.

    votes -> pool -> belief -> the dialogue's say -> prior correction, temperature -> distribution

With B(l) the belief after the dialogue's say, pi the label shares of the index, g the strength
of the prior correction and T a temperature, the verdict's distribution is

    P(l)  proportional to  ( B(l) / pi_l^g )^{1/T}

g is the middle of the values that nearly maximise weighted F1 on held-out windows. A belief that
minimises log loss names rare labels too seldom for that, and a full correction (g = 1) names
them far too often. T then minimises the log loss, so that a confidence of 0.7 is right in 70 of
100 cases (Guo et al., "On calibration of modern neural networks", ICML 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ragemo.voting import conformal
from ragemo.voting.dawid_skene import calibrated_confusions, dawid_skene
from ragemo.voting.dialogue import fit_strengths, forward_filter
from ragemo.voting.log_pool import evidence, fit_weights, log_pool
from ragemo.voting.majority import majority_pool
from ragemo.voting.mean import mean_pool
from ragemo.voting.transitions import Links, Transitions
from ragemo.voting.viterbi import viterbi
from ragemo.voting.votes import Floats, Integers, Mask, Votes, normalised

POOLS = ("log", "mean", "dawid-skene", "majority")
DECODERS = ("filter", "viterbi", "none")

CORRECTIONS = tuple(step / 20 for step in range(15))
"""Values of g that are tried."""

PLATEAU = 0.0025
"""Weighted F1 below the best by no more than this counts as equal to it."""

UNTRIED_CORRECTION = 0.5
"""g where there are too few held-out windows to choose it."""

ENOUGH = 200
"""Held-out windows from which g, T and the dialogue's say are fitted."""

TEMPERATURES = tuple(float(value) for value in np.geomspace(0.3, 3, 47).round(3))

EM_STEPS = 100
"""How often, at most, confusions are estimated anew where a voter's are unknown."""

WEIGHT_SPREAD = 0.5
"""How far the index's own voters may move from even weights before it costs half a nat."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """What is known of voters: their votes on labelled windows that they had not seen.

    Attributes:
        votes: on N windows, whole dialogues in corpus order; silent on context turns.
        gold: label positions, shape (N,); -1 for context turns.
        links: of the N turns.
        transitions: counted on the labels that may be used.
    """

    votes: Votes
    gold: Integers
    links: Links
    transitions: Transitions


@dataclass(frozen=True, eq=False)
class Panel:
    """A pool with everything it needs; `fit_panel` makes one.

    Attributes:
        pool: one of `POOLS`.
        weights: voter -> w, at least 0; a voter that is not here has no say.
        bases: voter -> what it says whatever it is asked, log b_v(l) for each label.
        prior: pi, label shares of the index (even ones without an index).
        decoder: one of `DECODERS`.
        transitions: what earlier turns say of later ones, or None.
        confusions: voter -> counts of (gold, vote), shape (L, L), for Dawid-Skene; learned from
            the votes themselves where somebody votes whose confusions are not here.
        correction: g.
        temperature: T.
        threshold: of the conformal label sets (see `ragemo.voting.conformal`), or None.

    Raises:
        ValueError: if something is out of its range, or not for as many labels as the prior.
    """

    pool: str
    weights: Mapping[str, float]
    prior: tuple[float, ...]
    bases: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    decoder: str = "none"
    transitions: Transitions | None = None
    confusions: Mapping[str, Floats] = field(default_factory=dict)
    correction: float = 0.0
    temperature: float = 1.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        labels = len(self.prior)
        weights = np.array(list(self.weights.values()), dtype=np.float64)
        right = {
            "pool": self.pool in POOLS,
            "weights": bool((weights >= 0).all() and np.isfinite(weights).all()),
            "prior": labels > 1 and min(self.prior) > 0 and abs(sum(self.prior) - 1) < 1e-6,
            "bases": all(
                len(base) == labels and np.isfinite(base).all() for base in self.bases.values()
            ),
            "decoder": self.decoder in DECODERS,
            "transitions": self.transitions is None or len(self.transitions.prior) == labels,
            "confusions": all(
                counts.shape == (labels, labels) and (counts > 0).all()
                for counts in self.confusions.values()
            ),
            "correction": 0 <= self.correction <= 1,
            "temperature": 0 < self.temperature < np.inf,
            "threshold": self.threshold is None or 0 <= self.threshold <= 1,
        }
        if wrong := [name for name, well in right.items() if not well]:
            raise ValueError(
                f"{', '.join(wrong)} of the panel: out of range, or not for {labels} labels"
            )

    @property
    def log_prior(self) -> Floats:
        """log pi."""
        logs: Floats = np.log(self.prior)
        return logs

    def pooled(self, votes: Votes) -> Floats:
        """Beliefs by the votes alone, shape (N, L); rows of 0 where nobody with a weight voted."""
        votes = votes.of([voter for voter in votes.voters if self.weights.get(voter, 0) > 0])
        silent: Mask = np.asarray(~votes.present.any(axis=0))
        weights = np.array([self.weights[voter] for voter in votes.voters])
        if self.pool == "log":
            beliefs = log_pool(evidence(votes, self.bases), weights, self.log_prior)
        elif self.pool == "mean":
            beliefs = mean_pool(votes, weights)
        elif self.pool == "majority":
            beliefs = majority_pool(votes)
        else:
            # Confusions that are known stay as they are: T and the sets' threshold were fitted with
            # them, and EM over the run would move them the further, the longer the run is.
            known = all(voter in self.confusions for voter in votes.voters)
            beliefs = dawid_skene(
                votes, self.prior, confusions=self.confusions, iterations=0 if known else EM_STEPS
            ).distributions
        return np.where(silent[:, None], 0.0, beliefs)

    def decided(
        self, beliefs: Floats, links: Links, heard: Floats | None = None
    ) -> tuple[Floats, Integers]:
        """The distributions P, shape (N, L), and the labels' positions, shape (N,); -1: none.

        Args:
            beliefs: from `pooled`, shape (N, L).
            links: of the N turns.
            heard: what `heard` gives of them, where it is there already.
        """
        heard = self.heard(beliefs, links) if heard is None else heard
        corrected = self._corrected(heard)
        shares = normalised(np.log(np.maximum(corrected, 1e-12)) / self.temperature)
        spoken = beliefs.any(axis=1, keepdims=True)
        return np.where(spoken, shares, 0.0), self._chosen(corrected, beliefs, links)

    def chosen(self, beliefs: Floats, links: Links, heard: Floats) -> Integers:
        """The labels' positions alone, see `decided`."""
        return self._chosen(self._corrected(heard), beliefs, links)

    def _corrected(self, heard: Floats) -> Floats:
        return normalised(np.log(np.maximum(heard, 1e-12)) - self.correction * self.log_prior)

    def _chosen(self, corrected: Floats, beliefs: Floats, links: Links) -> Integers:
        if self.decoder == "viterbi" and self.transitions is not None:
            # Uncorrected: a correction would compound along the dialogue.
            labels = viterbi(beliefs, links, self.transitions)
        else:
            labels = corrected.round(12).argmax(axis=1)
        return np.where(beliefs.any(axis=1), labels, -1)

    def heard(self, beliefs: Floats, links: Links) -> Floats:
        """The beliefs after the dialogue's say, whatever g and T are; shape (N, L)."""
        if self.decoder == "none" or self.transitions is None:
            return np.where(beliefs.any(axis=1, keepdims=True), beliefs, np.array(self.prior))
        return forward_filter(beliefs, links, self.transitions)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for people and for files."""
        return {
            "pool": self.pool,
            "weights": dict(self.weights),
            "bases": {voter: list(base) for voter, base in self.bases.items()},
            "prior": list(self.prior),
            "decoder": self.decoder,
            "transitions": self.transitions.to_dict() if self.transitions else None,
            "confusions": {
                voter: np.asarray(counts).tolist() for voter, counts in self.confusions.items()
            },
            "correction": self.correction,
            "temperature": self.temperature,
            "threshold": self.threshold,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Panel:
        """The panel from what `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: if it is not that.
        """
        transitions = data["transitions"]
        return cls(
            pool=data["pool"],
            weights={voter: float(weight) for voter, weight in data["weights"].items()},
            prior=tuple(float(share) for share in data["prior"]),
            bases={voter: tuple(map(float, base)) for voter, base in data["bases"].items()},
            decoder=data["decoder"],
            transitions=Transitions.from_dict(transitions) if transitions else None,
            confusions={
                voter: np.array(counts, dtype=np.float64)
                for voter, counts in data["confusions"].items()
            },
            correction=float(data["correction"]),
            temperature=float(data["temperature"]),
            threshold=None if data["threshold"] is None else float(data["threshold"]),
        )


def untried_panel(
    pool: str, voters: Sequence[str], labels: int, prior: Sequence[float] | None = None
) -> Panel:
    """The panel where nothing is known of anybody: every voter counts the same."""
    return Panel(
        pool=pool,
        weights=dict.fromkeys(voters, 1.0),
        prior=tuple(prior) if prior is not None else (1 / labels,) * labels,
    )


def fit_panel(
    known: Labelled,
    prior: Sequence[float],
    *,
    pool: str = "log",
    decoder: str = "filter",
    correction: float | None = None,
    coverage: float = 0.9,
    bases: Mapping[str, tuple[float, ...]] | None = None,
) -> Panel:
    """Weigh voters by their votes on labelled windows, and fit what comes after the pool.

    Args:
        known: votes on windows that the voters had not seen.
        prior: pi, label shares of the index.
        pool, decoder: see `Panel`.
        correction: g; None chooses it.
        coverage: of the conformal label sets.
        bases: of the voters; default: the prior, which the index's own voters start from.

    With fewer than `ENOUGH` windows g is `UNTRIED_CORRECTION`, T is 1 and the dialogue has no
    say; without any, the weights are even and a label set holds every label.
    """
    votes = known.votes
    base = tuple(float(value) for value in np.log(prior))
    panel = Panel(
        pool=pool,
        weights=dict.fromkeys(votes.voters, 1.0),
        prior=tuple(prior),
        bases=bases if bases is not None else dict.fromkeys(votes.voters, base),
    )
    if not votes.voters:
        return replace(panel, correction=0.0 if pool == "majority" else correction or 0.0)
    scored = known.gold >= 0
    gold = known.gold[scored]
    heard = votes.on(scored)
    if pool in ("log", "mean"):
        even = np.full(len(votes.voters), 1 / len(votes.voters))
        weights = fit_weights(
            evidence(heard, panel.bases),
            gold,
            panel.log_prior,
            even,
            np.full(len(even), WEIGHT_SPREAD),
        )
        panel = replace(panel, weights=dict(zip(votes.voters, weights.tolist(), strict=True)))
    elif pool == "dawid-skene":
        panel = replace(panel, confusions=calibrated_confusions(heard, gold))
    return finished(panel, known, decoder=decoder, correction=correction, coverage=coverage)


def finished(
    panel: Panel,
    known: Labelled,
    *,
    decoder: str,
    correction: float | None,
    coverage: float,
) -> Panel:
    """A weighed panel with the dialogue's say, g, T and the sets' threshold fitted."""
    scored = known.gold >= 0
    gold = known.gold[scored]
    beliefs = panel.pooled(known.votes)
    enough = len(gold) >= ENOUGH
    if panel.pool != "majority" and decoder != "none" and enough:
        transitions = fit_strengths(beliefs, known.links, known.gold, known.transitions)
        panel = replace(panel, decoder=decoder, transitions=transitions)
    heard = panel.heard(beliefs, known.links)
    if panel.pool != "majority":
        if correction is None and enough:
            found = {}
            for g in CORRECTIONS:
                chosen = replace(panel, correction=g).chosen(beliefs, known.links, heard)
                found[g] = _weighted_f1(gold, chosen[scored])
            # Weighted F1 is flat and ragged about its best: the middle of the plateau is safer
            # than its highest peak.
            plateau = [g for g in CORRECTIONS if found[g] >= max(found.values()) - PLATEAU]
            correction = plateau[len(plateau) // 2]
        panel = replace(panel, correction=UNTRIED_CORRECTION if correction is None else correction)
        if enough:
            panel = replace(panel, temperature=_temperature(panel, beliefs, known, heard))
    shares = panel.decided(beliefs, known.links, heard)[0][scored]
    return replace(panel, threshold=conformal.threshold(shares, gold, coverage))


def _weighted_f1(gold: Integers, chosen: Integers) -> float:
    """Mean F1 weighted by support, for every g in turn; -1 is no label's."""
    size = int(gold.max()) + 1
    support = np.bincount(gold, minlength=size)
    hits = np.bincount(gold[gold == chosen], minlength=size)
    named = np.bincount(chosen[(chosen >= 0) & (chosen < size)], minlength=size)
    return float((support * 2 * hits / np.maximum(support + named, 1)).sum() / len(gold))


def temperature(panel: Panel, known: Labelled) -> float:
    """The T that suits a panel's distributions on labelled windows; 1 with fewer than `ENOUGH`."""
    beliefs = panel.pooled(known.votes)
    scored = (known.gold >= 0) & beliefs.any(axis=1)
    if scored.sum() < ENOUGH:
        return 1.0
    return _temperature(panel, beliefs, known, panel.heard(beliefs, known.links))


def _temperature(panel: Panel, beliefs: Floats, known: Labelled, heard: Floats) -> float:
    """T by log loss."""
    scored = known.gold >= 0
    shares = panel.decided(beliefs, known.links, heard)[0][scored]
    logs = np.log(np.maximum(shares, 1e-12))
    rows = np.arange(len(logs))

    def loss(place: int) -> float:
        own = normalised(logs / TEMPERATURES[place])[rows, known.gold[scored]]
        return float(-np.log(np.maximum(own, 1e-12)).sum())

    # The loss is convex in 1/T: it falls up to the best one, and rises from there.
    first, last = 0, len(TEMPERATURES) - 1
    while first < last:
        middle = (first + last) // 2
        if loss(middle) <= loss(middle + 1):
            last = middle
        else:
            first = middle + 1
    return TEMPERATURES[first]
