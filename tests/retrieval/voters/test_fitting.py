"""The index's own voters say of held-out windows only what they learned elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.retrieval.guards import UNITS, Guard
from ragemo.retrieval.voters import INDEX_VOTERS, fitting, neighbours, scale
from ragemo.retrieval.voters.fitting import questions_of
from ragemo.retrieval.voters.neighbours import UNTRIED
from tests.conftest import LABELS, FakeEmbedder, make_corpus
from tests.retrieval.worlds import (
    DIMENSION,
    LOUD,
    UNIT_FIELD,
    accuracy,
    build,
    by_heart,
    golds,
    guessing,
    index_of,
    kin,
    planted,
    turns,
)

WORLD = make_corpus(
    [
        {
            "dialogue": f"d{n // 5}",
            "text": f"{['oh no', 'so glad', 'the bus'][n * 7 // 3 % 3]} {n % 4}",
            "emotion": LABELS.names[n * 7 // 3 % 3] if n % 6 else "fru",
            "session": f"s{n // 20}",
            "speaker": f"{'AB'[n % 2]}{n // 10}",
        }
        for n in range(120)
    ]
)


def fresh(index, exclude="dialogue"):
    """The same index, its voters not yet fitted, for leaving out sessions or speakers, too."""
    return index.without(np.zeros(len(index.examples), dtype=bool), exclude)


def fitted_for(index, exclude):
    return fresh(index, exclude).fitted


# -- what comes of it ----------------------------------------------------------------------------


@pytest.mark.parametrize("exclude", UNITS)
def test_every_voter_speaks_on_every_held_out_window(exclude):
    index = build(WORLD)
    fitted = fitted_for(index, exclude)
    assert list(fitted.voters) == list(fitted.votes) == list(INDEX_VOTERS)
    assert fitted.held_out.tolist() == index.examples.tolist()
    for voter in fitted.voters.values():
        assert voter.to_dict()["prior"] == list(index.prior)
    for votes in fitted.votes.values():
        assert votes.shape == (len(index.examples), 3)
        assert (votes > 0).all()
        assert votes.sum(axis=1) == pytest.approx(1)


def test_the_neighbours_statements_are_those_of_the_fitted_voter():
    index = build(WORLD)
    rows = index.fitted.held_out
    asked = [index.turns[row] for row in rows]
    questions = questions_of(index, asked, index.window_vectors[rows], Guard())
    said = index.voters["neighbours"].distributions(questions)
    assert np.array_equal(index.fitted.votes["neighbours"], said)


def test_fitting_again_gives_the_same_to_the_last_digit():
    one, other = build(WORLD).fitted, build(WORLD).fitted
    for name in INDEX_VOTERS:
        assert np.array_equal(one.votes[name], other.votes[name])
        assert one.voters[name].to_dict() == other.voters[name].to_dict()
        for part, array in one.voters[name].arrays().items():
            assert np.array_equal(array, other.voters[name].arrays()[part])


def test_they_learn_what_there_is_to_learn():
    index = build(WORLD)
    gold = index.label_positions[index.fitted.held_out]
    assert accuracy(index.fitted.votes["words"], gold) > 0.9
    assert index.voters["words"].scale > 0


def test_whole_dialogues_are_held_out_until_there_are_enough(monkeypatch):
    monkeypatch.setattr(fitting, "HELD_OUT_WINDOWS", 30)
    index = build(WORLD)
    held_out = index.fitted.held_out
    assert 30 <= len(held_out) < 30 + 5
    chosen = {index.turns[row].dialogue_id for row in held_out}
    every = [row for row in index.examples if index.turns[row].dialogue_id in chosen]
    assert held_out.tolist() == every
    assert all(len(votes) == len(held_out) for votes in index.fitted.votes.values())
    # Each voter still learns from all.
    assert index.voters["words"].vocabulary.tolist() == sorted(
        word for word in build(WORLD).voters["words"].vocabulary
    )


def test_without_some_labels_the_same_dialogues_are_held_out(monkeypatch):
    """So that a language model's answers on them serve every part of an index."""
    monkeypatch.setattr(fitting, "HELD_OUT_WINDOWS", 30)
    index = build(WORLD)
    left_out = np.array([index.turns[row].session == "s2" for row in index.examples])
    rest = set(index.examples[~left_out].tolist())
    of_whole, of_part = set(index.fitted.held_out), set(index.without(left_out).fitted.held_out)
    assert of_whole & rest <= of_part <= rest


