"""Who may not be a neighbour of whom.

A demonstration from the query's own dialogue would show the model what is said around (or
after) the query, with gold labels: that is leakage. It is therefore never allowed, whatever
the settings. Sessions, speakers and repeated texts can be shut out on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ragemo.corpus import words as corpus_words
from ragemo.errors import SettingsError
from ragemo.types import Turn

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

UNITS = ("dialogue", "session", "speaker")


def fold(text: str) -> str:
    """Words alone in lower case, to tell repeated texts whatever their dress: "he s"."""
    return corpus_words.fold(text, apostrophe=" ")


def words(text: str) -> list[str]:
    """The words of a text for search: "he's" is found by "he", too."""
    return corpus_words.words(text, apostrophe=" ")


@dataclass(frozen=True)
class Guard:
    """What is shut out beside the query's own dialogue.

    Attributes:
        exclude: the widest unit never shared with the query: "dialogue" (always), or also
            "session" or "speaker". A missing session or speaker matches nothing.
        duplicates: whether examples with the query's very words (case and punctuation folded)
            are shut out, too.
        near: from which similarity of words on examples are shut out, in (0, 1]; None: from
            none. It is 1 less the words to be put in or taken out to make one text of the
            other, as a share of the words of both.

    Raises:
        SettingsError: if `exclude` is not one of the three.
    """

    exclude: str = "dialogue"
    duplicates: bool = False
    near: float | None = None

    def __post_init__(self) -> None:
        if self.exclude not in UNITS:
            raise SettingsError(f"exclude {self.exclude!r}: expected one of {', '.join(UNITS)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for manifests."""
        return {"exclude": self.exclude, "duplicates": self.duplicates, "near": self.near}


class GuardedRows:
    """The examples of an index, ready to be checked against queries."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        self._columns: dict[str, _Column] = {}

    @cached_property
    def _texts(self) -> list[str]:
        return [fold(turn.text) for turn in self._turns]

    def _column(self, kind: str) -> _Column:
        """A property of the examples; it is looked at when a guard first asks for it."""
        if kind not in self._columns:
            values = {
                "dialogue": lambda: [turn.dialogue_id for turn in self._turns],
                "session": lambda: [turn.session or "" for turn in self._turns],
                "speaker": lambda: [turn.speaker for turn in self._turns],
                "text": lambda: self._texts,
            }
            self._columns[kind] = _Column(values[kind]())
        return self._columns[kind]

    def allowed(self, rows: Integers, query: Turn, guard: Guard) -> Mask:
        """Which of `rows`, shape (m,), may be shown to `query`."""
        mask: Mask = self.allowed_of_each(rows[None], [query], guard)[0]
        return mask

    def allowed_of_each(self, rows: Integers, queries: Sequence[Turn], guard: Guard) -> Mask:
        """Which rows may be shown to their query.

        Args:
            rows: those in question for each query, shape (n, m); -1 where there is none.
            queries: n of them.
            guard: what is shut out beside the query's own dialogue.

        Returns:
            Shape (n, m); False where there is no row.
        """
        return self.asked_by(queries, guard).allowed(rows, np.arange(len(queries)))

    def asked_by(self, queries: Sequence[Turn], guard: Guard) -> GuardedQueries:
        """Some queries, ready to be checked against the examples."""
        properties = [
            _Property(self._column(kind), self._column(kind).codes_of(own))
            for kind, own in _shut_out(queries, guard).items()
        ]
        return GuardedQueries(self, queries, guard, properties)

    def repeats(self, query: Turn, exclude: str) -> bool:
        """Whether an example that the query may see has its very words; without any it has not."""
        said = fold(query.text)
        if not said or said not in self._rows_of_text:
            return False
        return bool(self.allowed(self._rows_of_text[said], query, Guard(exclude)).any())

    @cached_property
    def _rows_of_text(self) -> dict[str, Integers]:
        """Folded text -> the rows that have it."""
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(self._texts):
            rows.setdefault(text, []).append(row)
        return {text: np.array(own, dtype=np.int64) for text, own in rows.items()}

    def alike(self, rows: Integers, query: Turn, threshold: float) -> Mask:
        """Which of `rows` have almost the query's words, see `Guard.near`."""
        from rapidfuzz.distance import Indel
        from rapidfuzz.process import cdist

        own = words(query.text)
        if not own or not len(rows):
            return np.zeros(len(rows), dtype=bool)
        others = [words(self._texts[row]) for row in rows.tolist()]
        alike: Mask = cdist([own], others, scorer=Indel.normalized_similarity)[0] >= threshold
        return alike


@dataclass(frozen=True)
class GuardedQueries:
    """Queries that can be checked against the examples of an index.

    Attributes:
        examples: of the index.
        turns: the queries' target turns.
        guard: what is shut out beside a query's own dialogue.
        properties: those that an example may not share with a query.
    """

    examples: GuardedRows
    turns: Sequence[Turn]
    guard: Guard
    properties: Sequence[_Property]

    def allowed(self, rows: Integers, queries: Integers) -> Mask:
        """Which rows may be shown to their query.

        Args:
            rows: those in question for each query, shape (n, m); -1 where there is none.
            queries: positions of n of the queries.

        Returns:
            Shape (n, m); False where there is no row.
        """
        mask: Mask = rows >= 0
        for one in self.properties:
            mask &= one.column.codes[rows] != one.codes[queries, None]
        if self.guard.near is not None:
            for place, query in enumerate(queries.tolist()):
                there = np.flatnonzero(mask[place])
                alike = self.examples.alike(rows[place, there], self.turns[query], self.guard.near)
                mask[place, there] = ~alike
        return mask

    @property
    def largest_share(self) -> float:
        """The share of the examples that is shut out of any one query, at most; in [0, 1]."""
        shares = sum((one.column.shares(one.codes) for one in self.properties), np.zeros(1))
        return min(1.0, float(shares.max(initial=0)))


@dataclass(frozen=True)
class _Property:
    """A property of the examples, and each query's own, as numbers."""

    column: _Column
    codes: npt.NDArray[np.int32]


class _Column:
    """One property of the examples as numbers, which compare faster than texts."""

    def __init__(self, values: Sequence[str]) -> None:
        self._code_of = {value: code for code, value in enumerate(dict.fromkeys(values))}
        self.codes = np.array([self._code_of[value] for value in values], dtype=np.int32)
        self._counts = np.bincount(self.codes, minlength=len(self._code_of))

    def codes_of(self, values: Sequence[str | None]) -> npt.NDArray[np.int32]:
        """The values' numbers; -1, which no example has, for other ones and for None."""
        return np.array(
            [-1 if value is None else self._code_of.get(value, -1) for value in values],
            dtype=np.int32,
        )

    def shares(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """The share of the examples with each value, given by its number."""
        # The last place is that of a value that no example has.
        counts = np.append(self._counts, 0)
        return counts[codes] / max(len(self.codes), 1)


def _shut_out(queries: Sequence[Turn], guard: Guard) -> dict[str, list[str | None]]:
    """Which property of an example may not have each query's value; None: it may have any."""
    found: dict[str, list[str | None]] = {"dialogue": [turn.dialogue_id for turn in queries]}
    if guard.exclude == "session":
        found["session"] = [turn.session or None for turn in queries]
    if guard.exclude == "speaker":
        found["speaker"] = [turn.speaker or None for turn in queries]
    if guard.duplicates:
        found["text"] = [fold(turn.text) for turn in queries]
    return found
