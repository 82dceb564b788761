"""Label sets: how often they hold the gold label, and how much they narrow it down.

Coverage is what a set promises; its size is what the promise costs (Sadinle, Lei and Wasserman,
Least ambiguous set-valued classifiers with bounded error levels, 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

from ragemo.scoring.predictions import Predictions


@dataclass(frozen=True, slots=True)
class SetScore:
    """What label sets are worth.

    Attributes:
        n: the utterances that have one.
        coverage: the share of sets that hold the gold label.
        mean_size: how many labels a set holds on average.
    """

    n: int
    coverage: float
    mean_size: float


def score_sets(predictions: Predictions) -> SetScore | None:
    """Coverage and size of the label sets; utterances without one are left out.

    Returns:
        None if none has a set.
    """
    has = predictions.set_size >= 0
    if not has.any():
        return None
    return SetScore(
        n=int(has.sum()),
        coverage=float(predictions.set_holds[has].mean()),
        mean_size=float(predictions.set_size[has].mean()),
    )
