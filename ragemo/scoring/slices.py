"""Where a system is right and where it is not: figures of parts of what is scored.

A slice is a way to part the utterances into groups (by length, by speaker, ...). The intervals
of its groups come from the same resampled dialogues as those of the whole
(`ragemo.scoring.bootstrap`): with C_dg the counts of dialogue d and group g,

    C_bg = sum_d w_bd C_dg,   theta_bg = metric(C_bg)

which is one matrix product for all groups of all slices. A sample in which a group does not
occur says nothing of it and is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from ragemo.scoring.bootstrap import QUANTILES, resampled_confusions
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import Metric, accuracy, uar, weighted_f1
from ragemo.scoring.predictions import Floats, IntCounts, Predictions

CELLS = 8_000_000
"""Counts that are held at a time: 64 MB."""


class Grouping(NamedTuple):
    """How a slice parts N predictions.

    Attributes:
        names: of the groups, in the order in which they are shown.
        group: each prediction's group, its place in `names`; -1 where it is in none; shape (N,).
    """

    names: tuple[str, ...]
    group: IntCounts


Slices = Mapping[str, Grouping]
"""Slice -> its groups, in the order in which they are shown."""

SLICE_METRICS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "weighted_f1": weighted_f1,
    "uar": uar,
}


@dataclass(frozen=True, slots=True)
class GroupScore:
    """Figures of one group of a slice.

    Attributes:
        group: its name.
        n: its scored utterances.
        dialogues: those it occurs in.
        accuracy: share labelled rightly.
        weighted_f1: mean F1 weighted by support; None where all have one gold label, since a
            group chosen by it has no false positives.
        uar: unweighted average recall over the gold labels that occur; None likewise, where it
            would be the accuracy.
        intervals: metric -> 95 % interval as (low, high); None for a metric that is None, for
            groups of a single dialogue, and for those that no bootstrap sample holds.
    """

    group: str
    n: int
    dialogues: int
    accuracy: float
    weighted_f1: float | None
    uar: float | None
    intervals: Mapping[str, tuple[float, float] | None]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data; `from_dict` reads it back."""
        bounds = {name: one and list(one) for name, one in self.intervals.items()}
        return {**asdict(self), "intervals": bounds}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GroupScore:
        """What `to_dict` gave."""
        bounds = {name: one and (one[0], one[1]) for name, one in data["intervals"].items()}
        return cls(**{**data, "intervals": bounds})


def score_slices(
    predictions: Predictions, slices: Slices, *, samples: int = 1000, seed: int = 0
) -> dict[str, tuple[GroupScore, ...]]:
    """Figures of every group of every slice.

    Args:
        predictions: what is scored.
        slices: slice -> the groups of the same N predictions; groups without any are passed over.
        samples: of the bootstrap, at least 1.
        seed: of the bootstrap; the same as for the whole, so that both see the same samples.

    Returns:
        Slice -> its groups; without slices of which nothing is scored.
    """
    parts = [
        (name, group, where)
        for name, grouping in slices.items()
        for place, group in enumerate(grouping.names)
        if (where := grouping.group == place).any()
    ]
    size = len(predictions.labels)
    # All at once where there is room, for each round draws the same dialogues again.
    at_once = max(1, CELLS // (len(predictions.dialogue_ids) * size * (size + 1)))
    found: dict[str, list[GroupScore]] = {}
    for start in range(0, len(parts), at_once):
        some = parts[start : start + at_once]
        confusions = np.stack([dialogue_confusions(predictions, where) for *_, where in some], 1)
        bounds = _bounds(confusions, seed, samples)
        for position, (name, group, _) in enumerate(some):
            score = _group_score(group, confusions[:, position], bounds[position])
            found.setdefault(name, []).append(score)
    return {name: tuple(groups) for name, groups in found.items()}


def _group_score(group: str, counts: IntCounts, bounds: Floats) -> GroupScore:
    """Figures of one group from its counts, shape (D, L, L + 1), and bounds, shape (M, 2)."""
    figures: dict[str, float | None] = {
        name: float(metric(counts.sum(axis=0))) for name, metric in SLICE_METRICS.items()
    }
    if np.count_nonzero(counts.sum(axis=(0, 2))) < 2:  # one gold label
        figures["weighted_f1"] = figures["uar"] = None
    dialogues = int(np.count_nonzero(counts.sum(axis=(1, 2))))
    return GroupScore(
        group=group,
        n=int(counts.sum()),
        dialogues=dialogues,
        accuracy=float(figures["accuracy"] or 0.0),
        weighted_f1=figures["weighted_f1"],
        uar=figures["uar"],
        intervals={
            name: None
            if figures[name] is None or dialogues < 2 or np.isnan(low)
            else (float(low), float(high))
            for name, (low, high) in zip(SLICE_METRICS, bounds, strict=True)
        },
    )


def _bounds(confusions: IntCounts, seed: int, samples: int) -> Floats:
    """Low and high of each group and metric, shape (G, M, 2); NaN where no sample has any."""
    resampled = resampled_confusions(confusions, seed, samples)
    missing = resampled.sum(axis=(-2, -1)) == 0
    bounds = np.full((confusions.shape[1], len(SLICE_METRICS), 2), np.nan)
    for place, metric in enumerate(SLICE_METRICS.values()):
        values = metric(resampled)
        for group in range(len(bounds)):
            own = values[~missing[:, group], group]
            if len(own):
                bounds[group, place] = np.quantile(own, QUANTILES)
    return bounds
