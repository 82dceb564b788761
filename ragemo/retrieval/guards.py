"""Who may not be a neighbour of whom.

A demonstration from the query's own dialogue would show the model what is said around (or
after) the query, with gold labels: that is leakage. It is therefore never allowed, whatever
the settings. Sessions, speakers and repeated texts can be shut out on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ragemo.errors import SettingsError
from ragemo.types import Turn

Mask = npt.NDArray[np.bool_]

UNITS = ("dialogue", "session", "speaker")


def fold(text: str) -> str:
    """Lower case with letters and digits only, to tell repeated texts whatever their dress."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


@dataclass(frozen=True)
class Guard:
    """What is shut out beside the query's own dialogue.

    Attributes:
        exclude: the widest unit never shared with the query: "dialogue" (always), or also
            "session" or "speaker". A missing session or speaker matches nothing.
        duplicates: whether examples with the query's very words (case and punctuation folded)
            are shut out, too.

    Raises:
        SettingsError: if `exclude` is not one of the three.
    """

    exclude: str = "dialogue"
    duplicates: bool = False

    def __post_init__(self) -> None:
        if self.exclude not in UNITS:
            raise SettingsError(f"exclude {self.exclude!r}: expected one of {', '.join(UNITS)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for manifests."""
        return {"exclude": self.exclude, "duplicates": self.duplicates}


class GuardedRows:
    """The examples of an index, ready to be checked against queries."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._columns = {
            "dialogue": np.array([turn.dialogue_id for turn in turns], dtype=object),
            "session": np.array([turn.session or "" for turn in turns], dtype=object),
            "speaker": np.array([turn.speaker for turn in turns], dtype=object),
            "text": np.array([fold(turn.text) for turn in turns], dtype=object),
        }

    def allowed(self, rows: npt.NDArray[np.int64], query: Turn, guard: Guard) -> Mask:
        """Which of `rows` may be shown to `query`."""
        mask: Mask = self._columns["dialogue"][rows] != query.dialogue_id
        if guard.exclude == "session" and query.session:
            mask &= self._columns["session"][rows] != query.session
        if guard.exclude == "speaker" and query.speaker:
            mask &= self._columns["speaker"][rows] != query.speaker
        if guard.duplicates:
            mask &= self._columns["text"][rows] != fold(query.text)
        return mask
