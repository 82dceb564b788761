"""The slices by which a run is scored, see `ragemo.scoring.slices`.

A slice is what a case goes by, how what cases go by makes groups, and its line in `SLICES`. Cases
are looked at one by one, for a run may have millions.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from ragemo.corpus.words import words
from ragemo.runs.records import RunUtterance
from ragemo.scoring.predictions import IntCounts
from ragemo.scoring.slices import Grouping

SPEAKERS = 6
"""Speakers with a group of their own; all others share one."""

OTHERS = "all others"

LENGTHS = {"no words": 1, "1-3": 4, "4-8": 9, "9-15": 16, "16 or more": inf}
TURNS = {"first": 2, "2-5": 6, "6-10": 11, "later": inf}
DISAGREEMENTS = {"none": 1e-9, "below .25": 0.25, ".25 to .5": 0.5, ".5 or more": inf}
"""Bands: name -> where the next one begins."""


@dataclass(frozen=True, slots=True)
class Case:
    """A scored utterance and where it stands.

    Attributes:
        utterance: as the run keeps it; it has a gold label.
        place: its place in the dialogue, from 1; utterances that are context count.
        previous: the same speaker's last utterance in the dialogue, if there is one.
    """

    utterance: RunUtterance
    place: int
    previous: RunUtterance | None


@dataclass(frozen=True, slots=True)
class Slice:
    """How a slice parts the cases.

    Attributes:
        name_of: what a case goes by in it; None for one that is in no group.
        groups: from how often each name occurs, name -> its group, in the order in which groups
            are shown; several names may share one, and those that are not there are in none.
    """

    name_of: Callable[[Case], str | None]
    groups: Callable[[Counter[str]], Mapping[str, str]]


def _fixed(names: Iterable[str]) -> Callable[[Counter[str]], Mapping[str, str]]:
    """Always the same groups, whatever occurs."""
    known = {name: name for name in names}
    return lambda counts: known


def _banded(bands: Mapping[str, float], value_of: Callable[[Case], float | None]) -> Slice:
    """A group for each band; cases without a value are in none."""

    def name(case: Case) -> str | None:
        value = value_of(case)
        return value if value is None else next(n for n, end in bands.items() if value < end)

    return Slice(name, _fixed(bands))


def _most_frequent_first(counts: Counter[str]) -> Mapping[str, str]:
    return {name: name for name in _ranked(counts)}


def _ranked(counts: Counter[str]) -> list[str]:
    """The most frequent first; the order of the corpus decides nothing."""
    return sorted(counts, key=lambda name: (-counts[name], name))


def _speakers(counts: Counter[str]) -> Mapping[str, str]:
    """Those who speak most, and all others together."""
    ranked = _ranked(counts)
    most = ranked[:SPEAKERS]
    others = OTHERS
    while others in most:  # somebody is called that
        others += "'"
    return {name: name for name in most} | dict.fromkeys(ranked[SPEAKERS:], others)


def _duplicate(case: Case) -> str | None:
    """Whether the very words stand in the part of the index that could speak to it."""
    return {True: "in the index", False: "not in the index", None: None}[case.utterance.duplicate]


def _shift(case: Case) -> str:
    """Whether the gold label is that of the speaker's last turn, where that has one."""
    if case.previous is None or case.previous.gold is None:
        return "no last label"
    return "same label" if case.previous.gold == case.utterance.gold else "other label"


SLICES: Mapping[str, Slice] = {
    # The accuracy of one is the label's recall.
    "gold label": Slice(lambda case: case.utterance.gold, _most_frequent_first),
    "speaker": Slice(lambda case: case.utterance.turn.speaker or None, _speakers),
    "turn": _banded(TURNS, lambda case: case.place),
    # Characters, where scripts have no blanks.
    "length in words": _banded(LENGTHS, lambda case: len(words(case.utterance.turn.text))),
    "ASR disagreement": _banded(DISAGREEMENTS, lambda case: case.utterance.turn.disagreement),
    "duplicate": Slice(_duplicate, _fixed(["in the index", "not in the index"])),
    "shift": Slice(_shift, _fixed(["same label", "other label", "no last label"])),
}
"""All slices, in the order in which they are shown."""


def run_slices(utterances: Iterable[RunUtterance], scored: Iterable[str]) -> dict[str, Grouping]:
    """The groups of every slice.

    Args:
        utterances: all of a run, dialogue by dialogue, in order of turn.
        scored: ids of those that are scored, in the same order; each has a gold label.

    Returns:
        Slice -> its groups of what is scored, for `ragemo.scoring.score.score`.
    """
    met: dict[str, dict[str, int]] = {name: {} for name in SLICES}
    columns = {name: array("q") for name in SLICES}
    for case in _cases(utterances, scored):
        for name, part in SLICES.items():
            own = part.name_of(case)
            columns[name].append(-1 if own is None else met[name].setdefault(own, len(met[name])))
    return {
        name: _grouping(part, list(met[name]), np.array(columns[name], dtype=np.int64))
        for name, part in SLICES.items()
    }


def _grouping(part: Slice, names: Sequence[str], column: IntCounts) -> Grouping:
    """The groups of one slice, from each case's place among the names, -1 for none."""
    counts = np.bincount(column + 1, minlength=len(names) + 1)[1:]
    group_of = part.groups(Counter(dict(zip(names, counts.tolist(), strict=True))))
    shown = tuple(dict.fromkeys(group_of.values()))
    places = [shown.index(group_of[name]) if name in group_of else -1 for name in names]
    return Grouping(shown, np.array([*places, -1], dtype=np.int64)[column])


def _cases(utterances: Iterable[RunUtterance], scored: Iterable[str]) -> Iterator[Case]:
    due = iter(scored)
    wanted = next(due, None)
    dialogue: str | None = None
    place = 0
    last: dict[str, RunUtterance] = {}
    for utterance in utterances:
        turn = utterance.turn
        if turn.dialogue_id != dialogue:
            dialogue, place, last = turn.dialogue_id, 0, {}
        place += 1
        if turn.utterance_id == wanted:
            # Nobody is known to be the same speaker by an empty name.
            yield Case(utterance, place, last.get(turn.speaker))
            wanted = next(due, None)
        if turn.speaker:
            last[turn.speaker] = utterance
