"""Inertia and contagion as they move decisions: the forward filter and Viterbi."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.voting.dialogue import forward_filter
from ragemo.voting.transitions import Transitions
from ragemo.voting.viterbi import viterbi
from tests.voting.electorate import linked, speakers, sticky

NEU, _, ANG = range(3)

strengths = st.sampled_from([0.0, 0.3, 1.0, 1.5])


@st.composite
def scenes(draw, dialogues=3, labels=3):
    """Speakers per dialogue, beliefs (some rows nobody voted on) and transitions."""
    spoken = draw(st.lists(speakers, min_size=1, max_size=dialogues))
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    beliefs = dice.dirichlet(np.full(labels, 0.6), sum(map(len, spoken)))
    beliefs[dice.random(len(beliefs)) < 0.15] = 0
    transitions = Transitions(
        dice.dirichlet(np.full(labels, 4.0)),
        dice.dirichlet(np.full(labels, 1.0), labels) + 1e-3,
        dice.dirichlet(np.full(labels, 1.0), labels) + 1e-3,
        draw(strengths),
        draw(strengths),
    )
    return spoken, beliefs, transitions


def rows_of(spoken):
    """The rows of each dialogue."""
    ends = list(itertools.accumulate(map(len, spoken), initial=0))
    return [np.arange(start, end) for start, end in itertools.pairwise(ends)]


# -- the forward filter ----------------------------------------------------------------------


def plain_filter(spoken, beliefs, transitions):
    """The equation of `ragemo.voting.dialogue`, turn by turn."""
    filtered = []
    for said, rows in zip(spoken, rows_of(spoken), strict=True):
        for turn, speaker in enumerate(said):
            row = rows[turn]
            shares = beliefs[row] if beliefs[row].any() else transitions.prior
            before = said[:turn]
            if speaker != "-" and speaker in before:
                back = turn - before.rindex(speaker)
                predicted = filtered[row - back] @ transitions.own
                shares = shares * (predicted / transitions.prior) ** (
                    transitions.own_strength / back
                )
            if before and before[-1] != speaker:
                predicted = filtered[row - 1] @ transitions.other
                shares = shares * (predicted / transitions.prior) ** transitions.other_strength
            filtered.append(shares / shares.sum())
    return np.array(filtered)


@given(scenes())
def test_the_filter_is_its_equation(scene):
    spoken, beliefs, transitions = scene
    filtered = forward_filter(beliefs, linked(*spoken), transitions)
    assert filtered == pytest.approx(plain_filter(*scene))
    assert filtered.sum(axis=1) == pytest.approx(1)


def test_an_own_turn_moves_a_later_one_and_less_with_distance():
    beliefs = np.array([[0.0, 0.0, 1.0], [0.4, 0.3, 0.3]])
    near = forward_filter(beliefs, linked("AA"), sticky())
    assert near[1] == pytest.approx(np.array([0.04, 0.03, 0.24]) / 0.31)
    far = forward_filter(
        np.vstack([beliefs[:1], np.zeros((2, 3)), beliefs[1:]]), linked("ABBA"), sticky(1, 0)
    )
    assert beliefs[1, ANG] < far[3, ANG] < near[1, ANG]


def test_a_turn_nobody_voted_on_passes_on_what_it_was_told():
    beliefs = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.4, 0.3, 0.3]])
    filtered = forward_filter(beliefs, linked("AAA"), sticky())
    assert filtered[1] == pytest.approx([0.1, 0.1, 0.8]), "a prediction of the transitions"
    assert filtered[2].argmax() == ANG
    first = forward_filter(beliefs[1:], linked("AA"), sticky())
    assert first[0] == pytest.approx(1 / 3)
    assert first[1] == pytest.approx(beliefs[2]), "nothing was known, nothing is passed on"


@given(scenes())
def test_without_strength_beliefs_are_returned_as_they_are(scene):
    spoken, beliefs, transitions = scene
    before = beliefs.copy()
    weak = replace(transitions, own_strength=0.0, other_strength=0.0)
    filtered = forward_filter(beliefs, linked(*spoken), weak)
    voted = beliefs.any(axis=1)
    assert np.array_equal(filtered[voted], beliefs[voted])
    assert (filtered[~voted] == transitions.prior).all()
    filtered[:] = 9
    assert np.array_equal(beliefs, before), "they are the caller's"


@given(scenes())
def test_a_turn_without_a_link_that_counts_keeps_its_belief(scene):
    spoken, beliefs, transitions = scene
    links = linked(*spoken)
    own = (links.own >= 0) & (transitions.own_strength > 0)
    other = (links.other >= 0) & (transitions.other_strength > 0)
    kept = beliefs.any(axis=1) & ~own & ~other
    filtered = forward_filter(beliefs, links, transitions)
    assert np.array_equal(filtered[kept], beliefs[kept])


@given(scenes(), st.randoms())
def test_the_order_of_the_dialogues_changes_nothing(scene, dice):
    spoken, beliefs, transitions = scene
    numbers = list(range(len(spoken)))
    dice.shuffle(numbers)
    order = np.concatenate([rows_of(spoken)[number] for number in numbers])
    shuffled = linked(*(spoken[number] for number in numbers))
    links = linked(*spoken)
    assert np.array_equal(
        forward_filter(beliefs[order], shuffled, transitions),
        forward_filter(beliefs, links, transitions)[order],
    )
    assert np.array_equal(
        viterbi(beliefs[order], shuffled, transitions), viterbi(beliefs, links, transitions)[order]
    )


@given(scenes())
def test_a_dialogue_alone_is_filtered_as_among_others(scene):
    spoken, beliefs, transitions = scene
    filtered = forward_filter(beliefs, linked(*spoken), transitions)
    for said, rows in zip(spoken, rows_of(spoken), strict=True):
        alone = forward_filter(beliefs[rows], linked(said), transitions)
        assert np.array_equal(alone, filtered[rows])


@given(scenes(), st.data())
def test_a_belief_moves_later_turns_of_its_own_dialogue_alone(scene, data):
    spoken, beliefs, transitions = scene
    changed = data.draw(st.integers(0, len(beliefs) - 1))
    others = beliefs.copy()
    others[changed] = [0.98, 0.01, 0.01]
    links = linked(*spoken)
    moved = (
        forward_filter(beliefs, links, transitions) != forward_filter(others, links, transitions)
    ).any(axis=1)
    (own,) = (rows for rows in rows_of(spoken) if changed in rows)
    assert set(np.flatnonzero(moved)) <= set(range(changed, own[-1] + 1))


# -- Viterbi ---------------------------------------------------------------------------------


def joint_score(spoken, beliefs, transitions, labels):
    """The log of the product in `ragemo.voting.viterbi`."""
    total = 0.0
    for said, rows in zip(spoken, rows_of(spoken), strict=True):
        for turn, speaker in enumerate(said):
            row, label = rows[turn], labels[rows[turn]]
            known = beliefs[row] if beliefs[row].any() else transitions.prior
            total += math.log(max(known[label], 1e-12))
            before = said[:turn]
            if speaker != "-" and speaker in before:
                back = turn - before.rindex(speaker)
                lift = transitions.own[labels[row - back], label] / transitions.prior[label]
                total += transitions.own_strength / back * math.log(lift)
            if before and before[-1] != speaker:
                lift = transitions.other[labels[row - 1], label] / transitions.prior[label]
                total += transitions.other_strength * math.log(lift)
    return total


@settings(deadline=None, max_examples=60)
@given(scenes(dialogues=1))
def test_viterbi_finds_what_trying_all_labellings_finds(scene):
    spoken, beliefs, transitions = scene
    best = max(
        joint_score(*scene, labels) for labels in itertools.product(range(3), repeat=len(beliefs))
    )
    found = viterbi(beliefs, linked(*spoken), transitions)
    assert joint_score(*scene, found) == pytest.approx(best)


def test_viterbi_with_four_speakers_who_all_come_back():
    dice = np.random.default_rng(7)
    spoken = ["ABCDDBAC"]
    for _ in range(5):
        beliefs = dice.dirichlet(np.full(3, 2.0), 8)
        best = max(
            itertools.product(range(3), repeat=8),
            key=lambda labels: joint_score(spoken, beliefs, sticky(), labels),
        )
        assert viterbi(beliefs, linked(*spoken), sticky()).tolist() == list(best)


@given(scenes())
def test_viterbi_without_strength_takes_each_turn_s_first_choice(scene):
    spoken, beliefs, transitions = scene
    weak = replace(transitions, own_strength=0.0, other_strength=0.0)
    known = np.where(beliefs.any(axis=1, keepdims=True), beliefs, transitions.prior)
    assert np.array_equal(viterbi(beliefs, linked(*spoken), weak), known.argmax(axis=1))


def test_viterbi_breaks_ties_towards_the_first_label():
    even = np.full((6, 3), 1 / 3)
    assert viterbi(even, linked("ABAB", "CC"), sticky()).tolist() == [NEU] * 6


def test_viterbi_looks_ahead_where_the_filter_cannot():
    beliefs = np.array([[0.5, 0.0, 0.5], [0.45, 0.1, 0.45], [0.01, 0.01, 0.98]])
    links = linked("AAA")
    assert viterbi(beliefs, links, sticky()).tolist() == [ANG, ANG, ANG]
    assert forward_filter(beliefs, links, sticky())[1].argmax() == NEU


@settings(deadline=None)
@given(scenes(), st.sampled_from([1, 3, 9]))
def test_fewer_states_cost_likelihood_at_most(scene, states):
    spoken, beliefs, transitions = scene
    links = linked(*spoken)
    pruned = viterbi(beliefs, links, transitions, states)
    assert ((pruned >= 0) & (pruned < 3)).all()
    exact = joint_score(*scene, viterbi(beliefs, links, transitions))
    assert joint_score(*scene, pruned) <= exact + 1e-9
    if all(len(set(said) - {"-"}) < 2 for said in spoken) and states > 1:
        assert joint_score(*scene, pruned) == pytest.approx(exact), "no more states were needed"


def test_many_speakers_fit_into_the_states():
    """Twenty speakers in turn would have 7 ** 20 states."""
    dice = np.random.default_rng(3)
    said = "ABCDEFGHIJKLMNOPQRST" * 3
    truth = dice.integers(0, 7, 20).tolist() * 3
    beliefs = np.full((60, 7), 0.1) + 0.3 * np.eye(7)[truth]
    transitions = Transitions(
        np.full(7, 1 / 7), np.full((7, 7), 0.1) + 0.3 * np.eye(7), np.full((7, 7), 1 / 7)
    )
    assert viterbi(beliefs, linked(said), transitions, states=400).tolist() == truth
