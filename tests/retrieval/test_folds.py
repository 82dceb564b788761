import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.retrieval.folds import COUNTS, Folds
from ragemo.retrieval.guards import UNITS
from tests.conftest import make_turn
from tests.retrieval.worlds import kin, turns


@settings(deadline=None)
@given(turns(), st.sampled_from(UNITS))
def test_every_example_is_asked_once_of_examples_that_are_no_kin(examples, exclude):
    folds = Folds(examples, exclude)
    asked = Counter()
    for cell in folds.cells():
        inside, seen = folds.inside(cell), folds.seen(cell)
        assert inside.any()
        assert not (inside & seen).any()
        for row in inside.nonzero()[0]:
            asked[row] += 1
            assert folds.cell(examples[row]) == cell
            for other in seen.nonzero()[0]:
                assert not kin(examples[row], examples[other], exclude)
    assert asked == dict.fromkeys(range(len(examples)), 1)
    assert folds.cells() == sorted(folds.cells())


@settings(deadline=None)
@given(turns(), turns(), st.sampled_from(UNITS))
def test_nobody_is_asked_of_kin_whatever_the_query_tells_of_itself(examples, queries, exclude):
    """Another transcript of a dialogue may name other sessions or speakers than the index does."""
    folds = Folds(examples, exclude)
    for query in queries:
        seen = folds.seen(folds.cell(query))
        assert not any(kin(query, examples[row], exclude) for row in seen.nonzero()[0])


@settings(deadline=None)
@given(turns(), turns(), st.sampled_from(UNITS))
def test_a_dialogue_of_another_corpus_has_only_its_speakers_and_sessions_in_common(
    examples, queries, exclude
):
    folds = Folds(examples, exclude)
    for query in queries:
        seen = folds.seen(folds.cell(query, own_dialogue=False))
        if exclude == "dialogue":
            assert seen.all()
        else:
            known = getattr(query, exclude)
            others = [other for other in examples if getattr(other, exclude) == known]
            assert seen.all() == (not known or not others)
            for row in seen.nonzero()[0]:
                assert not known or getattr(examples[row], exclude) != known


@settings(deadline=None)
@given(turns(), st.sampled_from(UNITS), st.randoms(use_true_random=False))
def test_the_order_of_the_examples_leaves_no_trace(examples, exclude, chance):
    if exclude == "session":  # where a dialogue has two sessions, its last turn's is its own
        session = {turn.dialogue_id: turn.session for turn in examples}
        examples = [
            make_turn(
                number=turn.turn, dialogue_id=turn.dialogue_id, session=session[turn.dialogue_id]
            )
            for turn in examples
        ]
    shuffled = chance.sample(examples, len(examples))
    one, other = Folds(examples, exclude), Folds(shuffled, exclude)
    assert [one.cell(turn) for turn in examples] == [other.cell(turn) for turn in examples]


def test_folds_are_about_equally_large():
    chance = random.Random(0)
    sizes = {f"d{n}": chance.randint(1, 40) for n in range(60)}
    examples = [make_turn(dialogue_id=name) for name, size in sizes.items() for _ in range(size)]
    folds = Folds(examples)
    filled = [int(folds.inside(cell).sum()) for cell in folds.cells()]
    assert len(filled) == COUNTS["dialogue"] == 5
    assert max(filled) - min(filled) < 10


def test_five_sessions_are_a_fold_each():
    """As GenSEC has them; whole dialogues lie in a session, and nothing more is left out."""
    examples = [
        make_turn(dialogue_id=f"d{n}", session=f"Ses0{1 + n % 5}") for n in range(50) for _ in "abc"
    ]
    folds = Folds(examples, "session")
    assert len(folds.cells()) == 5
    for cell in folds.cells():
        assert (
            len(
                {
                    turn.session
                    for turn, own in zip(examples, folds.inside(cell), strict=True)
                    if own
                }
            )
            == 1
        )
        assert folds.seen(cell).sum() == 120


def test_leaving_a_speaker_out_leaves_out_the_dialogue_too():
    examples = [
        make_turn(dialogue_id=f"d{n}", speaker=speaker)
        for n in range(8)
        for speaker in ("Ann", "Bob", "Cid", "Dan")
    ]
    folds = Folds(examples, "speaker")
    assert len(folds.cells()) == COUNTS["speaker"] ** 2
    for cell in folds.cells():
        assert folds.inside(cell).sum() == 2
        assert folds.seen(cell).sum() == 3 * 6


@pytest.mark.parametrize("exclude", UNITS)
def test_a_stranger_may_learn_from_all(exclude):
    folds = Folds([make_turn(dialogue_id=f"d{n}", session=f"s{n}") for n in range(6)], exclude)
    stranger = make_turn(dialogue_id="q", session="other", speaker="Zoe")
    assert folds.seen(folds.cell(stranger)).all()
    assert not folds.inside(folds.cell(stranger)).any()


@pytest.mark.parametrize("exclude", UNITS)
def test_one_dialogue_can_learn_from_nothing(exclude):
    examples = [make_turn(number=n, session="s") for n in range(3)]
    folds = Folds(examples, exclude)
    (cell,) = folds.cells()
    assert folds.inside(cell).all()
    assert not folds.seen(cell).any()
