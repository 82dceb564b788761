"""What an index says of its turns and labels without its vectors.

Indexes of the same turns and labels under other compositions share one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ragemo.retrieval.folds import Folds
from ragemo.retrieval.material import hashed, lines_of
from ragemo.types import Turn, Window

KEPT_WINDOWS = 65_536
"""Windows that have been cut and are kept: many queries are shown the same."""


class Cuts:
    """Windows to show, folds of the examples, and a hash of it all; each made when asked for."""

    def __init__(self, turns: tuple[Turn, ...], gold: Sequence[str | None]) -> None:
        self._turns = turns
        self._gold = gold
        self._windows: dict[tuple[int, int], Window] = {}
        self._folds: dict[str, Folds] = {}

    def window(self, row: int, context: int) -> Window:
        """The window of one utterance with at most `context` earlier turns."""
        key = row, context
        if key not in self._windows:
            if len(self._windows) >= KEPT_WINDOWS:
                self._windows.clear()
            self._windows[key] = self._cut(row, context)
        return self._windows[key]

    def _cut(self, row: int, context: int) -> Window:
        dialogue_id = self._turns[row].dialogue_id
        first = row
        while first > 0 and row - first < context:
            if self._turns[first - 1].dialogue_id != dialogue_id:
                break
            first -= 1
        return Window(self._turns[first : row + 1])

    def folds(self, exclude: str) -> Folds:
        """The examples, dealt into folds of whole dialogues, sessions or speakers."""
        if exclude not in self._folds:
            labelled = zip(self._turns, self._gold, strict=True)
            examples = [turn for turn, label in labelled if label is not None]
            self._folds[exclude] = Folds(examples, exclude)
        return self._folds[exclude]

    @cached_property
    def lines_hash(self) -> Any:
        """The hash of turns and labels, to be copied and gone on with."""
        return hashed(self._turns, self._gold)

    def write_lines(self, path: Path) -> None:
        """Write turns and labels, one a line; their hash is known then.

        Raises:
            OSError: if it cannot be written.
        """
        lines = lines_of(self._turns, self._gold)
        path.write_bytes(lines)
        self.lines_hash = hashlib.sha256(lines)

    def __getstate__(self) -> dict[str, Any]:
        # A hash that may be gone on with cannot be pickled.
        return {name: value for name, value in vars(self).items() if name != "lines_hash"}
