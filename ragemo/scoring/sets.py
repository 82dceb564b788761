"""Label sets: how often they hold the gold label, and how much they narrow it down.

Coverage is what a set promises; its size is what the promise costs (Sadinle, Lei and Wasserman,
Least ambiguous set-valued classifiers with bounded error levels, 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragemo.errors import DataError
from ragemo.labels import LabelSet
from ragemo.scoring.confusion import ScoredUtterance


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


def score_sets(utterances: Sequence[ScoredUtterance], labels: LabelSet) -> SetScore | None:
    """Coverage and size of the label sets; utterances without one are left out.

    Returns:
        None if none has a set.

    Raises:
        DataError: if a set names a label twice or one that is not in the label set.
    """
    kept = [(u, u.label_set) for u in utterances if u.label_set is not None]
    if not kept:
        return None
    for utterance, names in kept:
        if len(set(names)) < len(names) or not set(names) <= set(labels.names):
            raise DataError(
                f"{list(names)} is no set of labels of {labels.name!r}; "
                f"expected some of {', '.join(labels.names)}, each once",
                record=utterance.id,
                field="label_set",
            )
    return SetScore(
        n=len(kept),
        coverage=sum(u.gold in names for u, names in kept) / len(kept),
        mean_size=sum(len(names) for _, names in kept) / len(kept),
    )
