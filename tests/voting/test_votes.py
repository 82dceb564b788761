"""Ballots as arrays: what each voter says of each utterance."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.types import Ballot
from ragemo.voting.votes import LEAST, count_votes, normalised, votes_of_arrays
from tests.conftest import LABELS
from tests.voting.electorate import (
    SIZE,
    distributions,
    electorates,
    leans,
    names,
    says,
    some_examples,
    votes_of,
)


def equal(one, other):
    return (one.voters, one.utterances) == (other.voters, other.utterances) and all(
        np.array_equal(getattr(one, part), getattr(other, part))
        for part in ("shares", "firsts", "bare")
    )


def test_a_voter_s_ballots_on_an_utterance_are_joined_to_their_mean():
    ballots = [
        says("hap", sample=0),
        leans(0.5, 0.25, 0.25, sample=1),
        says("hap", "other", "u001"),
    ]
    votes = votes_of(ballots, names(2))
    assert votes.voters == ("llm", "other")
    assert votes.shares[0, 0] == pytest.approx([0.25, 0.625, 0.125])
    assert votes.firsts[0, 0].tolist() == [1, 1, 0]
    assert votes.bare.tolist() == [[1, 0], [0, 1]]
    assert votes.counts.tolist() == [[2, 0], [0, 1]]
    assert votes.present.tolist() == [[True, False], [False, True]]
    assert not votes.shares[0, 1].any()


def test_what_is_no_vote_on_these_utterances_is_passed_over():
    ballots = [
        says("hap", "a"),
        Ballot("u000", "a", 1, answer="perhaps"),
        Ballot("u000", "b", error="timeout"),
        says("ang", "c", "elsewhere"),
    ]
    assert equal(votes_of(ballots, names(1)), votes_of(ballots[:1], names(1)))


@pytest.mark.parametrize(
    ("shares", "first"),
    [((1 / 3, 1 / 3, 1 / 3), 0), ((0.2, 0.4, 0.4), 1), ((0.4, 0.3, 0.1 + 0.2), 0)],
)
def test_a_first_choice_that_ties_is_the_label_that_stands_first(shares, first):
    assert votes_of([leans(*shares)], names(1)).firsts[0, 0].argmax() == first


def test_fractions_of_another_rounding_tie():
    assert 0.1 + 0.2 > 0.3
    votes = votes_of([leans(0.3, 0.1 + 0.2, 0.4), leans(0.3, 0.1 + 0.2, 0.0)], names(1))
    assert votes.firsts[0, 0].tolist() == [1, 0, 1]


@some_examples
@given(electorates(), st.randoms())
def test_the_order_of_the_ballots_leaves_no_trace(electorate, dice):
    ballots, ids = electorate
    before = votes_of(ballots, ids)
    dice.shuffle(ballots)
    assert equal(votes_of(ballots, ids), before)


def test_nor_does_it_where_the_order_of_a_sum_would():
    """(0.1 + 0.2) + 0.3 is more than 0.1 + (0.2 + 0.3)."""
    ballots = [leans(s, 0.5, 0.5 - s, sample=n) for n, s in enumerate((0.1, 0.2, 0.3))]
    joined = votes_of(ballots, names(1))
    assert all(equal(votes_of(order, names(1)), joined) for order in permutations(ballots))


@some_examples
@given(electorates(), st.permutations(range(5)))
def test_the_order_of_the_utterances_is_that_of_the_rows_and_nothing_else(electorate, order):
    ballots, ids = electorate
    order = [row for row in order if row < len(ids)]
    moved = votes_of(ballots, [ids[row] for row in order])
    assert equal(moved, votes_of(ballots, ids).on(np.array(order)))


@some_examples
@given(electorates())
def test_votes_are_distributions_or_silent(electorate):
    votes = votes_of(*electorate)
    sums = votes.shares.sum(axis=2)
    assert sums[votes.present] == pytest.approx(1)
    assert not sums[~votes.present].any()
    assert (votes.bare <= votes.counts).all()
    assert votes.counts.sum() == sum(b.distribution is not None for b in electorate[0])


# -- logs ----------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(LABELS.names), min_size=1, max_size=9))
def test_bare_labels_are_samples_one_even_vote_is_added(said):
    """Laplace's rule of succession: (c + 1/L) / (n + 1) for c of n."""
    ballots = [says(label, sample=number) for number, label in enumerate(said)]
    logs = votes_of(ballots, names(1)).logs()[0, 0]
    expected = [(said.count(label) + 1 / SIZE) / (len(said) + 1) for label in LABELS.names]
    assert np.exp(logs) == pytest.approx(expected)


