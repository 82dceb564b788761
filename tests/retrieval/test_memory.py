"""Turns recalled from long before: of the same dialogue, most like the target, never later."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.retrieval.memory import recall
from ragemo.retrieval.retrieve import retrieve
from ragemo.retrieval.vectors import Composition
from tests.conftest import FakeEmbedder, make_turn
from tests.retrieval.worlds import at, index_of, turns

TALK = [make_turn(f"turn {n}", n) for n in range(7)]
"""One dialogue; what was said at 0, 2 and 3 is like the last turn, 2 most of all."""
LIKE = at(20, 90, 5, 30, 80, 0, 0)


def texts(recalled):
    return [turn.text for turn in recalled]


def test_the_most_similar_from_before_the_context_are_recalled_in_order():
    for count, expected in [(0, []), (1, [2]), (2, [0, 2]), (3, [0, 2, 3]), (9, [0, 1, 2, 3, 4])]:
        (found,) = recall(LIKE, TALK, [6], count=count, context=1)
        assert texts(found) == [f"turn {n}" for n in expected]


def test_what_is_shown_anyway_is_not_recalled():
    (found,) = recall(LIKE, TALK, [6], count=2, context=4)
    assert texts(found) == ["turn 0", "turn 1"]
    for context in (6, 7, 99, None):
        assert recall(LIKE, TALK, [6], count=2, context=context) == [()]
    (found,) = recall(LIKE, TALK, [6], count=1, context=0)
    assert texts(found) == ["turn 5"]


def test_turns_without_words_are_passed_over_and_of_equals_the_later_is_taken():
    spoken = [make_turn(text, n) for n, text in enumerate(["a", "a", " ", "", "b", "c"])]
    vectors = at(10, 10, 0, 0, 60, 0)
    (found,) = recall(vectors, spoken, [5], count=1, context=0)
    assert [turn.turn for turn in found] == [1]
    (found,) = recall(vectors, spoken, [5], count=9, context=0)
    assert [turn.turn for turn in found] == [0, 1, 4]


@settings(deadline=None, max_examples=60)
@given(turns(), st.integers(0, 6), st.one_of(st.none(), st.integers(0, 6)), st.data())
def test_nothing_at_or_after_the_target_less_its_context_is_recalled(spoken, count, context, data):
    vectors = FakeEmbedder().embed([turn.text for turn in spoken])
    targets = list(range(len(spoken)))
    found = recall(vectors, spoken, targets, count=count, context=context)
    place = {turn.utterance_id: row for row, turn in enumerate(spoken)}
    for row, recalled in enumerate(found):
        target, rows = spoken[row], [place[turn.utterance_id] for turn in recalled]
        assert rows == sorted(set(rows))
        assert all(turn.dialogue_id == target.dialogue_id for turn in recalled)
        before = row if context is None else row - context
        open_ = [
            other
            for other in range(max(before, 0))
            if spoken[other].dialogue_id == target.dialogue_id and spoken[other].text.strip()
        ]
        if context is None:
            open_ = []
        assert set(rows) <= set(open_)
        assert len(rows) == min(count, len(open_))
        passed = [vectors[other] @ vectors[row] for other in open_ if other not in rows]
        kept = [vectors[other] @ vectors[row] for other in rows]
        assert min(kept, default=2) >= max(passed, default=-2) - 2e-6

    # Whatever is said later changes nothing.
    cut = data.draw(st.integers(0, len(spoken) - 1))
    later = [make_turn("other", n, dialogue_id="z") for n in range(3)]
    shorter = recall(vectors, [*spoken[: cut + 1], *later], [cut], count=count, context=context)
    assert shorter == [found[cut]]


@pytest.mark.parametrize("memory", [0, 2])
def test_a_retrieval_recalls_what_its_settings_say(memory):
    index = index_of(
        [make_turn("oh no", dialogue_id="a"), make_turn("so glad", dialogue_id="b")], ["ang", "hap"]
    )
    spoken = [make_turn(f"turn {n % 3}", n, dialogue_id="q") for n in range(9)]
    found = retrieve(
        index, FakeEmbedder(), spoken, [2, 8], k=1, memory=memory, context=2,
        composition=Composition(weight=0),
    ).found  # fmt: skip
    assert found[0].memory == ()
    assert [turn.turn for turn in found[1].memory] == [2, 5][:memory]
    vectors = FakeEmbedder().embed([turn.text for turn in spoken])
    assert np.allclose(vectors[2], vectors[8])
