"""Deciding with a panel."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.voting.panel import Panel, untried_panel
from ragemo.voting.transitions import Links, Transitions, links_of
from ragemo.voting.votes import votes_of_arrays
from tests.voting.electorate import (
    SIZE,
    distributions,
    electorates,
    every_pool,
    names,
    some_examples,
    turns_of,
    votes_of,
)

EVEN = np.full(SIZE, 1 / SIZE)


def unlinked(count):
    return Links(np.full(count, -1), np.full(count, -1))


@given(distributions.filter(all), distributions.filter(all), st.floats(0, 1), st.floats(0.3, 3))
def test_a_decision_is_the_equation(belief, prior, correction, temperature):
    """P(l) proportional to (B(l) / pi_l^g)^(1/T)."""
    panel = Panel("log", {}, prior, correction=correction, temperature=temperature)
    shares, labels = panel.decided(np.array([belief]), unlinked(1))
    corrected = [b / p**correction for b, p in zip(belief, prior, strict=True)]
    raised = [share ** (1 / temperature) for share in corrected]
    assert shares[0] == pytest.approx([share / sum(raised) for share in raised], abs=1e-9)
    assert corrected[labels[0]] == pytest.approx(max(corrected))


@every_pool
@some_examples
@given(electorate=electorates(), prior=distributions.filter(all), correction=st.floats(0, 1))
def test_decisions_are_distributions_or_none_where_nobody_voted(
    pool, electorate, prior, correction
):
    votes = votes_of(*electorate)
    panel = replace(untried_panel(pool, votes.voters, SIZE, prior), correction=correction)
    shares, labels = panel.decided(panel.pooled(votes), unlinked(len(votes.utterances)))
    heard = votes.present.any(axis=0)
    assert shares[heard].sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert not shares[~heard].any()
    assert (labels[~heard] == -1).all()
    rows = np.flatnonzero(heard)
    assert shares[rows, labels[rows]] == pytest.approx(shares[rows].max(axis=1), abs=1e-9)


def test_a_tie_goes_to_the_label_that_stands_first_whatever_the_rounding():
    panel = untried_panel("mean", ["a"], SIZE)
    beliefs = np.array([[0.3, 0.1 + 0.2, 0.4], [0.1 + 0.2, 0.3, 0.4], [0.3, 0.35, 0.35]])
    beliefs[:2, 2] = 0.1
    beliefs /= beliefs.sum(axis=1, keepdims=True)
    assert panel.decided(beliefs, unlinked(3))[1].tolist() == [0, 0, 1]


def test_a_turn_nobody_voted_on_has_no_label_and_is_no_neutral_turn_to_the_filter():
    """What earlier turns say passes through it."""
    stays = Transitions(EVEN, np.full((3, 3), 0.05) + 0.85 * np.eye(3), np.full((3, 3), 1 / 3))
    panel = Panel("mean", {"a": 1.0}, tuple(EVEN), decoder="filter", transitions=stays)
    links = links_of([turn for turn in turns_of(5, length=5) if turn.speaker == "A"])
    beliefs = np.array([[0.02, 0.02, 0.96], [0.0, 0.0, 0.0], [0.36, 0.32, 0.32]])
    shares, labels = panel.decided(beliefs, links)
    assert labels.tolist() == [2, -1, 2]
    assert not shares[1].any()
    assert replace(panel, decoder="none").decided(beliefs, links)[1].tolist() == [2, -1, 0]


def test_viterbi_looks_ahead_and_may_choose_against_the_shares():
    """The first turn alone looks happy; before an angry one by the same speaker it does not."""
    stays = Transitions(EVEN, np.full((3, 3), 0.05) + 0.85 * np.eye(3), np.full((3, 3), 1 / 3))
    links = links_of([turn for turn in turns_of(3, length=3) if turn.speaker == "A"])
    beliefs = np.array([[0.1, 0.5, 0.4], [0.1, 0.1, 0.8]])
    panel = Panel("mean", {"a": 1.0}, tuple(EVEN), decoder="viterbi", transitions=stays)
    shares, labels = panel.decided(beliefs, links)
    assert labels.tolist() == [2, 2]
    assert shares[0].argmax() == 1
    assert replace(panel, decoder="filter").decided(beliefs, links)[1].tolist() == [1, 2]
    weak = replace(panel, transitions=replace(stays, own_strength=0.0))
    assert weak.decided(beliefs, links)[1].tolist() == [1, 2]


def test_an_untried_panel_counts_every_voter_the_same():
    panel = untried_panel("log", ["a", "b"], SIZE)
    assert (panel.weights, panel.prior) == ({"a": 1.0, "b": 1.0}, tuple(EVEN))
    votes = votes_of_arrays(
        {"a": np.array([[0.6, 0.3, 0.1]]), "b": np.array([[0.2, 0.6, 0.2]])}, names(1), SIZE
    )
    expected = np.array([0.12, 0.18, 0.02])
    assert panel.pooled(votes)[0] == pytest.approx(expected / expected.sum())


@pytest.mark.parametrize(
    "wrong",
    [
        {"pool": "vote"},
        {"decoder": "beam"},
        {"weights": {"a": -0.1}},
        {"weights": {"a": math.nan}},
        {"weights": {"a": math.inf}},
        {"prior": (0.5, 0.5, 0.0)},
        {"prior": (0.5, 0.3, 0.3)},
        {"prior": (1.0,)},
        {"prior": (0.5, math.nan, 0.5)},
        {"bases": {"a": (-1.0, -1.0)}},
        {"bases": {"a": (-1.0, -1.0, -math.inf)}},
        {"transitions": Transitions(np.full(2, 0.5), np.full((2, 2), 0.5), np.full((2, 2), 0.5))},
        {"confusions": {"a": np.ones((2, 3))}},
        {"confusions": {"a": np.zeros((3, 3))}},
        {"correction": 1.1},
        {"correction": math.nan},
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"threshold": 1.5},
    ],
    ids=str,
)
def test_a_panel_that_cannot_be_is_refused(wrong):
    right = untried_panel("log", ["a"], SIZE)
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} of the panel"):
        replace(right, **wrong)
