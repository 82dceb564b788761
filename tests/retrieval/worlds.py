"""Small worlds for the tests of retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.stats import binom

from ragemo.retrieval.embedding.embedder import Embedder, Vectors
from ragemo.retrieval.guards import Guard
from ragemo.retrieval.index import Index
from ragemo.retrieval.pieces import cut, joined
from ragemo.retrieval.stores import Rows
from ragemo.retrieval.strategies import Queries
from ragemo.retrieval.vectors import Composition
from ragemo.retrieval.voters import Examples, Questions
from ragemo.retrieval.voters.fitting import questions_of
from ragemo.retrieval.voters.neighbours import Floats, Integers
from ragemo.types import Corpus, Turn
from tests.conftest import LABELS, FakeEmbedder, make_corpus, make_turn

DIMENSION = 128
"""So many that a probe can learn every unit of a planted world by heart."""

UNIT_FIELD = {"dialogue": "dialogue_id", "session": "session", "speaker": "speaker"}

first = itemgetter(0)
dialogues = st.sampled_from("abcdefgh")
sessions = st.sampled_from(["s1", "s2", "s3", "s4", "s5", "s6", None, ""])
speakers = st.sampled_from(["Ann", "Bob", "Cid", "Dan", "Eve", ""])
texts = st.lists(st.sampled_from(["oh", "my", "God", "no", "way", "!"]), max_size=4).map(" ".join)
golds = st.sampled_from([*LABELS.names, None])


CORPUS = make_corpus(
    [
        {
            "dialogue": f"d{n // 5}",
            "text": ""
            if n == 7
            else f"utterance {n} – ‘déjà vu’ {'so glad' if n % 3 == 1 else ''}",
            "emotion": "fru" if n == 3 else LABELS.names[n % 3],
            "needs_prediction": n % 10 != 4,
            "session": f"s{n // 10}",
            "speaker": "AB"[n % 2],
            "reference": "the-human-transcript",
        }
        for n in range(30)
    ]
)
"""26 examples in six dialogues and three sessions, context, and an utterance without words."""


def build(corpus: Corpus = CORPUS, embedder: Embedder | None = None, **options: Any) -> Index:
    return Index.build(corpus, embedder or FakeEmbedder(), transcript="asr", **options)


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


def index_of(
    turns: Sequence[Turn], gold: Sequence[str | None], embedder: Embedder | None = None
) -> Index:
    """An index of turns as they are, in the order of their dialogues."""
    embedder = embedder or FakeEmbedder()
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


UNITS_PLANTED = 100


def planted(unit: str, seed: int = 0) -> Corpus:
    """Each of 100 dialogues, sessions or speakers has a label drawn by lot and says its own name.

    Whoever has seen a unit's label knows it for good; whoever has not can only guess.
    """
    count = UNITS_PLANTED
    labels = np.random.default_rng(seed).choice(LABELS.names, count)
    if unit == "dialogue":
        units = [(f"d{n}", None, "AB"[turn % 2], n) for n in range(count) for turn in range(4)]
    elif unit == "session":
        units = [
            (f"d{n}.{turn // 3}", f"s{n}", "AB"[turn % 2], n)
            for n in range(count)
            for turn in range(6)
        ]
    else:  # each in six dialogues, with other speakers in each
        steps = (0, 7, 18, 31, 45, 60)
        speakers = [(d, (d + step) % count) for d in range(count) for step in steps]
        units = [(f"d{d}", None, f"p{n}", n) for d, n in speakers]
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


def guessing() -> tuple[float, float]:
    """The accuracy of somebody who guesses, 998 times of 1000, in a planted world.

    All windows of a unit may be right or wrong together: it is the units that count.
    """
    low, high = binom.ppf([0.001, 0.999], UNITS_PLANTED, 1 / len(LABELS)) / UNITS_PLANTED
    return float(low), float(high)


def accuracy(votes: Floats, gold: Integers) -> float:
    return float((votes.argmax(axis=1) == gold).mean())


LOUD = (100.0,)
"""In the place of `ragemo.retrieval.voters.scale.SCALES`: voters that have learned nothing of use
get a scale near 0, for good reason, and that would hide what they have learned by heart."""


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


# -- worlds of vectors, for strategies and searchers ---------------------------------------------


def at(*degrees: float) -> Vectors:
    """Unit vectors in the plane, shape (n, 2)."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def scattered(count: int, dimension: int, seed: int = 0) -> Vectors:
    """Unit vectors in all directions."""
    drawn = np.random.default_rng(seed).normal(size=(count, dimension))
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def vector_index(
    vectors: Vectors,
    gold: Sequence[str | None] | None = None,
    texts: Sequence[str] | None = None,
    **options: Any,
) -> Index:
    """An index of utterances of such vectors, each a dialogue of its own."""
    texts = texts or [f"text {n}" for n in range(len(vectors))]
    return Index(
        turns=[make_turn(text, dialogue_id=f"d{n}") for n, text in enumerate(texts)],
        gold=gold or ["neu"] * len(vectors),
        vectors=vectors,
        labels=LABELS,
        composition=Composition(weight=0),
        embedder={},
        transcript="asr",
        corpus={},
        **options,
    )


def queries_of(
    vectors: Vectors,
    beliefs: Sequence[float] = (0.4, 0.35, 0.25),
    text: str = "asked",
    guard: Guard | None = None,
) -> Queries:
    """Queries of other dialogues about all of which the same is believed."""
    return Queries(
        turns=[make_turn(text, dialogue_id=f"q{n}") for n in range(len(vectors))],
        vectors=np.hstack([vectors, np.zeros_like(vectors)]),
        beliefs=np.tile(beliefs, (len(vectors), 1)),
        guard=guard or Guard(),
    )


def make_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A tiny cross-encoder of random weights, as sentence-transformers loads one."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "oh", "my", "God", "no", "way", "!"]
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    BertForSequenceClassification(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
            num_labels=labels,
            initializer_range=1.0,  # so that scores differ
        )
    ).save_pretrained(folder)
    return folder


class PiecesHere:
    """Window vectors in pieces that lie in this process."""

    def __init__(self, vectors: Vectors, examples: Rows, count: int) -> None:
        self.pieces = cut(vectors, examples, count)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        return joined([piece.search(queries, k) for piece in self.pieces], k)

    def similarities(self, rows: Rows, queries: Vectors) -> Floats:
        found: Floats = np.maximum.reduce([p.similarities(rows, queries) for p in self.pieces])
        return found