@pytest.mark.parametrize("exclude", UNITS)
def test_one_dialogue_alone_is_not_asked_about_itself(exclude):
    rows = [
        {"dialogue": "d", "text": f"oh {n % 2}", "emotion": LABELS.names[n % 2], "session": "s"}
        for n in range(6)
    ]
    index = build(make_corpus(rows))
    fitted = fitted_for(index, exclude)
    assert len(fitted.held_out) == 0
    assert all(votes.shape == (0, 3) for votes in fitted.votes.values())
    assert (fitted.voters["neighbours"].count, fitted.voters["neighbours"].temperature) == UNTRIED
    asked = questions_of(index, index.turns, index.window_vectors, Guard())
    for voter in fitted.voters.values():
        said = voter.distributions(asked)
        assert (said > 0).all()
        assert said.sum(axis=1) == pytest.approx(1)


def test_one_example_alone_is_enough_to_answer():
    index = build(make_corpus([{"dialogue": "d", "text": "hi"}]))
    asked = questions_of(index, index.turns, index.window_vectors, Guard())
    assert all((voter.distributions(asked) > 0).all() for voter in index.voters.values())


# -- what it must not know -----------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_of_labels_drawn_by_lot_nothing_is_known(unit, monkeypatch):
    """Every dialogue (session, speaker) repeats its own name and has one label for good."""
    index = build(planted(unit), FakeEmbedder(dimension=DIMENSION))
    gold = index.label_positions
    for votes in fitted_for(index, unit).votes.values():
        loss = -np.log(votes[np.arange(len(gold)), gold]).mean()
        assert loss == pytest.approx(np.log(3), abs=0.05)

    monkeypatch.setattr(scale, "SCALES", LOUD)
    index = build(planted(unit), FakeEmbedder(dimension=DIMENSION))  # one keeps what was fitted
    fitted = fitted_for(index, unit)
    assert len(fitted.held_out) == len(gold)
    low, high = guessing()
    for name in INDEX_VOTERS:
        assert low < accuracy(fitted.votes[name], gold) < high

    # The same voters on the same windows know it all where nothing is left out, or too little.
    careless = fresh(index, "dialogue")
    for name, votes in by_heart(careless).items():
        assert accuracy(votes, gold) > 0.9
        if unit != "dialogue":
            assert accuracy(careless.fitted.votes[name], gold) > 0.75


def settle(patch):
    """N and T of every voter are given, so that nothing but examples can move a vote."""
    patch.setattr(neighbours, "COUNTS", (8,))
    patch.setattr(neighbours, "TEMPERATURES", (0.1,))
    patch.setattr(scale, "SCALES", (5.0,))


@settings(deadline=None, max_examples=40)
@given(turns(), st.sampled_from(UNITS), st.data())
def test_no_vote_on_a_held_out_window_moves_with_the_labels_of_its_own_unit(
    examples, exclude, data
):
    """What moves with them is N and T of a voter and the prior, a few numbers for all windows.

    Here N and T are given, and the labels of the unit change places, so that the prior stays.
    """
    gold = [data.draw(golds) for _ in examples]
    gold[0] = LABELS.names[0]
    row = data.draw(st.sampled_from([row for row, label in enumerate(gold) if label]))
    own = [n for n, turn in enumerate(examples) if gold[n] and kin(examples[row], turn, exclude)]
    swapped = list(gold)
    for n, other in zip(own, data.draw(st.permutations(own)), strict=True):
        swapped[n] = gold[other]
    with pytest.MonkeyPatch.context() as patch:
        settle(patch)
        before, after = (fitted_for(index_of(examples, each), exclude) for each in (gold, swapped))
    assert before.held_out.tolist() == after.held_out.tolist()
    for name in INDEX_VOTERS:
        for place in np.flatnonzero(before.held_out == row):
            assert np.array_equal(before.votes[name][place], after.votes[name][place])


@pytest.mark.parametrize("exclude", UNITS)
def test_but_the_votes_on_other_windows_do(exclude, monkeypatch):
    """Without which the test above could not fail."""
    settle(monkeypatch)
    index = build(WORLD)
    unit = {"dialogue": "d7", "session": "s2", "speaker": "A3"}[exclude]
    names = UNIT_FIELD[exclude]
    gold = np.array(index.gold)
    own = np.array(
        [
            getattr(turn, names) == unit and label is not None
            for turn, label in zip(index.turns, index.gold, strict=True)
        ]
    )
    gold[own] = gold[own][::-1]
    before = fitted_for(index, exclude)
    after = fitted_for(index_of(index.turns, gold.tolist()), exclude)
    known = own[before.held_out]
    for name in INDEX_VOTERS:
        assert np.array_equal(before.votes[name][known], after.votes[name][known])
        assert not np.array_equal(before.votes[name][~known], after.votes[name][~known])