@given(st.lists(distributions, min_size=1, max_size=5))
def test_logs_are_those_of_the_equation(said):
    ballots = [leans(*shares, sample=number) for number, shares in enumerate(said)]
    logs = votes_of(ballots, names(1)).logs()[0, 0]
    bare = sum(max(shares) == 1 for shares in said)
    evenly = (bare / len(said)) / (bare + 1)
    for column, log in zip(zip(*said, strict=True), logs, strict=True):
        share = (1 - evenly) * sum(column) / len(said) + evenly / SIZE
        assert log == pytest.approx(math.log(max(share, LEAST)))


def test_the_more_bare_labels_agree_the_surer_they_are_and_never_certain():
    logs = [
        votes_of([says("hap", sample=n) for n in range(count)], names(1)).logs()[0, 0]
        for count in (1, 2, 5, 20)
    ]
    assert all(less[1] < more[1] < 0 for less, more in pairwise(logs))
    assert np.exp(logs[0][1]) == pytest.approx(2 / 3)


def test_no_share_counts_as_less_than_the_least_and_the_silent_say_nothing():
    logs = votes_of([leans(0.9, 0.1, 0.0)], names(2)).logs()[0]
    assert logs[0].tolist() == pytest.approx(np.log([0.9, 0.1, LEAST]).tolist())
    assert logs[1].tolist() == [0, 0, 0]


# -- parts and arrays ----------------------------------------------------------------------------


@some_examples
@given(electorates(), st.data())
def test_some_voters_are_as_if_there_were_no_others(electorate, data):
    ballots, ids = electorate
    votes = votes_of(ballots, ids)
    kept = sorted(data.draw(st.sets(st.sampled_from(["v0", "v1", "v2", "v3"]))))
    alone = votes_of([ballot for ballot in ballots if ballot.voter in kept], ids)
    assert equal(votes.of(kept), alone)


def test_voters_come_in_the_order_asked_for_and_strangers_are_left_out():
    votes = votes_of([says("hap", "a"), says("neu", "b"), says("ang", "c")], names(1))
    some = votes.of(["c", "nobody", "a"])
    assert some.voters == ("c", "a")
    assert some.shares[:, 0].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert votes.of([]).shares.shape == (0, 1, SIZE)


def test_utterances_are_chosen_by_position_or_by_mask():
    votes = votes_of(
        [says(label, "a", f"u{n:03}") for n, label in enumerate(LABELS.names)], names(3)
    )
    assert votes.on(np.array([2, 0])).utterances == ("u002", "u000")
    assert votes.on(np.array([2, 0])).shares[0].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert equal(votes.on(np.array([True, False, True])), votes.on(np.array([0, 2])))
    assert votes.on(np.array([], dtype=np.int64)).shares.shape == (1, 0, SIZE)


@given(st.lists(distributions.filter(lambda d: max(d) < 1), min_size=1, max_size=6))
def test_arrays_are_as_one_ballot_each(said):
    ids = names(len(said))
    ballots = [leans(*shares, voter="a", utterance=u) for u, shares in zip(ids, said, strict=True)]
    assert equal(votes_of_arrays({"a": np.array(said)}, ids, SIZE), votes_of(ballots, ids))


def test_arrays_may_be_silent_and_are_never_bare_labels():
    shares = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    votes = votes_of_arrays({"b": shares, "a": shares[::-1]}, names(2), SIZE)
    assert votes.voters == ("a", "b")
    assert votes.present.tolist() == [[False, True], [True, False]]
    assert not votes.bare.any()


@pytest.mark.parametrize("voters", [[], ["a"], ["a", "b"]])
@pytest.mark.parametrize("count", [0, 2])
def test_there_may_be_no_voters_and_no_utterances(voters, count):
    votes = votes_of_arrays(dict.fromkeys(voters, np.zeros((count, SIZE))), names(count), SIZE)
    assert votes.shares.shape == votes.logs().shape == (len(voters), count, SIZE)
    assert votes.present.shape == (len(voters), count)
    assert count_votes([], names(count), SIZE).shares.shape == (0, count, SIZE)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=5))
def test_scores_of_any_size_become_distributions(scores):
    shares = normalised(np.array(scores))
    assert shares.sum(axis=1) == pytest.approx(1)
    for row, said in zip(shares, scores, strict=True):
        top = max(said)
        assert row / row.max() == pytest.approx([math.exp(score - top) for score in said])
