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
from functools import reduce
from itertools import compress
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ragemo.retrieval.voters.neighbours import Floats, Integers
from ragemo.retrieval.voters.numbers import read_number, read_prior, require_moderate
from ragemo.retrieval.voters.scale import fit_scale, scaled

if TYPE_CHECKING:
    from ragemo.retrieval.embedding.embedder import Vectors
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

    reads_vectors: ClassVar[bool] = True

    @classmethod
    def fit(cls, examples: Examples) -> tuple[Probe, Floats]:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        vectors, labels, count = examples.vectors, examples.labels, len(examples.prior)
        # A row for each fit: which examples it sees. The last one, the probe itself, sees all.
        seen = np.array([*(mask for mask, _ in examples.folds), np.ones(len(labels), dtype=bool)])
        # Examples that the same fits see are summed once.
        code = (1 << np.arange(len(seen))[::-1]) @ seen
        codes, first, group_of = np.unique(code, return_index=True, return_inverse=True)
        moments = [
            _Moments.of(vectors[group_of == group], labels[group_of == group], count)
            for group in range(len(codes))
        ]
        fits = [reduce(add, compress(moments, row)).discriminants() for row in seen[:, first]]
        scores = np.zeros((len(examples.held_out), count))
        for (_, asked), (weights, offsets) in zip(examples.folds, fits, strict=False):
            scores[asked] = _scores(examples.questions.vectors[asked], weights, offsets)
        scale = fit_scale(scores, labels[examples.held_out], examples.prior)
        probe = cls(*fits[-1], scale, examples.prior)
        return probe, scaled(scores, scale, examples.prior)

    def distributions(self, questions: Questions) -> Floats:
        """See `ragemo.retrieval.voters.IndexVoter`."""
        with np.errstate(invalid="ignore"):  # of infinity comes what is no number, silently
            scores = _scores(questions.vectors, self.weights, self.offsets)
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
        weights, offsets, prior = arrays["weights"], arrays["offsets"], read_prior(data)
        if weights.ndim != 2 or not weights.shape[1:] == offsets.shape == (len(prior),):
            raise ValueError(f"the probe has weights of shape {weights.shape}")
        require_moderate("the probe's weights", weights, offsets)
        return cls(weights, offsets, read_number(data, "scale", 0, 1e3), prior)


@dataclass(frozen=True)
class _Moments:
    """Sums over examples, which add up to those of more examples.

    In double precision: in single, another order of the examples or another machine would change
    votes in their seventh digit.

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
        exact, one_hot = vectors.astype(np.float64), np.eye(count)[labels]
        return cls(exact.T @ exact, one_hot.T @ exact, one_hot.sum(axis=0))

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(
            self.squares + other.squares, self.sums + other.sums, self.sizes + other.sizes
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


def _scores(vectors: Vectors, weights: Floats, offsets: Floats) -> Floats:
    scores: Floats = vectors.astype(np.float64) @ weights + offsets
    return scores
