import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.retrieval.voters import Questions
from ragemo.retrieval.voters.neighbours import (
    COUNTS,
    TEMPERATURES,
    UNTRIED,
    NeighbourVoter,
    fit_neighbour_voter,
)
from tests.conftest import make_turn


def vote(voter, similarities, labels):
    """The vote on one window by the equation, one neighbour at a time."""
    found = [
        (s, label)
        for s, label in zip(similarities[: voter.count], labels[: voter.count], strict=True)
        if s != -math.inf
    ]
    weights = [math.exp((s - found[0][0]) / voter.temperature) for s, _ in found]
    shares = []
    for label, prior in enumerate(voter.prior):
        own = sum(w for w, (_, other) in zip(weights, found, strict=True) if other == label)
        shares.append((own + prior) / (sum(weights) + 1))
    return shares


@st.composite
def questions(draw):
    """A voter and the neighbours of some windows, with holes at the end."""
    count = draw(st.integers(2, 4))
    raw = draw(st.lists(st.floats(0.001, 1), min_size=count, max_size=count))
    voter = NeighbourVoter(
        count=draw(st.integers(1, 12)),
        temperature=draw(st.floats(0.03, 1)),
        prior=tuple(share / sum(raw) for share in raw),
    )
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(0, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    similarities = -np.sort(-rng.uniform(-1, 1, (rows, columns)), axis=1)
    for row in range(rows):
        similarities[row, columns - draw(st.integers(0, columns)) :] = -np.inf
    return voter, similarities, rng.integers(0, count, (rows, columns))


@settings(deadline=None)
@given(questions())
def test_votes_follow_the_equation(question):
    voter, similarities, labels = question
    votes = voter.votes(similarities, labels)
    assert votes.sum(axis=1) == pytest.approx(1)
    assert (votes > 0).all()
    for row in range(len(votes)):
        expected = vote(voter, similarities[row].tolist(), labels[row].tolist())
        assert votes[row] == pytest.approx(expected)


@settings(deadline=None)
@given(questions(), st.integers(1, 20))
def test_holes_say_nothing(question, holes):
    voter, similarities, labels = question
    padded = np.pad(similarities, ((0, 0), (0, holes)), constant_values=-np.inf)
    any_label = np.pad(labels, ((0, 0), (0, holes)), constant_values=1)
    votes = voter.votes(padded, any_label)
    assert votes == pytest.approx(voter.votes(similarities, labels), rel=1e-12)


def test_without_neighbours_the_prior_votes():
    voter = NeighbourVoter(8, 0.1, (0.7, 0.2, 0.1))
    nobody = np.full((1, 3), -np.inf)
    assert voter.votes(nobody, np.zeros((1, 3), int))[0] == pytest.approx([0.7, 0.2, 0.1])
    assert voter.votes(nobody[:, :0], np.zeros((1, 0), int))[0].tolist() == [0.7, 0.2, 0.1]


def test_it_asks_the_questions_neighbours():
    similarities, labels = np.array([[0.9, 0.1], [0.5, 0.4]]), np.array([[0, 1], [1, 1]])
    voter = NeighbourVoter(8, 0.1, (0.5, 0.5))
    turns = [make_turn(number=n) for n in range(2)]
    questions = Questions(turns, np.zeros((2, 4), np.float32), similarities, labels)
    assert np.array_equal(voter.distributions(questions), voter.votes(similarities, labels))


def windows(count, informative, neighbours=64, labels=3, seed=0):
    """Neighbours of which the first `informative` share the window's label, the rest do not."""
    rng = np.random.default_rng(seed)
    shares = (1 / labels,) * labels
    gold = rng.choice(labels, count, p=shares)
    drawn = rng.choice(labels, (count, neighbours), p=shares)
    drawn[:, :informative] = gold[:, None]
    similarities = np.tile(np.linspace(0.9, 0.1, neighbours), (count, 1))
    return similarities, drawn, gold, shares


def test_fitting_trusts_near_neighbours_where_only_they_know():
    near = fit_neighbour_voter(*windows(300, informative=4))
    assert near.temperature == min(TEMPERATURES)
    similarities, labels, gold, _ = windows(300, informative=4, seed=1)
    assert (near.votes(similarities, labels).argmax(axis=1) == gold).mean() > 0.95


def test_fitting_asks_many_where_all_know_a_little():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 300)
    knows = rng.random((300, 256)) < 0.58
    labels = np.where(knows, gold[:, None], 1 - gold[:, None])
    similarities = np.tile(np.linspace(0.51, 0.5, 256), (300, 1))
    voter = fit_neighbour_voter(similarities, labels, gold, (0.5, 0.5))
    assert voter.count >= 128
    assert (voter.votes(similarities, labels).argmax(axis=1) == gold).mean() > 0.9


def test_fitting_asks_no_more_than_there_are():
    voter = fit_neighbour_voter(*windows(50, informative=2, neighbours=20))
    assert voter.count in (8, 16)
    assert fit_neighbour_voter(*windows(50, informative=0, neighbours=3)).count == COUNTS[0]


@pytest.mark.parametrize("neighbours", [3, 20, 64])
def test_fitting_takes_what_loses_least(neighbours):
    similarities, labels, gold, prior = windows(60, informative=3, neighbours=neighbours)
    similarities[::7, neighbours // 2 :] = -np.inf
    similarities[3] = -np.inf
    fitted = fit_neighbour_voter(similarities, labels, gold, prior)

    def loss(count, temperature):
        votes = NeighbourVoter(count, temperature, prior).votes(similarities, labels)
        return -np.log(votes[np.arange(60), gold]).mean()

    least = min(loss(count, temperature) for count in COUNTS for temperature in TEMPERATURES)
    assert loss(fitted.count, fitted.temperature) == pytest.approx(least, abs=1e-12)


def test_nothing_is_learned_from_labels_drawn_by_lot():
    """The voter must see no label of its own window: then it could not do better than chance."""
    fitted = fit_neighbour_voter(*windows(600, informative=0))
    similarities, labels, gold, _ = windows(600, informative=0, seed=1)
    votes = fitted.votes(similarities, labels)
    assert abs((votes.argmax(axis=1) == gold).mean() - 1 / 3) < 0.06
    assert -np.log(votes[np.arange(600), gold]).mean() < math.log(3) + 0.15


def test_where_nothing_is_held_out_it_starts_from_what_is_usual():
    voter = fit_neighbour_voter(np.zeros((0, 256)), np.zeros((0, 256), int), np.array([]), (1.0,))
    assert voter == NeighbourVoter(*UNTRIED, (1.0,))


def test_fitting_twice_gives_the_same_and_so_do_its_parts():
    question = windows(200, informative=3)
    voter = fit_neighbour_voter(*question)
    assert voter == fit_neighbour_voter(*question)
    assert NeighbourVoter.from_parts(json.loads(json.dumps(voter.to_dict())), {}) == voter
    assert voter.arrays() == {}
