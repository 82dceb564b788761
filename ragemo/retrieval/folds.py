"""Which labelled windows a voter may learn from before it is asked about a window.

An index can be asked about its own dialogues, to validate on a training file. A neighbour of
the same dialogue is easily passed over; a voter that was fitted on that dialogue has to be
fitted anew without it. Dialogues (or sessions, or speakers) are dealt into folds, and a window
is asked of voters fitted on the other folds alone (k-fold cross-validation by group: Stone,
"Cross-validatory choice and assessment of statistical predictions", J. R. Stat. Soc. B, 1974).

A speaker talks in many dialogues, and in each with others. Leaving a speaker out therefore
leaves out two things, the fold of the speaker and the fold of the dialogue. So does leaving a
session out, where the dialogue's fold is as a rule that of its session: a query may name
another session than the index does, or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ragemo.retrieval.guards import Mask
from ragemo.types import Turn

COUNTS = {"dialogue": 5, "session": 5, "speaker": 4}
"""Folds of each kind; five sessions, as GenSEC has them, are then a fold each. Where speakers
are left out so are dialogues, which makes four times four."""

Cell = tuple[int, ...]
"""A fold of each kind that is left out; -1 for one that the index does not hold."""


class Folds:
    """The labelled windows of an index, dealt into folds.

    Args:
        turns: the examples' target turns.
        exclude: "dialogue", "session" or "speaker"; a turn without a session or speaker is left
            out with its dialogue.
    """

    def __init__(self, turns: Sequence[Turn], exclude: str = "dialogue") -> None:
        self._keys = _KEYS[exclude]
        units = [[key(turn) for turn in turns] for key in self._keys]
        self._folds = [_deal(some, COUNTS[exclude]) for some in units]
        if exclude == "session":
            sessions = self._folds[0]
            self._folds[1] = {
                dialogue: sessions[session] for session, dialogue in zip(*units, strict=True)
            }
        cells = [
            [folds[unit] for unit in some] for some, folds in zip(units, self._folds, strict=True)
        ]
        self._cells = np.array(cells, dtype=np.int64).reshape(len(self._keys), len(turns)).T

    def cell(self, turn: Turn, *, own_dialogue: bool = True) -> Cell:
        """The folds in which a turn's dialogue, session or speaker is.

        Args:
            turn: of the index, or asked about.
            own_dialogue: False for a turn of another corpus whose dialogue bears the id of one
                of the index's by chance.
        """
        return tuple(
            -1 if kind == "dialogue" and not own_dialogue else folds.get((kind, name), -1)
            for (kind, name), folds in zip(
                (key(turn) for key in self._keys), self._folds, strict=True
            )
        )

    def cells(self) -> list[Cell]:
        """The distinct cells of the examples, in rising order."""
        return sorted({tuple(row) for row in self._cells.tolist()})

    def inside(self, cell: Cell) -> Mask:
        """Which examples lie in exactly that cell."""
        mask: Mask = (self._cells == np.array(cell)).all(axis=1)
        return mask

    def seen(self, cell: Cell) -> Mask:
        """Which examples share no fold with a cell, so that a voter may learn from them."""
        mask: Mask = (self._cells != np.array(cell)).all(axis=1)
        return mask


Unit = tuple[str, str]


def _dialogue(turn: Turn) -> Unit:
    return ("dialogue", turn.dialogue_id)


def _session(turn: Turn) -> Unit:
    return ("session", turn.session) if turn.session else _dialogue(turn)


def _speaker(turn: Turn) -> Unit:
    return ("speaker", turn.speaker) if turn.speaker else _dialogue(turn)


_KEYS: dict[str, tuple[Callable[[Turn], Unit], ...]] = {
    "dialogue": (_dialogue,),
    "session": (_session, _dialogue),
    "speaker": (_speaker, _dialogue),
}


def _deal(units: Sequence[Unit], count: int) -> dict[Unit, int]:
    """Each unit's fold: the largest first, each to the fold that has the fewest examples."""
    sizes = Counter(units)
    filled: npt.NDArray[np.int64] = np.zeros(min(count, len(sizes)), dtype=np.int64)
    folds = {}
    for unit in sorted(sizes, key=lambda unit: (-sizes[unit], unit)):
        folds[unit] = int(filled.argmin())
        filled[folds[unit]] += sizes[unit]
    return folds
