"""Utterances in memory become the corpus that they say they are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.corpus.rows import SOURCE, Row, corpus_of_rows, read_rows
from tests.conftest import LABELS

TEXTS = st.text(max_size=8)
WHOLE = st.builds(
    Row,
    TEXTS,
    st.sampled_from(["a", "b", "", "7"]),
    st.integers(-3, 10**6),
    st.sampled_from(["", "A", "B"]),
)


def as_mapping(row):
    return {"text": row.text, "dialogue": row.dialogue, "turn": row.turn, "speaker": row.speaker}


@given(st.lists(TEXTS, min_size=1))
def test_texts_may_come_in_any_sequence(texts):
    expected = [Row(text) for text in texts]
    assert read_rows(texts) == expected
    assert read_rows(tuple(texts)) == expected
    assert read_rows(np.array(texts, dtype=object)) == expected
    assert read_rows(pd.Series(texts)) == expected
    assert read_rows(pd.DataFrame({"text": texts})) == expected
    assert read_rows([{"text": text} for text in texts]) == expected


@given(st.lists(WHOLE, min_size=1))
def test_a_frame_and_its_records_say_the_same(rows):
    records = [as_mapping(row) for row in rows]
    frame = pd.DataFrame(records).assign(other=1)
    assert read_rows(records) == rows
    assert read_rows(frame) == rows
    assert read_rows(frame.astype({"turn": float})) == rows


def test_numbers_may_name_dialogues_and_gaps_in_a_frame_are_none():
    frame = pd.DataFrame({"text": ["a", "b"], "dialogue": [3.0, 4.0], "speaker": ["A", np.nan]})
    assert read_rows(frame) == [Row("a", "3", None, "A"), Row("b", "4", None, "")]


@given(st.lists(WHOLE, min_size=1, unique_by=lambda row: (row.dialogue, row.turn)))
def test_dialogues_are_whole_and_in_the_order_of_their_turns(rows):
    gold = [LABELS.names[number % len(LABELS.names)] for number in range(len(rows))]
    corpus = corpus_of_rows(rows, LABELS, "fit", gold)
    assert [one.id for one in corpus.dialogues] == list(dict.fromkeys(row.dialogue for row in rows))
    said = [utterance for dialogue in corpus.dialogues for utterance in dialogue.utterances]
    assert sorted(one.row for one in said) == list(range(len(rows)))
    for dialogue in corpus.dialogues:
        own = dialogue.utterances
        assert [one.turn for one in own] == list(range(len(own)))
        turns = [rows[one.row].turn for one in own]
        assert turns == sorted(turns)
        for one in own:
            row = rows[one.row]
            assert (one.id, one.dialogue_id) == (f"fit {one.row}", row.dialogue)
            assert (one.hypotheses, one.speaker) == ({SOURCE: row.text}, row.speaker)
            assert one.emotion == gold[one.row]


@given(st.lists(TEXTS, min_size=1))
def test_a_text_without_a_dialogue_is_one_of_its_own(texts):
    corpus = corpus_of_rows(read_rows(texts), LABELS, "predict", [None] * len(texts))
    names = [f"predict {number}" for number in range(len(texts))]
    assert [dialogue.id for dialogue in corpus.dialogues] == names
    assert [len(dialogue.utterances) for dialogue in corpus.dialogues] == [1] * len(texts)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("a text", "put it in a list"),
        ({"text": "a"}, "X is one mapping"),
        ([], "0 samples"),
        (np.zeros((2, 3)), "2 dimensions"),
        (pd.DataFrame({"words": ["a"]}), "no column `text`"),
        (["a", None], "row 1: expected a text, found None"),
        (["a", 7], "row 1: expected a text, found 7"),
        ([{"text": "a", "dialogue": "d"}, {"text": "b"}], "row 1: no `dialogue`"),
        ([{"text": "a", "dialogue": "d", "turn": 0.5}], "row 0: turn is 0.5"),
        ([{"text": "a", "dialogue": "d", "turn": "first"}], "row 0: turn is 'first'"),
        ([{"text": "a", "turn": 1}], "`turn` and no `dialogue`"),
    ],
)
def test_what_cannot_be_used_is_named(table, said):
    with pytest.raises(ValueError, match=said):
        read_rows(table)


def test_a_turn_that_comes_twice_is_named():
    rows = [Row("a", "d", 1), Row("b", "d", 2), Row("c", "d", 1)]
    with pytest.raises(ValueError, match="rows 0 and 2: both are turn 1 of dialogue 'd'"):
        corpus_of_rows(rows, LABELS, "fit", [None] * 3)
