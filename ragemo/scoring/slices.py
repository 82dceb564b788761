"""Where a system is right and where it is not: figures of parts of what is scored.

A slice is a way to part the utterances into groups (by length, by speaker, ...). The intervals
of its groups come from the same resampled dialogues as those of the whole
(`ragemo.scoring.bootstrap`): with C_dg the counts of dialogue d and group g,

    C_bg = sum_d w_bd C_dg,   theta_bg = metric(C_bg)

A sample in which a group does not occur says nothing of it and is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from ragemo.scoring.bootstrap import QUANTILES, require_samples, resampled_counts
from ragemo.scoring.metrics import Metric, accuracy, uar, weighted_f1
from ragemo.scoring.predictions import Floats, IntCounts, Predictions


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

    Raises:
        SettingsError: if `samples` cannot be.
    """
    require_samples(samples)
    found = {name: _groups(predictions, own, seed, samples) for name, own in slices.items()}
    return {name: groups for name, groups in found.items() if groups}


def _groups(
    predictions: Predictions, grouping: Grouping, seed: int, samples: int
) -> tuple[GroupScore, ...]:
    """Figures of the groups of one slice that have any."""
    inside = grouping.group >= 0
    if not inside.any():
        return ()
    kept = grouping.group[inside]
    names, group = np.unique(kept, return_inverse=True)
    dialogue = predictions.dialogue[inside]
    dialogues, size = len(predictions.dialogue_ids), len(predictions.labels)
    shape = (len(names), size, size + 1)
    cells = len(names) * size * (size + 1)
    gold, predicted = predictions.gold[inside], predictions.predicted[inside]
    cell = np.ravel_multi_index((group, gold, predicted), shape)
    counts = np.bincount(cell, minlength=cells).reshape(shape)
    # Most cells are empty: of groups by gold label all but one row.
    used, cell = np.unique(cell, return_inverse=True)
    resampled = resampled_counts(dialogue, cell, dialogues, len(used), seed=seed, samples=samples)
    occurs_in = np.bincount(np.unique(group * dialogues + dialogue) // dialogues).tolist()

    def score_of(place: int, name: int) -> GroupScore:
        own, within = used // counts[0].size == place, used % counts[0].size
        drawn = np.zeros((samples, counts[0].size))
        drawn[:, within[own]] = resampled[:, own]
        drawn = drawn.reshape(samples, *counts[0].shape)
        return _group_score(grouping.names[name], counts[place], occurs_in[place], drawn)

    return tuple(score_of(place, name) for place, name in enumerate(names.tolist()))


def _group_score(name: str, counts: IntCounts, dialogues: int, resampled: Floats) -> GroupScore:
    """Figures of one group.

    Args:
        name: its name.
        counts: its confusion counts, shape (L, L + 1).
        dialogues: how many it occurs in.
        resampled: the samples' counts, shape (B, L, L + 1).
    """
    one_label = np.count_nonzero(counts.sum(axis=1)) < 2
    resampled = resampled[resampled.any(axis=(1, 2))]
    figures: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float] | None] = {}
    for metric, of in SLICE_METRICS.items():
        silent = one_label and metric != "accuracy"
        figures[metric] = None if silent else float(of(counts))
        intervals[metric] = None
        if not silent and dialogues > 1 and len(resampled):
            low, high = np.quantile(of(resampled), QUANTILES)
            intervals[metric] = float(low), float(high)
    return GroupScore(
        group=name,
        n=int(counts.sum()),
        dialogues=dialogues,
        accuracy=float(figures["accuracy"] or 0.0),
        weighted_f1=figures["weighted_f1"],
        uar=figures["uar"],
        intervals=intervals,
    )
