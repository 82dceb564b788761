"""Is one system better than another on the same utterances?

Both are resampled together: each bootstrap sample draws dialogues, and holds both systems'
predictions on them (the paired cluster bootstrap: Berg-Kirkpatrick, Burkett and Klein, "An
empirical investigation of statistical significance in NLP", EMNLP 2012, over dialogues as in
`ragemo.scoring.bootstrap`):

    delta_b = metric( sum_d w_bd A_d ) - metric( sum_d w_bd B_d )

What makes a dialogue hard for both cancels out, so the interval of the difference is narrower
than the two systems' own intervals suggest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ragemo.errors import DataError
from ragemo.scoring.bootstrap import QUANTILES, require_samples, resampled_confusions
from ragemo.scoring.confusion import dialogue_confusions
from ragemo.scoring.metrics import METRICS, Metric
from ragemo.scoring.predictions import IntCounts, Predictions


@dataclass(frozen=True, slots=True)
class Difference:
    """One system's metric minus another's, on the same utterances.

    Attributes:
        difference: in [-1, 1]; above 0 where the first is better.
        low, high: its 95 % interval; both None where there is one dialogue only.
    """

    difference: float
    low: float | None
    high: float | None


def paired_differences(
    one: Predictions,
    other: Predictions,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Each headline metric of `one` minus that of `other`.

    Raises:
        DataError: if they are not on the same utterances with the same gold labels.
    """
    first, second = one.by_id(), other.by_id()
    if first.ids != second.ids or not first.same_gold(second).all():
        raise DataError(
            "two systems can only be compared on the same utterances with the same gold labels"
        )
    return confusion_differences(
        dialogue_confusions(first),
        dialogue_confusions(second),
        METRICS,
        samples=samples,
        seed=seed,
    )


def confusion_differences(
    first: IntCounts,
    second: IntCounts,
    metrics: Mapping[str, Metric],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Each metric of the first system minus that of the second.

    Args:
        first, second: counts of each dialogue, shape (D, L, L + 1), of the same utterances.
        metrics: by name.
        samples: of the bootstrap, at least 1.
        seed: of the bootstrap.

    Raises:
        SettingsError: if `samples` is not 1 to 100,000.
    """
    require_samples(samples)
    resampled = len(first) > 1
    if resampled:
        # One seed, so that both see the same dialogues.
        drawn = tuple(resampled_confusions(c, seed, samples) for c in (first, second))
    found = {}
    for name, metric in metrics.items():
        difference = float(metric(first.sum(axis=0)) - metric(second.sum(axis=0)))
        low = high = None
        if resampled:
            bounds = np.quantile(metric(drawn[0]) - metric(drawn[1]), QUANTILES)
            low, high = float(bounds[0]), float(bounds[1])
        found[name] = Difference(difference, low, high)
    return found
