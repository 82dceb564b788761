"""A consensus text by word voting, after ROVER.

Fiscus (1997), "A post-processing system to yield reduced word error rates: Recognizer Output
Voting Error Reduction (ROVER)", aligns the words of all recognisers and takes the most frequent
word of each place. Here every text is aligned to one of them, the medoid, with the fewest word
edits, so that the order of the recognisers does not matter. Each word of the medoid is a slot,
and there is a gap before and after each. A text votes in a slot for the word that it has there,
and in a gap for the words that it has beyond the medoid's, one by one; where it has none, it
votes for no word. The most votes win. Recognisers give no confidence here, so all votes are
equal.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from ragemo.corpus.words import LETTER, fold

_HAS_LETTER = re.compile(LETTER)
_PIECE = re.compile(rf"{LETTER}[^\w\s]*(?:\s(?=\S))?|(?:(?!{LETTER})\S)+")
"""A word or letter as it is written: with its marks and the punctuation after it."""


class _Unit(NamedTuple):
    """What is voted on: a word, or a letter of a script without spaces."""

    key: str
    """Folded; empty for no word."""
    surface: str
    """As it is written, with its punctuation."""


_NOTHING = _Unit("", "")


def vote(texts: Sequence[str], medoid: str) -> str:
    """The text that the words of all texts vote for.

    Words are compared without case and punctuation. Where the medoid's word wins, it is written
    as there; another is written as most of its voters do, the first in alphabetical order among
    equals. Wherever several have the most votes, the medoid's wins. In scripts that do not put
    spaces between words, each letter is voted on.

    Args:
        texts: what the recognisers heard, none of them blank. Those without a letter or digit
            have no vote.
        medoid: the one of them that the others are aligned to.

    Returns:
        The words that won; the medoid, unchanged, if they are its own or there are none.
    """
    from rapidfuzz.distance import Levenshtein

    own = _units(medoid)
    keys = [unit.key for unit in own]
    slots: list[list[_Unit]] = [[] for _ in own]
    gaps: list[list[list[_Unit]]] = [[] for _ in range(len(own) + 1)]
    for units in filter(None, map(_units, texts)):
        beyond: list[list[_Unit]] = [[] for _ in gaps]
        for step in Levenshtein.opcodes(keys, [unit.key for unit in units]):
            there = units[step.dest_start : step.dest_end]
            if step.tag == "insert":
                beyond[step.src_start] = there
            else:
                places = slots[step.src_start : step.src_end]
                for slot, unit in zip(places, there or [_NOTHING] * len(places), strict=True):
                    slot.append(unit)
        for gap, run in zip(gaps, beyond, strict=True):
            gap.append(run)

    won: list[_Unit] = []
    for place, runs in enumerate(gaps):
        won += [_winner(votes, _NOTHING) for votes in zip_longest(*runs, fillvalue=_NOTHING)]
        won += [_winner(slots[place], unit) for unit in own[place : place + 1]]
    won = [unit for unit in won if unit.key]
    return medoid if won in ([], own) else _joined(won)


def _units(text: str) -> list[_Unit]:
    """A text's words or letters; what is neither, such as a dash, stays with the one before."""
    units: list[_Unit] = []
    opening = ""
    for piece in _PIECE.findall(text):
        key = fold(piece)
        if key:
            units.append(_Unit(key, opening + piece))
            opening = ""
        elif units:
            last = units.pop()
            units.append(_Unit(last.key, f"{last.surface.rstrip()} {piece}"))
        else:
            opening += f"{piece} "
    return units


def _winner(votes: Sequence[_Unit], own: _Unit) -> _Unit:
    counts = Counter(unit.key for unit in votes)
    most = max(counts.values())
    leaders = [key for key, count in counts.items() if count == most]
    if len(leaders) > 1 or leaders == [own.key]:
        return own
    surfaces = Counter(unit.surface for unit in votes if unit.key == leaders[0])
    return _Unit(leaders[0], min(surfaces, key=lambda surface: (-surfaces[surface], surface)))


def _joined(units: Sequence[_Unit]) -> str:
    text = ""
    tight = True
    for unit in units:
        unspaced = bool(_HAS_LETTER.search(unit.surface))
        text += unit.surface if tight or unspaced else f" {unit.surface}"
        tight = unspaced
    return text.strip()
