"""Label sets that hold the right label as often as stated: split conformal prediction.

With p_l the belief in label l, n calibration utterances whose gold labels g_i are known, and
the score s(x, l) = 1 - p_l(x),

    q       =  the k-th smallest of s(x_1, g_1) ... s(x_n, g_n),   k = ceil((n + 1) coverage)
    set(x)  =  { l : s(x, l) <= q }  and every label with the greatest share

so q is the ceil((n + 1) coverage) / n quantile, whose correction for the finite n is what makes

    P( gold label in set(x) )  >=  coverage

exact at any n (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Lei et
al., "Distribution-free predictive inference for regression", 2018; Angelopoulos and Bates,
"Conformal prediction: a gentle introduction", 2023). Where k > n, no threshold has the stated
coverage and the set holds every label: 0.9 asks for 9 utterances, 0.95 for 19. That the
predicted label is always in its set can only raise coverage.

What the guarantee rests on, and so what it is not:

- Calibration and new utterances must be exchangeable, their beliefs made in the same way by
  voters that saw neither's gold labels. Utterances of one dialogue are not independent: choose
  calibration utterances by whole dialogues, and take it that n counts for less than it says.
  Beliefs that were cross-fitted on the index come from slightly smaller indexes than the one
  that votes later.
- Another corpus than the calibration's (other speakers, recognisers, label shares) breaks it.
- It is an average over calibration sets and utterances; one calibration set of 200 gives
  0.90 +- 0.02. It does not hold label by label: rare labels are left out more often.

The score is LAC's (Sadinle, Lei and Wasserman, "Least ambiguous set-valued classifiers with
bounded error levels", 2019). On MELD's training dialogues, halved 20 times, with neighbours,
probe and word voter pooled, its sets are the smallest at every coverage: at 0.9, 3.1 of 7 labels on
average, with APS 3.2 (Romano, Sesia and Candès, "Classification with valid and adaptive
coverage", 2020; 3.6 without its randomness), with RAPS 3.2 to 3.4 (Angelopoulos et al.,
"Uncertainty sets for image classifiers using conformal prediction", 2021), and among sets of one
size or utterances of one confidence LAC's coverage is about as even as theirs. A threshold for
each label would even out the labels' coverage, at 1.0 to 1.2 more labels in a set.
"""

from __future__ import annotations

import math

import numpy as np

from ragemo.errors import SettingsError
from ragemo.voting.votes import PRECISION, Floats, Integers, Mask

EVERY_LABEL = 1.0
"""The threshold at which the set holds every label: no score is greater."""


def is_enough(count: int, coverage: float) -> bool:
    """Whether so many utterances have a threshold of this coverage below `EVERY_LABEL`."""
    return _rank(count, coverage) <= count


def _rank(count: int, coverage: float) -> int:
    # Rounded, or (99 + 1) * 0.55 would ask for the 56th.
    return math.ceil(round((count + 1) * coverage, PRECISION))


def threshold(distributions: Floats, gold: Integers, coverage: float) -> float:
    """The threshold q of the label sets, from utterances whose gold labels are known.

    Args:
        distributions: beliefs on N held-out utterances, shape (N, L); rows sum to 1.
        gold: their gold labels' positions, shape (N,).
        coverage: the share of sets that shall hold the gold label, between 0 and 1.

    Returns:
        q in [0, 1]; `EVERY_LABEL` where N is too small for the coverage.

    Raises:
        SettingsError: if the coverage is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise SettingsError(
            f"coverage is {coverage}: expected a share between 0 and 1, both excluded, such as 0.9"
        )
    count = len(gold)
    if not is_enough(count, coverage):
        return EVERY_LABEL
    place = _rank(count, coverage) - 1
    scores = _scores(distributions)[np.arange(count), gold]
    return float(np.partition(scores, place)[place])


def label_sets(distributions: Floats, threshold: float) -> Mask:
    """Which labels are in the set of each utterance.

    The label with the greatest share, which is the predicted one, is always in it (among
    equals all are), so no set is empty. Only a label that was chosen against the shares, by
    decoding the whole dialogue, may be missing.

    Args:
        distributions: beliefs on N utterances, shape (N, L); rows sum to 1.
        threshold: q from the function `threshold`.

    Returns:
        Shape (N, L).
    """
    scores = _scores(distributions)
    mask: Mask = (scores <= threshold) | (scores == scores.min(axis=1, keepdims=True))
    return mask


def _scores(distributions: Floats) -> Floats:
    """1 - p, rounded so that equal sums of other fractions are equal."""
    return np.round(1 - distributions, PRECISION)
