"""Selective prediction: how much better the surest predictions are, and what abstaining gains.

With the n predictions sorted by confidence, the surest first, and h_k how many of the first k
are right,

    coverage_k = k / n        accuracy_k = h_k / k        risk_k = 1 - accuracy_k

is the risk-coverage curve (El-Yaniv and Wiener, On the foundations of noise-free selective
classification, 2010; Geifman and El-Yaniv, Selective classification for deep neural networks,
2017). The area under it and how far that is above the best order's, which puts all h_n right
predictions first, are (Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty estimation for
deep neural classifiers, 2019)

    AURC = (1/n) sum_k risk_k        E-AURC = AURC - (1/n) sum_k max(0, k - h_n) / k

Predictions of equal confidence could come in any order. h_k is then its mean over all these
orders: inside a run of equals it grows linearly. The order of the utterances leaves no trace,
and the same confidence for all gives a flat curve at the plain accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ragemo.scoring.predictions import Floats, Mask, Predictions

POINTS = 20
"""Points of the curve that are kept: coverages 0.05, 0.1, ... 1."""


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """A point of the risk-coverage curve.

    Attributes:
        coverage: the share of predictions kept, in (0, 1]; the surest ones.
        accuracy: the share of those that are right.
        threshold: the lowest confidence among them. Abstaining below it keeps at least this
            coverage: where confidences are equal, more.
    """

    coverage: float
    accuracy: float
    threshold: float


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """How well confidence tells right from wrong predictions.

    Attributes:
        n: the predictions it is computed on, those with a label and a distribution.
        curve: 20 points at coverages 0.05, 0.1, ... 1, as whole predictions rounded up; the
            last is the plain accuracy of the n.
        aurc: area under the risk-coverage curve in [0, 1]; lower is better.
        excess_aurc: its part that a perfect order of the same predictions would not have.
    """

    n: int
    curve: tuple[CoveragePoint, ...]
    aurc: float
    excess_aurc: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data; `from_dict` reads it back."""
        return {**asdict(self), "curve": [asdict(point) for point in self.curve]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RiskCoverage:
        """What `to_dict` gave."""
        return cls(**{**data, "curve": tuple(CoveragePoint(**point) for point in data["curve"])})


def risk_coverage(confidence: Floats, right: Mask) -> RiskCoverage:
    """The risk-coverage curve (equations in the module's docstring).

    Args:
        confidence: of each prediction, shape (N,), N at least 1; any scale.
        right: whether it is right, shape (N,).
    """
    values, groups = np.unique(-confidence, return_inverse=True)
    lasts = np.cumsum(np.bincount(groups))
    hits = np.cumsum(np.bincount(groups, weights=right))
    kept = np.arange(1, len(right) + 1)
    expected = np.interp(kept, np.append(0, lasts), np.append(0, hits))
    risks = (kept - expected) / kept
    best = np.maximum(0, kept - hits[-1]) / kept
    curve = []
    for point in range(1, POINTS + 1):
        k = -(-point * len(right) // POINTS)  # rounded up
        curve.append(
            CoveragePoint(
                coverage=point / POINTS,
                accuracy=float(expected[k - 1] / k),
                threshold=float(-values[np.searchsorted(lasts, k)]),
            )
        )
    return RiskCoverage(
        n=len(right),
        curve=tuple(curve),
        aurc=float(risks.mean()),
        excess_aurc=float((risks - best).mean()),
    )


def selective(predictions: Predictions) -> RiskCoverage | None:
    """Risk and coverage by the predicted label's probability.

    Predictions without a label or a distribution have no confidence and are left out.

    Returns:
        None if none is left.
    """
    sure = predictions.sure
    if not sure.any():
        return None
    return risk_coverage(predictions.confidence[sure], predictions.right[sure])
