"""A run's votes and gold labels in columns, for what decides all of it anew.

A run may have millions of turns and ballots, so they are read one by one: a turn takes some two
hundred bytes, its id included, and a voter another sixteen for each label.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragemo.errors import RunFolderError
from ragemo.runs.records import RunUtterance
from ragemo.runs.run import Run
from ragemo.scoring.predictions import Predictions
from ragemo.types import Ballot, Turn
from ragemo.voting.decide import decided_labels
from ragemo.voting.panel import Panel
from ragemo.voting.transitions import Links, links_of
from ragemo.voting.votes import Integers, Votes, count_votes


@dataclass(frozen=True, eq=False)
class Columns:
    """What is known of N turns in corpus order; arrays have the shape (N,).

    Attributes:
        votes: of the voters that are heard; its utterances are the turns' ids.
        links: of the turns.
        gold: position of the gold label; -1 where it is unknown or nothing was predicted.
        part: the place of the panel that decided, see `Run.panels`; -1 without a verdict.
        dialogue_ids: of the dialogues, in corpus order.
        dialogue: each turn's place in them.
    """

    votes: Votes
    links: Links
    gold: Integers
    part: Integers
    dialogue_ids: Sequence[str]
    dialogue: Integers

    @property
    def scored(self) -> Integers:
        """The rows that have a verdict and a gold label."""
        return np.flatnonzero((self.gold >= 0) & (self.part >= 0))


def read_columns(
    run: Run, ballots: Iterable[Ballot], utterances: Iterable[RunUtterance] | None = None
) -> Columns:
    """The columns of a finished run.

    Args:
        run: finished; its files are read through and not kept.
        ballots: of those who are heard.
        utterances: whole dialogues; default: all of the run.

    Raises:
        RunFolderError: if the run is not finished or damaged.
    """
    names = {name: place for place, name in enumerate(run.labels.names)}
    ids: list[str] = []
    met: dict[str, int] = {}
    dialogue, gold = array("q"), array("q")

    def turns() -> Iterator[Turn]:
        for utterance in run.each_utterance() if utterances is None else utterances:
            ids.append(utterance.turn.utterance_id)
            dialogue.append(met.setdefault(utterance.turn.dialogue_id, len(met)))
            known = utterance.predicted and utterance.gold is not None
            gold.append(names[str(utterance.gold)] if known else -1)
            yield utterance.turn

    links = links_of(turns())
    rows = {name: row for row, name in enumerate(ids)}
    if len(rows) < len(ids):
        raise RunFolderError(f"{run.path}: an utterance is there twice; the run is damaged")
    part = np.full(len(ids), -1)
    for name, place in run.each_part():
        if (row := rows.get(name)) is not None:
            part[row] = place
    del rows
    return Columns(
        votes=count_votes(ballots, ids, len(names)),
        links=links,
        gold=np.array(gold, dtype=np.int64),
        part=part,
        dialogue_ids=list(met),
        dialogue=np.array(dialogue, dtype=np.int64),
    )


def decided_anew(
    run: Run, columns: Columns, own: Predictions, panels: Mapping[int, Panel], part: Integers
) -> Predictions:
    """A run's predictions with the labels that other panels decide.

    Args:
        run: whose columns they are.
        columns: with the votes that are heard.
        own: the run's predictions.
        panels: by part.
        part: the panel that decides each turn, shape (N,).

    Raises:
        RunFolderError: if verdicts are not on what was to be predicted.
    """
    rows = columns.scored
    if len(rows) != len(own):
        raise RunFolderError(
            f"{run.path}: {len(own)} of its verdicts are on utterances with a gold label, which "
            f"are {len(rows)}; the run is damaged"
        )
    return own.relabelled(decided_labels(columns.votes, columns.links, part, panels)[rows])
