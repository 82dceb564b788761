"""What the ballots on an utterance say beside the label, brought together for its verdict.

| detail | of which ballots | what becomes of it |
| --- | --- | --- |
| `labels` | all that carry a list | the labels of any, of more than half, or of all of them |
| `intensity`, `valence`, `arousal` | those for the label | the mean, to two digits |
| `cause` | those for the label | the turn named most often, the first among equals |
| `evidence` | those for the label | the first quote that was said |
| `transcript`, `translation`, `reasons` | those for the label | the first |

A ballot is for the label that is its first choice. The first is the first by voter and sample, so
the order in which ballots came leaves no trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ragemo.labels import LabelSet
from ragemo.types import Ballot
from ragemo.voting.votes import PRECISION

DETAILS = (
    "labels",
    "intensity",
    "valence",
    "arousal",
    "cause",
    "evidence",
    "transcript",
    "translation",
    "reasons",
)
"""What verdicts may have beside the label."""

DIGITS = 2
"""To which means are rounded."""


def bring_together(
    ballots: Sequence[Ballot], label: str | None, labels: LabelSet, several: str
) -> dict[str, Any]:
    """The details of a verdict (see the module's table).

    Args:
        ballots: on its utterance and for its verdict, in any order.
        label: the verdict's; without one it has no details.
        labels: the label set.
        several: "union", "majority" or "intersection": which labels of lists become the
            verdict's. Where none is left, its one label does.

    Returns:
        Plain data by the names in the table, in its order; without those that no ballot tells.
    """
    if label is None:
        return {}
    usable = sorted(
        (ballot for ballot in ballots if ballot.distribution is not None and ballot.details),
        key=lambda ballot: (ballot.voter, ballot.sample),
    )
    own = [ballot for ballot in usable if _first_choice(ballot, labels) == label]
    details: dict[str, Any] = {}
    if lists := _told(usable, "labels"):
        details["labels"] = _joined(lists, labels, several) or [label]
    for key in ("intensity", "valence", "arousal"):
        if numbers := _told(own, key):
            # Adding 0 turns -0.0 into 0.0.
            details[key] = round(sum(numbers) / len(numbers), DIGITS) + 0.0
    if causes := _told(own, "cause"):
        details["cause"] = Counter(causes).most_common(1)[0][0]
    if quotes := _told([ballot for ballot in own if ballot.details.get("found")], "evidence"):
        details["evidence"] = quotes[0]
    for key in ("transcript", "translation", "reasons"):
        if texts := _told(own, key):
            details[key] = texts[0]
    return details


def _told(ballots: Sequence[Ballot], key: str) -> list[Any]:
    """What the ballots say of a detail; those that say nothing of it are passed over."""
    return [ballot.details[key] for ballot in ballots if ballot.details.get(key) is not None]


def _first_choice(ballot: Ballot, labels: LabelSet) -> str:
    """The first of the set among equals, as votes are counted."""
    return labels.names[int(np.argmax(np.round(ballot.distribution or (), PRECISION)))]


def _joined(lists: Sequence[Sequence[str]], labels: LabelSet, several: str) -> list[str]:
    counts = Counter(name for names in lists for name in names)
    # How many of the lists have to hold a label.
    least = {"union": 1, "majority": len(lists) // 2 + 1, "intersection": len(lists)}[several]
    return [name for name in labels.names if counts[name] >= least]
