"""Which examples of an index count: not all corpora, speakers, lengths, and no twins."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ragemo.corpus.twins import twin_dialogues
from ragemo.errors import SettingsError
from ragemo.retrieval.guards import Mask, words
from ragemo.retrieval.index import Index
from ragemo.settings import OnlySettings
from ragemo.types import Turn


def shut_out(index: Index, only: OnlySettings) -> Mask:
    """The examples that do not count, shape (len(examples),).

    Raises:
        SettingsError: if a name occurs nowhere in the index, or no example is left.
    """
    turns = [index.turns[row] for row in index.examples]
    known = {
        "corpora": [turn.corpus for turn in turns],
        "speakers": [turn.speaker for turn in turns],
        "sessions": [turn.session or "" for turn in turns],
        "labels": [str(index.gold[row]) for row in index.examples],
    }
    kept: Mask = np.ones(len(turns), dtype=bool)
    for name, values in known.items():
        wanted = getattr(only, name)
        if wanted is not None:
            _check(name, wanted, values)
            kept &= np.array([value in wanted for value in values])
    if only.shortest or only.longest is not None:
        lengths = np.array([_length(turn) for turn in turns])
        kept &= lengths >= only.shortest
        kept &= lengths <= (np.inf if only.longest is None else only.longest)
    if not kept.any():
        raise SettingsError("retrieval.only leaves no example of the index; ask for less")
    return ~kept


def twins(index: Index, turns: Sequence[Turn], own: Collection[str]) -> Mask:
    """The examples of dialogues that are asked about under other ids, shape (len(examples),).

    Args:
        index: the labelled windows.
        turns: of the corpus that is asked about.
        own: ids of the dialogues that the index holds under the same id. Those that are asked
            about are nobody's twins, since each of them is left out for itself; but another
            corpus of the index may hold theirs.
    """
    asked = {turn.dialogue_id for turn in turns}.intersection(own)
    queries = [(turn.dialogue_id, turn.text) for turn in turns]
    known = [(turn.dialogue_id, turn.text) for turn in index.turns if turn.dialogue_id not in asked]
    found = {dialogue for some in twin_dialogues(known, queries).values() for dialogue in some}
    mask: Mask = np.array([index.turns[row].dialogue_id in found for row in index.examples])
    return mask


def _length(turn: Turn) -> int:
    return len(words(turn.text))


def _check(name: str, wanted: Collection[str], values: Collection[str]) -> None:
    there = sorted(set(values) - {""})
    if unknown := [value for value in wanted if value not in there]:
        listed = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
        raise SettingsError(
            f"retrieval.only.{name}: the index has no {unknown[0]!r}; it has {listed or 'none'}"
        )
