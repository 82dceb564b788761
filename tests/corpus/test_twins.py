"""The same conversation is found under another id, by its words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus import read_corpus
from ragemo.corpus.twins import RARE, twin_dialogues
from ragemo.corpus.words import words
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


def test_of_short_dialogues_the_very_words_tell():
    index = [*INDEX, ("short", "Hello again, Ann."), ("shorter", "Hello, Ann.")]
    assert twin_dialogues(index, [("x", "hello again"), ("x", "ANN")]) == {"x": {"short"}}
    assert twin_dialogues(index, [("x", "Hello again, Ann. Tea?")]) == {}
    assert twin_dialogues(index, [("x", "Hello, Ann.")]) == {}, "two words are chance"
    often = [(f"{n}", "Hello again, Ann.") for n in range(RARE)]
    assert twin_dialogues([*index, *often[1:]], [often[0]])["0"] == {
        "short",
        *map(str, range(1, RARE)),
    }
    assert twin_dialogues([*index, *often], [("x", "Hello again, Ann.")]) == {}


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


# -- scripts without blanks --------------------------------------------------------------------

UNSPACED = {
    "Chinese": (
        [
            "谁又把我的橘子酱吃光了？",
            "没有人碰过你那宝贝橘子酱，老王。",
            "那为什么罐子空了，勺子还粘着呢？",
        ],
        [
            "我们昨天在火车站等了三个小时。",
            "对不起，老王，我的手机没电了。",
            "下次你能不能早点告诉我呢？",
        ],
    ),
    "Japanese": (
        [
            "わたしのジャムを食べたのはだれですか。",
            "あなたの大事なジャムにはだれも触っていません。",
        ],
        ["きのう駅で三時間も待っていたんですよ。", "すみません、携帯の電池が切れてしまいました。"],
    ),
    "Thai": (
        ["ใครกินแยมส้มของฉันหมดอีกแล้ว", "ไม่มีใครแตะแยมของเธอเลยนะ", "แล้วทำไมขวดถึงว่างเปล่าล่ะ"],
        ["เมื่อวานเรารอที่สถานีรถไฟสามชั่วโมง", "ขอโทษนะ โทรศัพท์ฉันแบตหมด", "คราวหน้าบอกให้เร็วกว่านี้ได้ไหม"],
    ),
}
"""Of each language two conversations, with punctuation in the first alone."""


def misheard(texts, every):
    """Without punctuation, in one piece, and every so many characters another one."""
    said = words("".join(texts))
    return "".join("嗯" if n % every == every // 2 else said[n] for n in range(len(said)))


@pytest.mark.parametrize("language", UNSPACED)
@pytest.mark.parametrize("extra", [INDEX, []])
def test_where_no_blank_divides_words_a_copy_is_found(language, extra):
    jam, train = UNSPACED[language]
    index = [*extra, *(("jam", text) for text in jam), *(("train", text) for text in train)]
    assert twin_dialogues(index, [("x", text.rstrip("。？")) for text in jam]) == {"x": {"jam"}}
    assert twin_dialogues(index, [("x", " ".join(jam))]) == {"x": {"jam"}}
    assert twin_dialogues(index[: -len(train)], [("x", text) for text in train]) == {}
    if extra:
        assert twin_dialogues(index, [("x", misheard(jam, 12))]) == {"x": {"jam"}}
        assert twin_dialogues(index, [("x", jam[1])]) == {"x": {"jam"}}


@pytest.mark.parametrize("every", [9, 11, 14])
def test_chinese_with_misheard_characters_is_found(every):
    jam, train = UNSPACED["Chinese"]
    heard = misheard(jam, every)
    assert heard != "".join(words("".join(jam)))
    index = [*INDEX, *(("jam", text) for text in jam), *(("train", text) for text in train)]
    assert twin_dialogues(index, [("x", heard)]) == {"x": {"jam"}}


FREQUENT = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自"


def chinese(seed, dialogues, turns=8, length=9):
    """Random talk: (dialogue id, text) pairs; common characters are said more often."""
    draw = np.random.default_rng(seed)
    shares = 1 / np.arange(1, len(FREQUENT) + 1)
    shares /= shares.sum()
    return [
        (f"{seed}_{dialogue}", "".join(draw.choice(list(FREQUENT), length, p=shares)) + "。")
        for dialogue in range(dialogues)
        for _ in range(turns)
    ]


def test_chinese_talk_of_the_same_characters_is_no_twin():
    assert len(twin_dialogues(chinese(4, 60), chinese(5, 60))) <= 2


@given(st.integers(0, 59), st.floats(0, 0.15), st.integers(0, 99))
def test_every_chinese_copy_with_few_errors_is_found(which, errors, seed):
    name, draw = f"4_{which}", np.random.default_rng(seed)
    index = chinese(4, 60)
    copy = "".join(
        "嗯" if draw.random() < errors else character
        for dialogue, text in index
        if dialogue == name
        for character in text.rstrip("。")
    )
    assert name in twin_dialogues(index, [("x", copy)])["x"]


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
