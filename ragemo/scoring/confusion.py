"""Confusion counts: every metric is computed from these alone.

A confusion matrix of L labels has L rows (gold) and L + 1 columns (predicted). The last column
is "no label": an invalid answer or none at all. It counts as wrong and is never left out.
"""

from __future__ import annotations

import numpy as np

from ragemo.scoring.predictions import IntCounts, Predictions


def dialogue_confusions(predictions: Predictions) -> IntCounts:
    """Confusion counts of each dialogue.

    Returns:
        Shape (D, L, L + 1): dialogue (by id), gold label, predicted label or "no label".
    """
    dialogues, size = len(predictions.dialogue_ids), len(predictions.labels)
    cells = size * (size + 1)
    places = predictions.dialogue * cells + predictions.gold * (size + 1) + predictions.predicted
    counts = np.bincount(places, minlength=dialogues * cells)
    return counts.astype(np.int64).reshape(dialogues, size, size + 1)
