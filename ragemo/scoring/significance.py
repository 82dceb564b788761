"""Is the difference of two systems on the same utterances more than chance?

Three tests, none of which knows what is true of other corpora, seeds or prompts.

**McNemar's test** (Note on the sampling error of the difference between correlated proportions,
1947) looks at accuracy alone, and only at the b + c utterances on which one system is right and
the other wrong. If neither is better, b ~ Binomial(b + c, 1/2):

    exact, b + c < 25:   p = min(1, 2 P[X <= min(b, c)])
    otherwise:           chi2 = max(|b - c| - 1, 0)^2 / (b + c),   p = P[chi2_1 > chi2]

(with Edwards' correction for continuity, 1948). It takes utterances for independent, which
those of one dialogue are not: p comes out too small where dialogues hang together.

**Approximate randomisation** (Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989;
Yeh, More accurate tests for the statistical significance of result differences, COLING 2000)
works for any metric. If the systems are alike, it does not matter which of them said what: the
predictions of both are swapped in a random half of the dialogues, whole dialogues at a time,
and the difference is computed anew. With h of B samples at least as far from 0 as the difference
that was found,

    p = (h + 1) / (B + 1).

**Holm's correction** (A simple sequentially rejective multiple test procedure, 1979), for
several comparisons with one baseline: with p_(1) <= ... <= p_(m),

    adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragemo.scoring.bootstrap import require_samples
from ragemo.scoring.metrics import Metric
from ragemo.scoring.predictions import Floats, IntCounts

EXACT_BELOW = 25
"""Utterances on which the systems differ in being right, below which the exact test is used."""

_BLOCK = 1_000_000  # swaps held at once: 8 MB

TOLERANCE = 1e-12
"""A sample whose difference is the one found up to rounding counts as equal to it."""


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of a system against a baseline.

    Attributes:
        fixed: utterances that the baseline has wrong and the system right.
        broken: utterances that the baseline has right and the system wrong.
        p: two-sided.
        exact: whether it is the binomial test; otherwise the chi-squared one.
    """

    fixed: int
    broken: int
    p: float
    exact: bool


def mcnemar(fixed: int, broken: int) -> McNemar:
    """McNemar's test (equations in the module's docstring).

    Args:
        fixed: c, at least 0.
        broken: b, at least 0.
    """
    n, fewer = fixed + broken, min(fixed, broken)
    if n < EXACT_BELOW:
        tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
        return McNemar(fixed, broken, min(1.0, 2 * tail), exact=True)
    statistic = max(abs(fixed - broken) - 1, 0) ** 2 / n
    # The upper tail of chi-squared with one degree of freedom.
    return McNemar(fixed, broken, math.erfc(math.sqrt(statistic / 2)), exact=False)


def randomisation(
    one: IntCounts,
    other: IntCounts,
    metrics: Mapping[str, Metric],
    *,
    samples: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """Two-sided p of each metric by approximate randomisation over dialogues.

    Args:
        one, other: counts of each dialogue, shape (D, L, L + 1), the same dialogues in the same
            order, as `dialogue_confusions` gives them for the same utterances.
        metrics: by name.
        samples: B, at least 1; p is 1 / (B + 1) or more.
        seed: of the swaps.

    Raises:
        SettingsError: if `samples` is not 1 to 100,000.
    """
    require_samples(samples)
    first, second = one.sum(axis=0), other.sum(axis=0)
    found = {name: abs(float(metric(first) - metric(second))) for name, metric in metrics.items()}
    hits = dict.fromkeys(metrics, 0)
    for swapped in _swapped(one - other, samples, seed):
        # Swapping dialogue d takes A_d - B_d from one system and gives it to the other.
        left, right = first - swapped, second + swapped
        for name, metric in metrics.items():
            far = np.abs(metric(left) - metric(right)) >= found[name] - TOLERANCE
            hits[name] += int(np.count_nonzero(far))
    return {name: (count + 1) / (samples + 1) for name, count in hits.items()}


def _swapped(differences: IntCounts, samples: int, seed: int) -> Iterator[Floats]:
    """Sums of the differences over a random half of the dialogues, in blocks of samples."""
    dialogues = len(differences)
    flat = differences.reshape(dialogues, -1).astype(np.float64)
    generator = np.random.default_rng(seed)
    size = max(1, _BLOCK // dialogues)
    for start in range(0, samples, size):
        rows = min(size, samples - start)
        coins = generator.integers(2, size=(rows, dialogues), dtype=np.int8)
        yield (coins.astype(np.float64) @ flat).reshape(rows, *differences.shape[1:])


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for their number (equation in the module's docstring), in their order."""
    adjusted = [0.0] * len(values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = highest
    return adjusted
