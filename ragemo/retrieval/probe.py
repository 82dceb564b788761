"""A linear probe on the window vectors: what a straight line through them knows of labels.

Regularised linear discriminant analysis. With m_l the mean vector of label l, S the pooled
within-label covariance of the D dimensions and lambda the shrinkage,

    S' = (1 - lambda) S + lambda (tr S / D) I
    s_l(x) = x' S'^-1 m_l - m_l' S'^-1 m_l / 2
    p(l | x)  proportional to  pi_l exp( T s_l(x) )

T is fitted on held-out windows: with so many dimensions the scores are too sure of themselves.

Source: Fisher (1936); Friedman, "Regularized discriminant analysis", J. Am. Stat. Assoc. (1989).
It is as accurate here as logistic regression and needs one solution of a linear system, so it
is fitted without any held-out fold in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ragemo.retrieval.neighbours import Floats, Integers
from ragemo.retrieval.scale import fit_scale, scaled

if TYPE_CHECKING:
    from ragemo.retrieval.embedder import Vectors
    from ragemo.retrieval.voters import Examples, Questions

SHRINKAGE = 0.5
"""lambda: half of the covariance is replaced by the same variance in every direction."""


@dataclass(frozen=True)
class Probe:
    """The fitted probe.

    Attributes:
        weights: S'^-1 m_l as columns, shape (D, L).
        offsets: shape (L,).
        scale: T, 0 or above.
        prior: pi, label shares of the index.
    """

    weights: Floats
    offsets: Floats
    scale: float
    prior: tuple[float, ...]

    @classmethod
    def fit(cls, examples: Examples) -> tuple[Probe, Floats]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        labels, count = examples.labels, len(examples.prior)
        everything = _Moments.of(examples.vectors, labels, count)
        scores = np.zeros((len(examples.held_out), count))
        for seen, asked in examples.folds:
            left_out = _Moments.of(examples.vectors[~seen], labels[~seen], count)
            weights, offsets = everything.without(left_out).discriminants()
            scores[asked] = examples.questions.vectors[asked] @ weights + offsets
        scale = fit_scale(scores, labels[examples.held_out], examples.prior)
        weights, offsets = everything.discriminants()
        probe = cls(weights, offsets, scale, examples.prior)
        return probe, scaled(scores, scale, examples.prior)

    def distributions(self, questions: Questions) -> Floats:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        scores = questions.vectors.astype(np.float64) @ self.weights + self.offsets
        return scaled(scores, self.scale, self.prior)

    def to_dict(self) -> dict[str, Any]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        return {"shrinkage": SHRINKAGE, "scale": self.scale, "prior": list(self.prior)}

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        return {"weights": self.weights, "offsets": self.offsets}

    @classmethod
    def from_parts(
        cls, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]
    ) -> Probe:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        weights, offsets, prior = arrays["weights"], arrays["offsets"], tuple(data["prior"])
        if weights.ndim != 2 or weights.shape[1:] != offsets.shape != (len(prior),):
            raise ValueError(f"the probe has weights of shape {weights.shape}")
        return cls(weights, offsets, float(data["scale"]), prior)


@dataclass(frozen=True)
class _Moments:
    """Sums over examples, from which those of a fold can be taken off.

    Attributes:
        squares: X'X, shape (D, D).
        sums: of each label's vectors, shape (L, D).
        sizes: how many examples each label has, shape (L,).
    """

    squares: Floats
    sums: Floats
    sizes: Floats

    @classmethod
    def of(cls, vectors: Vectors, labels: Integers, count: int) -> _Moments:
        one_hot = np.eye(count, dtype=np.float32)[labels]
        return cls(
            (vectors.T @ vectors).astype(np.float64),
            (one_hot.T @ vectors).astype(np.float64),
            one_hot.sum(axis=0).astype(np.float64),
        )

    def without(self, other: _Moments) -> _Moments:
        return _Moments(
            self.squares - other.squares, self.sums - other.sums, self.sizes - other.sizes
        )

    def discriminants(self) -> tuple[Floats, Floats]:
        """Weights (D, L) and offsets (L,)."""
        total, dimension = max(self.sizes.sum(), 1), self.sums.shape[1]
        means = self.sums / np.maximum(self.sizes, 1)[:, None]
        # A label that nobody showed is as likely anywhere.
        means[self.sizes == 0] = self.sums.sum(axis=0) / total
        covariance = self.squares / total - (means.T * (self.sizes / total)) @ means
        variance = max(float(np.trace(covariance)) / dimension, 1e-9)
        covariance *= 1 - SHRINKAGE
        covariance[np.diag_indices(dimension)] += SHRINKAGE * variance
        weights = np.linalg.solve(covariance, means.T)
        offsets = -0.5 * (means.T * weights).sum(axis=0)
        return weights.astype(np.float64), offsets.astype(np.float64)
