"""Whether answers that are still to come could change an utterance's verdict.

What a vote is about is the pool's verdict, not the model's own majority. Once the models are
weighed, the verdict is settled when none of the answers that may still be asked for can change
it: for every label l, it stays the same if all of them say l. (Of bare labels no mixture could do
what none of these does, since a pool rises with a label's share; a model that scores labels could
in rare cases, and so could answers of which only some come, or are labels.) A model that counts for
little, or an utterance on which the others are sure, is then not asked again in vain.

The dialogue's say comes later and may still move a verdict that was settled here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ragemo.types import Ballot
from ragemo.voting.panel import Panel
from ragemo.voting.transitions import Links
from ragemo.voting.votes import count_votes


class Outlook:
    """The verdict on one utterance, as far as it is known.

    Args:
        panel: with the weight of every voter that is still asked.
        ballots: on this utterance, of voters that need not be asked.
        labels: how many labels there are.
    """

    def __init__(self, panel: Panel, ballots: Sequence[Ballot], labels: int) -> None:
        self._panel = panel
        self._ballots = list(ballots)
        self._labels = labels

    def is_open(self, heard: Sequence[Ballot], awaited: Sequence[Ballot]) -> bool:
        """Whether the label could still change.

        Args:
            heard: answers that came.
            awaited: a ballot for each answer that may still come; what they say is not read.
        """
        # Row 0 is how things stand; row l + 1 is how they would, did all that is awaited say l.
        rows = [str(row) for row in range(self._labels + 1)]
        there = [*self._ballots, *heard]
        ballots = [replace(ballot, utterance_id=row) for row in rows for ballot in there]
        for label, row in enumerate(rows[1:]):
            said = tuple(float(other == label) for other in range(self._labels))
            ballots += [replace(one, utterance_id=row, distribution=said) for one in awaited]
        beliefs = self._panel.pooled(count_votes(ballots, rows, self._labels))
        alone = np.full(len(rows), -1)
        labels = self._panel.decided(beliefs, Links(alone, alone))[1]
        return bool((labels != labels[0]).any())


def outlooks(
    panels: Mapping[str, Panel], ballots: Sequence[Ballot], models: Sequence[str], labels: int
) -> dict[str, Outlook]:
    """An outlook for each target whose panel knows what everybody who votes on it is worth.

    Args:
        panels: target -> its panel.
        ballots: of voters that count and need not be asked.
        models: names of the voters that are asked.
        labels: how many labels there are.
    """
    own: dict[str, list[Ballot]] = {target: [] for target in panels}
    for ballot in ballots:
        if ballot.purpose == "verdict" and ballot.utterance_id in own:
            own[ballot.utterance_id].append(ballot)
    return {
        target: Outlook(panel, own[target], labels)
        for target, panel in panels.items()
        if panel.pool != "dawid-skene"
        and all(voter in panel.weights for voter in [*models, *(b.voter for b in own[target])])
    }
