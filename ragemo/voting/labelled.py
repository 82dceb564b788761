"""What an index knows of its own voters: their votes on windows they had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from ragemo.retrieval.guards import GuardedRows
from ragemo.retrieval.index import Index
from ragemo.settings import VotingSettings
from ragemo.voting.panel import Labelled, Panel, fit_panel
from ragemo.voting.transitions import Links, Transitions, count_transitions, links_of
from ragemo.voting.votes import Integers, votes_of_arrays


def labelled_of(index: Index, voters: Sequence[str] | None = None) -> Labelled:
    """The held-out votes of an index's voters, and the transitions of its labels.

    Args:
        index: its held-out windows are whole dialogues, which are kept with their context turns.
        voters: those that count; None: all.

    The gold labels that are known here are those the index was given: of an index without some
    of its labels, those are unknown.
    """
    said = _said(index)
    place = np.flatnonzero(said.gold >= 0)
    shares = {}
    for name, votes in index.fitted.votes.items():
        if voters is None or name in voters:
            shares[name] = np.zeros((len(said.ids), len(index.labels)))
            shares[name][place] = votes
    return Labelled(
        votes=votes_of_arrays(shares, said.ids, len(index.labels)),
        gold=said.gold,
        links=said.links,
        transitions=said.transitions,
    )


@dataclass(frozen=True, eq=False)
class _Said:
    """What an index knows of its held-out dialogues, whatever its voters say of them.

    Attributes:
        ids: of their turns.
        gold, links, transitions: see `Labelled`.
    """

    ids: tuple[str, ...]
    gold: Integers
    links: Links
    transitions: Transitions


_SAID: WeakKeyDictionary[GuardedRows, tuple[Integers, _Said]] = WeakKeyDictionary()


def _said(index: Index) -> _Said:
    """What is kept: indexes of the same examples, as the cells of a sweep have, share it."""
    held_out = index.fitted.held_out
    kept = _SAID.get(index.searcher.guarded)
    if kept is not None and np.array_equal(kept[0], held_out):
        return kept[1]
    links = links_of(index.turns)
    dialogues = {index.turns[row].dialogue_id for row in held_out.tolist()}
    rows = np.array(
        [row for row, turn in enumerate(index.turns) if turn.dialogue_id in dialogues],
        dtype=np.int64,
    )
    turns = [index.turns[row] for row in rows]
    gold = np.full(len(rows), -1)
    gold[np.searchsorted(rows, held_out)] = index.label_positions[held_out]
    said = _Said(
        ids=tuple(turn.utterance_id for turn in turns),
        gold=gold,
        links=links_of(turns),
        transitions=count_transitions(links, index.label_positions, index.prior),
    )
    _SAID[index.searcher.guarded] = held_out, said
    return said


_LAST: WeakKeyDictionary[Index, tuple[VotingSettings, tuple[Labelled, Panel]]] = WeakKeyDictionary()


def index_panel(index: Index, how: VotingSettings) -> tuple[Labelled, Panel]:
    """What is known of an index's own voters that count, and the panel that they make alone.

    An index's last one is kept: blocks of a stream ask for the same again and again.
    """
    before, kept = _LAST.get(index, (None, None))
    if kept is None or before != how:
        kept = _index_panel(index, how)
        _LAST[index] = how, kept
    return kept


def _index_panel(index: Index, how: VotingSettings) -> tuple[Labelled, Panel]:
    known = labelled_of(index, how.voters)
    panel = fit_panel(
        known,
        index.prior,
        pool=how.pool,
        decoder=how.dialogue,
        correction=how.correction,
        coverage=how.coverage,
    )
    return known, panel
