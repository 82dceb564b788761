"""Small worlds for the tests of the index's own voters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ragemo.retrieval.embedder import Vectors
from ragemo.retrieval.fitting import questions_of
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.neighbours import Floats, Integers
from ragemo.retrieval.vectors import Composition
from ragemo.retrieval.voters import Examples, Questions
from ragemo.types import Corpus, Turn
from tests.conftest import LABELS, FakeEmbedder, make_corpus, make_turn

DIMENSION = 128
"""So many that a probe can learn every unit of a planted world by heart."""

first = itemgetter(0)
dialogues = st.sampled_from("abcdefgh")
sessions = st.sampled_from(["s1", "s2", "s3", "s4", "s5", "s6", None, ""])
speakers = st.sampled_from(["Ann", "Bob", "Cid", "Dan", "Eve", ""])
texts = st.lists(st.sampled_from(["oh", "my", "God", "no", "way", "!"]), max_size=4).map(" ".join)
golds = st.sampled_from([*LABELS.names, None])


def build(corpus: Corpus, dimension: int = 8, **options: Any) -> Index:
    return Index.build(corpus, FakeEmbedder(dimension=dimension), transcript="asr", **options)


@st.composite
def turns(draw: st.DrawFn) -> list[Turn]:
    """Turns of a few dialogues, sessions and speakers, in any mixture; some unknown."""
    rows = draw(st.lists(st.tuples(dialogues, sessions, speakers, texts), min_size=1, max_size=25))
    return [
        make_turn(text, number, dialogue_id=dialogue, session=session, speaker=speaker)
        for number, (dialogue, session, speaker, text) in enumerate(sorted(rows, key=first))
    ]


def kin(one: Turn, other: Turn, exclude: str) -> bool:
    """Whether the label of one may not tell on the other, said once more and plainly."""
    if one.dialogue_id == other.dialogue_id:
        return True
    if exclude == "session":
        return bool(one.session) and one.session == other.session
    return exclude == "speaker" and bool(one.speaker) and one.speaker == other.speaker


def index_of(turns: Sequence[Turn], gold: Sequence[str | None]) -> Index:
    """An index of turns as they are, in the order of their dialogues."""
    embedder = FakeEmbedder()
    return Index(
        turns=turns,
        gold=gold,
        vectors=embedder.embed([turn.text for turn in turns]),
        labels=LABELS,
        composition=Composition(),
        embedder=embedder.identity,
        transcript="asr",
        corpus={},
    )


def planted(unit: str, count: int = 150, seed: int = 0) -> Corpus:
    """Each dialogue, session or speaker has a label drawn by lot and says but its own name.

    Whoever has seen a unit's label knows it for good; whoever has not can only guess.
    """
    labels = np.random.default_rng(seed).choice(LABELS.names, count)
    if unit == "dialogue":
        units = [(f"d{n}", None, "AB"[turn % 2], n) for n in range(count) for turn in range(4)]
    elif unit == "session":
        units = [
            (f"d{n}.{part}", f"s{n}", "AB"[turn % 2], n)
            for n in range(count)
            for part in range(2)
            for turn in range(2)
        ]
    else:  # each in three dialogues, with other speakers in each
        units = [
            (f"d{first}", None, f"p{n}", n)
            for first in range(count)
            for n in (first, (first + 7) % count, (first + 31) % count)
        ]
    return make_corpus(
        [
            {
                "dialogue": dialogue,
                "session": session,
                "speaker": speaker,
                "text": f"this is name{n}",
                "emotion": str(labels[n]),
            }
            for dialogue, session, speaker, n in units
        ]
    )


def accuracy(votes: Floats, gold: Integers) -> float:
    return float((votes.argmax(axis=1) == gold).mean())


LOUD = (100.0,)
"""In the place of `ragemo.retrieval.scale.SCALES`: voters that have learned nothing of use get a
scale near 0, for good reason, and that would hide what they have learned by heart."""


def by_heart(index: Index) -> dict[str, Floats]:
    """What the voters say of the index's own examples with nothing left out at all."""
    rows = index.examples
    strangers = [replace(index.turns[row], dialogue_id="none", speaker="") for row in rows]
    questions = questions_of(index, strangers, index.window_vectors[rows], Guard())
    return {name: voter.distributions(questions) for name, voter in index.voters.items()}


def examples_of(
    labels: Sequence[int],
    folds: Sequence[int],
    *,
    vectors: Vectors | None = None,
    texts: Sequence[str] | None = None,
    count: int = 3,
) -> Examples:
    """Examples that are all held out, each in its fold."""
    size = len(labels)
    vectors = np.zeros((size, 2), dtype=np.float32) if vectors is None else vectors
    turns = [
        make_turn("" if texts is None else texts[n], dialogue_id=f"d{folds[n]}", number=n)
        for n in range(size)
    ]
    cells = [np.array(folds) == fold for fold in sorted(set(folds))]
    cells = cells if len(cells) > 1 else []
    asked = np.arange(size if cells else 0)
    positions = np.array(labels, dtype=np.int64)
    return Examples(
        turns=turns,
        vectors=vectors,
        labels=positions,
        prior=tuple(((np.bincount(positions, minlength=count) + 1) / (size + count)).tolist()),
        held_out=asked,
        questions=ask([turns[n].text for n in asked], vectors[asked]),
        folds=[(~inside, inside) for inside in cells],
    )


def ask(texts: Sequence[str], vectors: Vectors | None = None) -> Questions:
    """Questions without neighbours."""
    nobody = np.zeros((len(texts), 0))
    vectors = np.zeros((len(texts), 2), dtype=np.float32) if vectors is None else vectors
    return Questions(
        [make_turn(text, dialogue_id="asked", number=n) for n, text in enumerate(texts)],
        vectors,
        nobody,
        nobody.astype(np.int64),
    )
