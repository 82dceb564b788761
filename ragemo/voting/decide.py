"""From a run's ballots to its verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ragemo.labels import LabelSet
from ragemo.types import Ballot, Demonstration, Verdict
from ragemo.voting.calibration import batch_calibrate
from ragemo.voting.majority import majority


def decide(
    targets: Sequence[str],
    ballots: Sequence[Ballot],
    demonstrations: Mapping[str, Sequence[Demonstration]],
    labels: LabelSet,
    *,
    calibration: str = "batch",
    prior: Sequence[float] | None = None,
) -> list[Verdict]:
    """Calibrate one voter's ballots and take the majority.

    Args:
        targets: utterance ids, in the order of the verdicts.
        ballots: the deciding voter's, in any order.
        demonstrations: per target; they break ties.
        labels: the label set.
        calibration: "batch" or "none".
        prior: label shares of the index; None without an index.
    """
    # In a fixed order, so that the order in which answers came in leaves no trace.
    ballots = sorted(ballots, key=lambda ballot: (ballot.utterance_id, ballot.sample))
    if calibration == "batch":
        ballots = batch_calibrate(ballots, prior)
    own: dict[str, list[Ballot]] = defaultdict(list)
    for ballot in ballots:
        own[ballot.utterance_id].append(ballot)
    return [
        majority(target, own[target], demonstrations.get(target, ()), labels) for target in targets
    ]
