"""Confidence intervals by resampling whole dialogues.

The utterances of a dialogue share its topic, speakers and mood, so they are not independent;
resampling them one by one would make intervals too narrow. Dialogues are resampled instead,
with replacement (the cluster bootstrap: Field and Welsh, Bootstrapping clustered data, 2007):

    w_b ~ Multinomial(D; 1/D, ..., 1/D),   C_b = sum_d w_bd C_d,   theta_b = metric(C_b)
    interval = [2.5 % quantile, 97.5 % quantile] of theta_1 ... theta_B

which is Efron's percentile interval (Bootstrap methods: another look at the jackknife, 1979;
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13). As metrics need nothing
but counts, a sample is one row of a matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ragemo.errors import SettingsError
from ragemo.scoring.metrics import METRICS, Metric
from ragemo.scoring.predictions import Floats, IntCounts

QUANTILES = (0.025, 0.975)
MOST_SAMPLES = 100_000
"""An interval's ends then change by less than a hundredth of its width from seed to seed."""

_BLOCK = 1_000_000  # weights held at once: 8 MB


def resampled_confusions(confusions: IntCounts, seed: int = 0, samples: int = 1000) -> Floats:
    """Confusion counts of bootstrap samples, each of as many dialogues as there are.

    Args:
        confusions: counts of each dialogue, shape (D, L, L + 1) or (D, ..., L, L + 1).
        seed: the same seed gives the same samples.
        samples: B, how many.

    Returns:
        Shape (B, ..., L, L + 1): whole numbers, so the sums are exact on every machine.
    """
    dialogues = len(confusions)
    cells = confusions.reshape(dialogues, -1)
    used = cells.any(axis=0)  # most cells of small groups are empty everywhere
    flat = cells[:, used].astype(np.float64)
    resampled = np.zeros((samples, cells.shape[1]))
    resampled[:, used] = np.concatenate([w @ flat for w in _drawn(dialogues, seed, samples)])
    return resampled.reshape(samples, *confusions.shape[1:])


def resampled_counts(
    dialogue: IntCounts,
    cell: IntCounts,
    dialogues: int,
    cells: int,
    *,
    seed: int = 0,
    samples: int = 1000,
) -> Floats:
    """The same samples, of N utterances that are counted in whatever cells.

    Where these are many, as where groups are counted apart, a table of each dialogue's would be
    empty for the most part and take more memory than all that is counted.

    Args:
        dialogue: each utterance's dialogue, from 0, shape (N,).
        cell: where each is counted, from 0, shape (N,).
        dialogues: D, how many are drawn from; some may have none of the utterances.
        cells: how many there are.
        seed, samples: as `resampled_confusions`.

    Returns:
        Shape (samples, cells).
    """
    drawn = (weights for block in _drawn(dialogues, seed, samples) for weights in block)
    return np.stack([np.bincount(cell, weights[dialogue], cells) for weights in drawn])


def _drawn(dialogues: int, seed: int, samples: int) -> Iterator[Floats]:
    """How often each dialogue is drawn, in blocks of shape (samples of the block, D)."""
    generator = np.random.default_rng(seed)
    size = max(1, _BLOCK // dialogues)
    for start in range(0, samples, size):
        rows = min(size, samples - start)
        drawn = generator.integers(dialogues, size=(rows, dialogues))
        # Shifting each row into its own range lets one count serve the whole block.
        drawn += np.arange(rows)[:, None] * dialogues
        weights = np.bincount(drawn.ravel(), minlength=rows * dialogues)
        yield weights.reshape(rows, dialogues).astype(np.float64)


def require_samples(samples: int) -> None:
    """Refuse to resample less than once, and more often than any memory holds.

    Raises:
        SettingsError: if `samples` is not 1 to `MOST_SAMPLES`.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise SettingsError(
            f"{samples} bootstrap samples: expected 1 to {MOST_SAMPLES:,} (usual: 1000)"
        )


def intervals(
    confusions: IntCounts,
    seed: int = 0,
    samples: int = 1000,
    metrics: Mapping[str, Metric] = METRICS,
) -> dict[str, tuple[float, float] | None]:
    """95 % percentile intervals of metrics, as (low, high) in [0, 1].

    A single dialogue cannot be resampled: every interval is then None.

    Args:
        confusions: counts of each dialogue, shape (D, L, L + 1), D at least 1.
        seed: of the resampling.
        samples: B, at least 1.
        metrics: by name.

    Raises:
        SettingsError: if `samples` is not 1 to 100,000.
    """
    require_samples(samples)
    if len(confusions) < 2:
        return dict.fromkeys(metrics)
    resampled = resampled_confusions(confusions, seed, samples)
    bounds = {name: np.quantile(metric(resampled), QUANTILES) for name, metric in metrics.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}
