"""The same conversation is found under another id, by its words."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus import read_corpus
from ragemo.corpus.twins import RARE, twin_dialogues
from tests.corpus.test_corpora import corpus_file

WORDS = [a + b + c for a in "bdf" for b in "aeiou" for c in "lmnrstz"]


def invented(seed, dialogues, turns=8, length=7):
    """Random talk: (dialogue id, text) pairs; common words are said more often."""
    draw = np.random.default_rng(seed)
    shares = 1 / np.arange(1, len(WORDS) + 1)
    shares /= shares.sum()
    return [
        (f"{seed}_{dialogue}", " ".join(draw.choice(WORDS, length, p=shares)))
        for dialogue in range(dialogues)
        for _ in range(turns)
    ]


def renamed(pairs, name):
    return [(name, text) for _, text in pairs]


INDEX = invented(1, 60)
KITCHEN = [
    ("kitchen", "Who has eaten my marmalade again?"),
    ("kitchen", "Nobody touched your precious marmalade, Gregory."),
    ("kitchen", "Then why is the jar empty and the spoon sticky?"),
]


def test_a_copy_is_found_whatever_its_dress_and_cuts():
    copy = [
        ("x", "who has eaten my MARMALADE again nobody touched"),
        ("x", "your precious marmalade gregory then"),
        ("x", "why is the jar empty, and the spoon sticky..."),
    ]
    assert twin_dialogues([*INDEX, *KITCHEN], copy) == {"x": {"kitchen"}}


def test_a_bad_hearing_is_found():
    heard = [
        ("x", "who has eaten my marble aid again"),
        ("x", "nobody touched your precious marble aid gregory"),
        ("x", "then why is a jar empty and the spoons sticky"),
    ]
    assert twin_dialogues([*INDEX, *KITCHEN], heard) == {"x": {"kitchen"}}


def test_part_of_a_conversation_is_a_twin():
    assert twin_dialogues([*INDEX, *KITCHEN], renamed(KITCHEN[:1], "x")) == {"x": {"kitchen"}}


def test_in_a_small_index_half_of_the_words_tell():
    assert twin_dialogues(KITCHEN, renamed(KITCHEN, "x")) == {"x": {"kitchen"}}
    assert twin_dialogues(KITCHEN, [("x", "Nobody touched your car, and who has time?")]) == {}


def test_what_everybody_says_is_no_sign():
    phrase = "what on earth are you doing here"
    index = INDEX + [(f"{n}", phrase) for n in range(RARE + 1)] + KITCHEN
    assert twin_dialogues(index, [("x", phrase)]) == {}
    assert twin_dialogues(index, [("x", "Yeah."), ("x", "Oh my God!"), ("x", "Yeah.")]) == {}
    assert twin_dialogues(index, [("x", phrase), *renamed(KITCHEN, "x")]) == {"x": {"kitchen"}}


def test_short_dialogues_are_no_sign():
    assert (
        twin_dialogues([*INDEX, ("short", "Hello again, Ann.")], [("x", "Hello again, Ann.")]) == {}
    )


def test_a_few_shared_words_are_chance():
    said = [("x", "why is the door open"), ("x", "nobody touched your door")]
    assert twin_dialogues([*INDEX, *KITCHEN], said) == {}


@pytest.mark.parametrize(
    ("index", "queries"), [([], KITCHEN), (KITCHEN, []), (KITCHEN, [("x", "")])]
)
def test_nothing_is_no_twin(index, queries):
    assert twin_dialogues(index, queries) == {}


@given(st.integers(0, 59), st.floats(0, 0.15), st.integers(0, 99))
def test_every_copy_with_few_errors_is_found(which, errors, seed):
    name = f"1_{which}"
    draw = np.random.default_rng(seed)
    copy = [
        ("x", " ".join("um" if draw.random() < errors else word for word in text.split()))
        for dialogue, text in INDEX
        if dialogue == name
    ]
    assert name in twin_dialogues(INDEX, copy)["x"]


@given(st.permutations(range(12)))
def test_the_order_of_the_dialogues_does_not_matter(order):
    parts = [[pair for pair in INDEX if pair[0] == f"1_{n}"] for n in order]
    shuffled = [pair for part in parts for pair in part]
    queries = [(f"q{name}", text) for name, text in INDEX]
    straight = sorted(shuffled, key=lambda pair: int(pair[0][2:]))
    assert twin_dialogues(shuffled, queries) == twin_dialogues(straight, queries)


def test_time_grows_with_the_words():
    started = time.process_time()
    twin_dialogues(invented(2, 1200), invented(3, 140))
    assert time.process_time() - started < 3


def pairs_of(name):
    corpus = read_corpus(corpus_file(name))
    return [(u.dialogue_id, *u.hypotheses.values()) for u in corpus.utterances]


def test_real_twins():
    meld, dev = pairs_of("meld/train_sent_emo.csv"), pairs_of("meld/dev_sent_emo.csv")
    emory = pairs_of("emorynlp/emorynlp_train_final.csv")
    other = pairs_of("emorynlp/emorynlp_dev_final.csv")
    assert len(twin_dialogues(emory, dev)) == 20
    assert len(twin_dialogues(meld, other)) == 37
    assert len(twin_dialogues(meld, dev)) == 15
