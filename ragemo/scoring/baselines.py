"""What costs nothing: systems that do not read the utterance.

Both need only the gold supports n_k, so they are scored on exactly the run's utterances.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import numpy as np

from ragemo.labels import LabelSet
from ragemo.scoring.metrics import METRICS, Metric, headline
from ragemo.scoring.predictions import IntCounts

DRAWS = 1000


def most_frequent(counts: Mapping[str, int], labels: LabelSet) -> str:
    """The label counted most often; the first in label order among equals.

    Names that are no label of the set are passed over.
    """
    return max(labels.names, key=lambda name: counts.get(name, 0))


def constant_confusion(support: IntCounts, label: int) -> IntCounts:
    """Counts of always saying one label.

    Args:
        support: gold counts of each label, shape (L,).
        label: the label's position.

    Returns:
        Shape (L, L + 1).
    """
    counts = np.zeros((len(support), len(support) + 1), dtype=np.int64)
    counts[:, label] = support
    return counts


def random_headline(
    support: IntCounts, seed: int = 0, metrics: Mapping[str, Metric] = METRICS
) -> dict[str, float]:
    """Expected metrics of guessing every label with the same probability.

    The row of label k is Multinomial(n_k; 1/L, ..., 1/L). The expected F1 has no closed form,
    so metrics are averaged over 1,000 draws. Each draw is used in all L rotations of its
    guesses: every utterance is then right in exactly one of them, so the average accuracy and
    unweighted average recall are exactly 1/L.

    Args:
        support: gold counts of each label, shape (L,).
        seed: of the draws.
        metrics: by name.
    """
    size = len(support)
    generator = np.random.default_rng(seed)
    guesses = generator.multinomial(support, np.full(size, 1 / size), size=(DRAWS, size))
    rotations = [
        headline(np.pad(np.roll(guesses, shift, axis=-1), ((0, 0), (0, 0), (0, 1))), metrics)
        for shift in range(size)
    ]
    return {name: fmean(rotation[name] for rotation in rotations) for name in metrics}
