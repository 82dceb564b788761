"""Metrics of a confusion matrix, or of a whole stack of them at once.

Counts have the shape (..., L, L + 1): gold label, predicted label, the last column being "no
label" (see `ragemo.scoring.confusion`). Leading axes, e.g. of bootstrap samples, are kept. With
C the counts, n their sum, n_k the sum of row k (the support of label k) and m_k the sum of
column k:

    recall_k    = C_kk / n_k
    precision_k = C_kk / m_k
    F1_k        = 2 precision_k recall_k / (precision_k + recall_k) = 2 C_kk / (n_k + m_k)

with 0 for 0/0 (van Rijsbergen, Information Retrieval, 1979). All are in [0, 1] and follow
scikit-learn's conventions, save that a prediction without a label is wrong for its gold label
and a false positive of none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ragemo.labels import LabelSet
from ragemo.scoring.predictions import Floats, IntCounts, Predictions

Counts = IntCounts | Floats

CALIBRATION_BINS = 15


class ClassMetrics(NamedTuple):
    """Metrics of each label; every array has the shape (..., L)."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Floats


def class_metrics(counts: Counts) -> ClassMetrics:
    """Precision, recall, F1 and support of each label (equations in the module's docstring)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support = counts.sum(axis=-1)
    predicted = counts[..., :-1].sum(axis=-2)
    return ClassMetrics(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + predicted),
        support=support.astype(np.float64),
    )


def accuracy(counts: Counts) -> Floats:
    """Share of utterances labelled rightly, sum_k C_kk / n.

    The speech field calls it weighted accuracy (WA): the mean recall weighted by support.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(hits.sum(axis=-1), counts.sum(axis=(-2, -1)))


def uar(counts: Counts) -> Floats:
    """Unweighted average recall: the mean of recall_k over the labels that occur in gold.

    Schuller, Steidl and Batliner, The INTERSPEECH 2009 Emotion Challenge, 2009; scikit-learn's
    `balanced_accuracy_score`.
    """
    metrics = class_metrics(counts)
    return _ratio(metrics.recall.sum(axis=-1), (metrics.support > 0).sum(axis=-1))


def weighted_f1(counts: Counts) -> Floats:
    """Mean F1 weighted by support, sum_k n_k F1_k / n; scikit-learn's `average="weighted"`."""
    metrics = class_metrics(counts)
    return _ratio((metrics.support * metrics.f1).sum(axis=-1), metrics.support.sum(axis=-1))


def macro_f1(counts: Counts) -> Floats:
    """Mean of F1_k over the labels that occur in gold or prediction; `average="macro"`.

    It is the average of the F1 scores, not the F1 of averages (Opitz and Burst, Macro F1 and
    Macro F1, arXiv 1911.03347, 2019).
    """
    metrics = class_metrics(counts)
    occurs = metrics.support + counts[..., :-1].sum(axis=-2) > 0
    return _ratio(metrics.f1.sum(axis=-1), occurs.sum(axis=-1))


def micro_f1(counts: Counts, left_out: int | None = None) -> Floats:
    """F1 of all labels' counts together, 2 sum_k C_kk / sum_k (n_k + m_k).

    scikit-learn's `average="micro"` with the set's labels as `labels`. It is the accuracy where
    every prediction has a label.

    Args:
        counts: see the module's docstring.
        left_out: the position of a label that k passes over; papers on EmoryNLP and DailyDialog
            leave out neutral (Li et al., DailyDialog, 2017).
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    sums = counts.sum(axis=-1) + counts[..., :-1].sum(axis=-2)
    if left_out is not None:
        hits, sums = (np.delete(values, left_out, axis=-1) for values in (hits, sums))
    return _ratio(2 * hits.sum(axis=-1), sums.sum(axis=-1))


Metric = Callable[[Counts], Floats]

METRICS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "uar": uar,
    "weighted_f1": weighted_f1,
    "macro_f1": macro_f1,
}
"""The headline metrics by the names they have in every file ragemo writes."""

WITHOUT_NEUTRAL = "micro_f1_without_neutral"


def metrics_of(labels: LabelSet) -> Mapping[str, Metric]:
    """The headline metrics, micro F1, and micro F1 without neutral where the set has it.

    The neutral label is the one that has "neutral" among its spellings.
    """
    found = {**METRICS, "micro_f1": micro_f1}
    neutral = labels.find("neutral")
    if neutral is not None:
        found[WITHOUT_NEUTRAL] = partial(micro_f1, left_out=labels.index(neutral))
    return found


def headline(counts: Counts, metrics: Mapping[str, Metric] = METRICS) -> dict[str, float]:
    """The headline metrics, or others; of a stack of matrices, their mean over the stack."""
    return {name: float(metric(counts).mean()) for name, metric in metrics.items()}


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the probabilities can be trusted; lower is better throughout.

    Attributes:
        n: the utterances it is computed on, those with a label and a distribution.
        log_loss: mean of -ln p_gold in nats, p clipped at the machine epsilon as
            scikit-learn does (Good, Rational Decisions, 1952).
        brier: mean of sum_k (p_k - [k = gold])^2, in [0, 2] (Brier, Verification of Forecasts
            Expressed in Terms of Probability, 1950).
        ece: expected calibration error in [0, 1], sum_b (n_b / n) |accuracy_b - confidence_b|
            over 15 equally wide bins (low, high] of the predicted label's probability (Naeini
            et al., 2015; Guo et al., On Calibration of Modern Neural Networks, 2017).
    """

    n: int
    log_loss: float
    brier: float
    ece: float


def calibration(predictions: Predictions) -> Calibration | None:
    """Calibration of the predictions that come with a label and a distribution; None if none do."""
    sure = predictions.sure
    if not sure.any():
        return None
    confidence, right = predictions.confidence[sure], predictions.right[sure]
    # n_b (accuracy_b - confidence_b) is the sum of (right - confidence) over the bin.
    gaps = np.bincount(calibration_bins(confidence), weights=right - confidence)
    epsilon = np.finfo(np.float64).eps
    probability = np.clip(predictions.gold_probability[sure], epsilon, 1 - epsilon)
    return Calibration(
        n=len(confidence),
        log_loss=float(-np.log(probability).mean()),
        brier=float(predictions.squared_error[sure].mean()),
        ece=float(np.abs(gaps).sum() / len(confidence)),
    )


def calibration_bins(confidence: Floats) -> IntCounts:
    """The bin of each confidence, from 0: `CALIBRATION_BINS` of one width, the upper end in it."""
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    return np.digitize(confidence, edges, right=True)


def _ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> Floats:
    ratio: Floats = np.zeros(above.shape)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio
