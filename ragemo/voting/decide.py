"""From ballots to verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from ragemo.labels import LabelSet
from ragemo.types import Ballot, Turn, Verdict
from ragemo.voting.conformal import label_sets
from ragemo.voting.details import bring_together
from ragemo.voting.panel import Panel
from ragemo.voting.transitions import Links, links_of
from ragemo.voting.votes import Floats, Integers, Mask, Votes, count_votes

DIGITS = 9
"""Shares are rounded to so many digits, so that the same votes give the same bytes anywhere."""

STRETCH = 50_000
"""Turns that are decided at a time where the labels alone are wanted."""


@dataclass(frozen=True)
class Decision:
    """The verdicts on a run's targets, and what led to them.

    Attributes:
        verdicts: in the targets' order.
        beliefs: what the pool believed before the dialogue's say, shape (targets, L).
    """

    verdicts: tuple[Verdict, ...]
    beliefs: Floats


def decide(
    turns: Sequence[Turn],
    targets: Sequence[str],
    ballots: Sequence[Ballot],
    labels: LabelSet,
    *,
    panels: Mapping[Any, Panel],
    part_of: Mapping[str, Any],
    abstain_below: float = 0.0,
    several: str = "majority",
) -> Decision:
    """Let each target's panel decide.

    Args:
        turns: all turns of the dialogues in corpus order; their order is what the dialogue's say
            rests on.
        targets: utterance ids, in the order of the verdicts.
        ballots: of all voters, in any order.
        labels: the label set.
        panels: by part of the index (see `ragemo.retrieval.retrieve`).
        part_of: target -> the part that may speak to it.
        abstain_below: a verdict of less confidence is marked as abstained.
        several: how answers of several labels are brought together, see
            `ragemo.voting.details`.

    Where targets of one dialogue belong to several parts (a speaker each), a turn hears nothing
    of turns of another part: their voters may have learned from what it must not see.
    """
    ids = [turn.utterance_id for turn in turns]
    row_of = {utterance: row for row, utterance in enumerate(ids)}
    votes = count_votes(ballots, ids, len(labels))
    rows_of = {
        part: np.array(
            [row_of[target] for target in targets if part_of.get(target) == part], dtype=np.int64
        )
        for part in panels
    }
    shares, chosen, beliefs, sets = _outcome(votes, links_of(turns), rows_of, panels)
    agreement = _agreement(votes, chosen)
    invalid, failed = _lost(ballots, row_of)
    telling: dict[str, list[Ballot]] = defaultdict(list)
    for ballot in ballots:
        if ballot.details:
            telling[ballot.utterance_id].append(ballot)
    verdicts = []
    said, winner, inside = shares.round(DIGITS).tolist(), chosen.tolist(), sets.tolist()
    for target in targets:
        row = row_of[target]
        decided = winner[row] >= 0
        distribution = tuple(said[row])
        confidence = distribution[winner[row]] if decided else 0.0
        label = labels.names[winner[row]] if decided else None
        verdicts.append(
            Verdict(
                utterance_id=target,
                label=label,
                distribution=distribution if decided else None,
                confidence=confidence,
                agreement=float(agreement[row]),
                invalid=int(invalid[row]),
                failed=int(failed[row]),
                label_set=tuple(compress(labels.names, inside[row])) if decided else (),
                abstained=confidence < abstain_below,
                details=bring_together(telling.get(target, ()), label, labels, several),
            )
        )
    return Decision(tuple(verdicts), beliefs[[row_of[target] for target in targets]])


def decided_labels(
    votes: Votes, links: Links, part: Integers, panels: Mapping[int, Panel]
) -> Integers:
    """The labels' positions that `decide` would find, shape (N,), and nothing else; -1: none.

    Dialogues are decided some at a time, so that a run of any length takes no more than its votes;
    Dawid and Skene's model, to which all utterances speak, is asked once.

    Args:
        votes: of all voters on N turns.
        links: of the turns.
        part: the panel that decides each turn; one that is not in `panels` decides none.
        panels: by part.
    """
    at_once = any(panel.pool == "dawid-skene" for panel in panels.values())
    chosen = np.full(len(part), -1)
    for rows in links.stretches(max(len(part), 1) if at_once else STRETCH):
        rows_of = {place: np.flatnonzero(part[rows] == place) for place in panels}
        chosen[rows] = _outcome(votes.on(rows), links.within(rows), rows_of, panels).chosen
    return chosen


class _Outcome(NamedTuple):
    """What panels make of votes on N turns: see `Panel.decided`; `sets` are the label sets."""

    shares: Floats
    chosen: Integers
    beliefs: Floats
    sets: Mask


def _outcome(
    votes: Votes, links: Links, rows_of: Mapping[Any, Integers], panels: Mapping[Any, Panel]
) -> _Outcome:
    """Each part's panel decides its rows."""
    size = votes.shares.shape[1:]
    shares, beliefs, sets = np.zeros(size), np.zeros(size), np.zeros(size, dtype=bool)
    chosen = np.full(size[0], -1)
    for part, panel in panels.items():
        rows = rows_of[part]
        own = np.zeros(size)
        own[rows] = panel.pooled(votes.on(rows))
        spoken, winners = panel.decided(own, links)
        shares[rows], chosen[rows], beliefs[rows] = spoken[rows], winners[rows], own[rows]
        if panel.threshold is not None:
            sets[rows] = label_sets(spoken[rows], panel.threshold)
            # Decoding whole dialogues may choose against the shares.
            sets[rows, winners[rows]] = True
    return _Outcome(shares, chosen, beliefs, sets)


def _agreement(votes: Votes, chosen: Integers) -> Floats:
    """Share of an utterance's usable ballots whose first choice was chosen, shape (N,)."""
    counts = votes.counts.sum(axis=0)
    rows = np.arange(len(chosen))
    hits = votes.firsts.sum(axis=0)[rows, chosen]
    agreement: Floats = np.where(chosen >= 0, hits / np.maximum(counts, 1), 0.0)
    return agreement


def _lost(ballots: Sequence[Ballot], row_of: Mapping[str, int]) -> tuple[Integers, Integers]:
    """How many ballots on each utterance are no label, and how many never came."""
    invalid = np.zeros(len(row_of), dtype=np.int64)
    failed = invalid.copy()
    for ballot in ballots:
        if (row := row_of.get(ballot.utterance_id)) is not None:
            invalid[row] += ballot.invalid
            failed[row] += ballot.failed
    return invalid, failed
