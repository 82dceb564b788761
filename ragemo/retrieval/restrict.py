"""Which examples of an index count: not all corpora, speakers, lengths, and no twins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from weakref import WeakKeyDictionary

import numpy as np

from ragemo.corpus.twins import twin_dialogues
from ragemo.errors import SettingsError
from ragemo.retrieval.guards import GuardedRows, Mask, words
from ragemo.retrieval.index import Index
from ragemo.settings import OnlySettings
from ragemo.types import Turn

SAME_WORDS = 0.3
"""Mean share of common words from which two dialogues of one id count as the same dialogue."""

SAME_CORPUS = 0.12
"""The same over all dialogues with an id of the index's, from which each of them counts as the
same. A poor recogniser and a good one share .25 of the words of a corpus but next to nothing of
many a dialogue; different dialogues, .03 (MELD) to .06 (Topical-Chat)."""


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


@dataclass(frozen=True)
class Kinship:
    """Which dialogues of a corpus and of an index are the same conversations.

    Attributes:
        own: ids of the dialogues that the index holds under the same id.
        twins: ids of the dialogues of the index that the corpus holds under other ids.
    """

    own: frozenset[str]
    twins: frozenset[str]


def find_kinship(index: Index, turns: Sequence[Turn], *, same_corpus: bool = False) -> Kinship:
    """Compare all of a corpus with an index.

    Args:
        index: the labelled windows.
        turns: of the corpus that is asked about.
        same_corpus: whether it is the very file the index was built from, so that equal dialogue
            ids mean the same dialogue whatever the words.
    """
    asked = tuple(turns), same_corpus
    before, kinship = _FOUND.get(index.searcher.guarded, (None, None))
    if kinship is None or before != asked:
        kinship = survey_kinship(index.turns, lambda: iter([turns]), same_corpus=same_corpus)
        _FOUND[index.searcher.guarded] = asked, kinship
    return kinship


_FOUND: WeakKeyDictionary[GuardedRows, tuple[tuple[tuple[Turn, ...], bool], Kinship]] = (
    WeakKeyDictionary()
)
"""The last kinship of an index: a sweep asks about the same corpus for each of its cells."""


def survey_kinship(
    held: Sequence[Turn],
    blocks: Callable[[], Iterable[Sequence[Turn]]],
    *,
    same_corpus: bool = False,
) -> Kinship:
    """What `find_kinship` finds, of a corpus that comes in blocks of whole dialogues.

    What is kept in memory depends on the index and on one block. The corpus is read twice: its
    twins are sought among the dialogues that are not known by their ids.

    A dialogue of the index is the corpus's own if it has the same id and the same words (see
    `SameDialogues`): MELD numbers the dialogues of each split from 0. To take a foreign dialogue
    for the index's own costs some examples; to take an own one for foreign would leak its labels.

    Twins are told by their words (see `ragemo.corpus.twins`). Those of a later corpus of a joined
    index are also told by their id there, "NAME/id", if the words agree as they have to of one
    id: what is asked about may be a copy of that corpus. Own dialogues that are asked about are
    nobody's twins, since each of them is left out for itself; but another corpus of the index may
    hold theirs.

    Args:
        held: the index's turns.
        blocks: begins anew at each call: the corpus's turns.
        same_corpus: see `find_kinship`.
    """
    there = {turn.dialogue_id for turn in held}
    own_ids = SameDialogues({(turn.dialogue_id, turn.turn): turn.text for turn in held})
    asked: set[str] = set()  # of the index's own ids
    for turns in blocks():
        own_ids.compare(turns)
        asked.update(turn.dialogue_id for turn in turns if turn.dialogue_id in there)
    own = there if same_corpus else own_ids.found()

    known = [turn for turn in held if turn.dialogue_id not in asked & own]
    texts = [(turn.dialogue_id, turn.text) for turn in known]
    later = {
        prefix: SameDialogues(
            {
                (turn.dialogue_id.removeprefix(prefix), turn.turn): turn.text
                for turn in known
                if turn.dialogue_id.startswith(prefix)
            }
        )
        for prefix in dict.fromkeys(f"{turn.corpus}/" for turn in known)
    }
    found: set[str] = set()
    heard: set[str] = set()  # ids that a later corpus of the index has, too
    for turns in blocks():
        pairs = twin_dialogues(texts, [(turn.dialogue_id, turn.text) for turn in turns])
        found.update(dialogue for some in pairs.values() for dialogue in some)
        for prefix, same in later.items():
            same.compare(turns)
            ids = {turn.dialogue_id for turn in turns}
            heard.update(prefix + dialogue for dialogue in ids if prefix + dialogue in there)
    for prefix, same in later.items():
        found.update({prefix + dialogue for dialogue in same.found()} & heard)
    return Kinship(frozenset(own), frozenset(found))


class SameDialogues:
    """Finds the ids under which two corpora have the same dialogues, by the words of equal turns.

    Args:
        known: (dialogue id, turn) -> text of one corpus.
    """

    def __init__(self, known: Mapping[tuple[str, int], str]) -> None:
        self._known = known
        self._overlaps: dict[str, list[float]] = defaultdict(list)

    def compare(self, turns: Iterable[Turn]) -> None:
        """Look at some turns of the other corpus; in any order, each once."""
        for turn in turns:
            other = self._known.get((turn.dialogue_id, turn.turn))
            if other is not None and (ours := set(words(turn.text))):
                theirs = set(words(other))
                self._overlaps[turn.dialogue_id].append(len(ours & theirs) / len(ours | theirs))

    def found(self) -> set[str]:
        """Ids of single dialogues that agree by `SAME_WORDS`; all known ones if the corpora agree
        on the whole, by `SAME_CORPUS`.
        """
        overlaps = self._overlaps
        if overlaps and fmean(chain.from_iterable(overlaps.values())) >= SAME_CORPUS:
            return {dialogue for dialogue, _ in self._known}
        return {dialogue for dialogue, shares in overlaps.items() if fmean(shares) >= SAME_WORDS}


def _length(turn: Turn) -> int:
    return len(words(turn.text))


def _check(name: str, wanted: Collection[str], values: Collection[str]) -> None:
    there = sorted(set(values) - {""})
    if unknown := [value for value in wanted if value not in there]:
        listed = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
        raise SettingsError(
            f"retrieval.only.{name}: the index has no {unknown[0]!r}; it has {listed or 'none'}"
        )
