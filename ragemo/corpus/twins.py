"""Find conversations that two corpora share, under whatever id, by their words alone.

Corpora are made from each other's sources: MELD and EmoryNLP are both cut from the series
Friends, a file may hold another recogniser's hearing of the same recording, and a series repeats
old scenes. A gold label given to such a copy is a label of the very utterances to be predicted.

Two dialogues are compared by the runs of three words that both hold (their utterances run
together, so that it does not matter where they were cut). In scripts that put no blanks between
words, a run is five Han characters or nine letters of another, about as much. A run that stands in
many dialogues says nothing. The others weigh by how rare they are:

    weight of a run = ln((N + 1) / n)
        N: dialogues of the index
        n: those of them that hold the run, at most `RARE`

The dialogues are twins if the runs they share weigh at least `ENOUGH` together (three runs that
no other of a thousand dialogues holds), or if they are at least half of the shorter dialogue's
runs, and three. The second tells short dialogues and those of small indexes. Dialogues of the
very same words are twins, too, if those are a run at least and stand in no more than `RARE`
dialogues of the index.

Both numbers were chosen on MELD and EmoryNLP, whose files say which episode a dialogue is from,
and on recordings heard by several recognisers; docs/repository.md has the figures.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain

from ragemo.corpus.words import HAN, UNSPACED, words

Run = tuple[str, ...]
"""Words, or characters of a script without blanks."""

RUN = 45
"""How long a run is: three words of 15, five Han characters of 9, nine other characters of 5."""

_HAN, _UNSPACED = re.compile(f"[{HAN}]"), re.compile(f"[{UNSPACED}]")

RARE = 10
"""A run of words in more dialogues of the index than this says nothing."""

ENOUGH = 20.0
"""What the runs that twins share weigh together, at least."""

FEWEST = 3
"""Fewer shared runs are chance, however short the dialogue."""


def twin_dialogues(
    index: Iterable[tuple[str, str]], queries: Iterable[tuple[str, str]]
) -> dict[str, frozenset[str]]:
    """The dialogues of an index that are the same conversation as a query dialogue.

    Time and memory grow with the number of words: those of a dialogue are looked up in the
    dialogues that hold them, `RARE` at most.

    Args:
        index: (dialogue id, text) of each utterance, those of a dialogue in order.
        queries: the same of the dialogues asked about.

    Returns:
        Query dialogue id -> ids of index dialogues; dialogues without a twin are left out.
        A dialogue that is on both sides is its own twin. More are found than there are: a lost
        example costs less than a leaked label. Not found are dialogues that share next to
        nothing in words (a short one that a recogniser did not understand), and those that
        the index holds more than `RARE` times.
    """
    texts = _words_by_dialogue(queries)
    asked = {dialogue: dict.fromkeys(_runs(said)) for dialogue, said in texts.items()}
    wanted = set(chain.from_iterable(asked.values()))
    holders: dict[Run, list[str]] = defaultdict(list)
    copies: dict[Run, list[str]] = defaultdict(list)
    lengths: dict[str, int] = {}
    for dialogue, said in _words_by_dialogue(index).items():
        runs = dict.fromkeys(_runs(said))
        lengths[dialogue] = len(runs)
        copies[said].append(dialogue)
        for run in runs:
            if run in wanted:
                holders[run].append(dialogue)

    found = {}
    for query, runs in asked.items():
        weights: dict[str, float] = defaultdict(float)
        shared: Counter[str] = Counter()
        for run in runs:
            holding = holders.get(run, ())
            if len(holding) <= RARE:
                for dialogue in holding:
                    weights[dialogue] += math.log((len(lengths) + 1) / len(holding))
                    shared[dialogue] += 1
        twins = frozenset(
            dialogue
            for dialogue, count in shared.items()
            if count >= FEWEST
            and (weights[dialogue] >= ENOUGH or 2 * count >= min(len(runs), lengths[dialogue]))
        )
        same = copies.get(texts[query], [])
        if runs and len(same) <= RARE:
            twins = twins.union(same)
        if twins:
            found[query] = twins
    return found


def _words_by_dialogue(utterances: Iterable[tuple[str, str]]) -> dict[str, Run]:
    said: dict[str, list[str]] = defaultdict(list)
    for dialogue, text in utterances:
        said[dialogue] += words(text)
    return {dialogue: tuple(own) for dialogue, own in said.items()}


def _runs(said: Run) -> Iterator[Run]:
    """The runs of a dialogue in the order said, so that sums over them do not vary."""
    lengths = [_length(word) for word in said]
    end = length = 0
    for start, first in enumerate(lengths):
        while length < RUN and end < len(said):
            length += lengths[end]
            end += 1
        if length < RUN:
            return
        yield said[start:end]
        length -= first


def _length(word: str) -> int:
    if not _UNSPACED.match(word):
        return 15
    return 9 if _HAN.match(word) else 5
